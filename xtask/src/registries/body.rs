//! Bodies of requests, made of pieces of memory that are sent again and again: gigabytes need no memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use sha2::{Digest as _, Sha256};

/// A head that makes the content one of its kind, then one piece a number of times.
#[derive(Clone, Debug, Default)]
pub struct Content {
    head: Bytes,
    piece: Bytes,
    times: u64,
}

impl Content {
    /// These bytes.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { head: bytes.into(), ..Self::default() }
    }

    /// `head`, then `piece` as often as `times` says.
    pub fn repeated(head: impl Into<Bytes>, piece: Bytes, times: u64) -> Self {
        Self { head: head.into(), piece, times }
    }

    /// Bytes in all.
    pub fn size(&self) -> u64 {
        self.head.len() as u64 + self.piece.len() as u64 * self.times
    }

    /// `sha256:HEX` of all bytes.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for piece in self.pieces() {
            hasher.update(&piece);
        }
        format!("sha256:{}", hex::encode(hasher.finalize()))
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> + use<> {
        let head = (!self.head.is_empty()).then(|| self.head.clone());
        let piece = self.piece.clone();
        head.into_iter().chain((0..self.times).map(move |_| piece.clone()))
    }

    /// A body that announces its length.
    pub fn body(&self) -> Body {
        Body { left: self.clone(), announced: true }
    }

    /// A body without a length: sent in chunks, as docker does.
    pub fn streamed(&self) -> Body {
        Body { left: self.clone(), announced: false }
    }
}

/// What of a content is still to be sent.
#[derive(Debug, Default)]
pub struct Body {
    left: Content,
    announced: bool,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.left.head.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.left.head)))));
        }
        if self.left.times == 0 {
            return Poll::Ready(None);
        }
        self.left.times -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.left.piece.clone()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.size() == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.announced { SizeHint::with_exact(self.left.size()) } else { SizeHint::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_content_is_what_its_pieces_are_put_together() {
        let content = Content::repeated("head", Bytes::from_static(b"abc"), 3);
        let whole: Vec<u8> = content.pieces().flatten().collect();
        assert_eq!(whole, b"headabcabcabc");
        assert_eq!(content.size(), 13);
        assert_eq!(content.digest(), Content::whole(whole).digest());
        assert_eq!(Content::whole("").pieces().count(), 0);
    }
}
