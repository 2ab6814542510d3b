//! Signatures that stand in a file of their own beside what they sign, and travel along with it.

use sealock_bundle::artifact::Content;
use sealock_bundle::lock::{BlobRole, BlobSource, LockedBlob};
use url::Url;

use super::Context;
use crate::error::FetchError;
use crate::http::Expected;
use crate::signature::openpgp::SIGNATURE_LIMIT;
use crate::upstream::Failure;

/// A signature that was fetched.
pub(super) struct Beside {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// What it is as the content of an artifact.
    pub(super) content: Content,
    url: Url,
}

impl Beside {
    /// Fetches the signature of `what` at `url`, which travels as a file called `title`.
    pub(super) async fn fetch(context: Context<'_>, what: &str, url: Url, title: String) -> Result<Self, FetchError> {
        let request = context.http.file_request(&url);
        match context.http.read(&request, &Expected::at_most(SIGNATURE_LIMIT)).await {
            Err(FetchError::Upstream(error)) if error.failure == Failure::NotFound => {
                Err(FetchError::NotSigned { what: what.to_owned(), place: url.to_string() })
            }
            read => {
                let (bytes, landed) = read?;
                let content = Content { digest: landed.digest, size: landed.size, title };
                Ok(Self { bytes, content, url })
            }
        }
    }

    /// It as a layer of this type.
    pub(super) fn blob(&self, media_type: &str) -> LockedBlob {
        LockedBlob {
            digest: self.content.digest.clone(),
            size: self.content.size,
            media_type: media_type.to_owned(),
            role: BlobRole::Layer,
            source: BlobSource::Http { url: self.url.to_string(), inner: None },
        }
    }
}
