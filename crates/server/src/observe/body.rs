//! A response body that counts what is taken of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::Pending;
use crate::http::Body;

/// A body on its way. What it belongs to is counted and logged when it is dropped.
#[derive(Debug)]
pub(crate) struct Observed {
    body: Body,
    pending: Pending,
}

impl Observed {
    pub(super) fn new(body: Body, mut pending: Pending) -> Self {
        pending.record.complete = body.is_end_stream();
        Self { body, pending }
    }
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self { body, pending } = self.get_mut();
        let frame = ready!(Pin::new(&mut *body).poll_frame(context));
        if let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref)) {
            pending.record.bytes += data.map_or(0, |data| data.len() as u64);
        }
        // hyper asks no more once it has the length that it announced.
        pending.record.complete = !matches!(frame, Some(Err(_))) && body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
