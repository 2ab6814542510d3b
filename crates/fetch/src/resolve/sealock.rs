//! Sealock's own inside binaries: files beside the spec, pinned by digest, which say themselves what they are.

use std::fs::File;
use std::io::Read;

use sealock_bundle::artifact::{self, Content, OCI_MANIFEST};
use sealock_bundle::binary::{Description, MAX_BYTES};
use sealock_bundle::lock::{BlobRole, BlobSource, LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_bundle::spec::SealockSpec;
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use super::Context;
use super::draft::Draft;
use super::manifests::slashed;
use crate::error::FetchError;

/// Adds every binary of the spec.
pub(super) fn gather(context: Context<'_>, draft: &mut Draft) -> Result<(), FetchError> {
    context.request.bundle.spec.sealock.iter().try_for_each(|binary| add(context, binary, draft))
}

fn add(context: Context<'_>, binary: &SealockSpec, draft: &mut Draft) -> Result<(), FetchError> {
    let whole = context.request.folder.join(&binary.path);
    let failed = |source| FetchError::io("read the binary", &whole, source);
    let mut bytes = Vec::new();
    File::open(&whole).map_err(failed)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    let unfit = |reason: String| FetchError::Binary { path: binary.path.clone(), reason, code: Code::TypeMismatch };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unfit(format!("it has more than {MAX_BYTES} bytes")));
    }
    let found = Digest::of(binary.digest.algorithm(), &bytes);
    if found != binary.digest {
        let reason = format!("it must have {}, and has {found}", binary.digest);
        return Err(FetchError::Binary { path: binary.path.clone(), reason, code: Code::Digest });
    }
    let description =
        Description::of(&bytes).and_then(Description::inside).map_err(|error| unfit(error.to_string()))?;
    let content = Content { digest: found, size: bytes.len() as u64, title: "sealock".to_owned() };
    let made = description.artifact(&content);
    draft.blobs(made.blobs);
    let path = slashed(&binary.path);
    draft.blobs([LockedBlob {
        digest: content.digest,
        size: content.size,
        media_type: artifact::BINARY.to_owned(),
        role: BlobRole::Layer,
        source: BlobSource::File { path: path.clone() },
    }]);
    draft.reference(LockedReference {
        name: description.artifact_name().map_err(|error| unfit(error.to_string()))?,
        kind: ReferenceKind::Sealock,
        digest: made.digest,
        media_type: OCI_MANIFEST.to_owned(),
        platform: Some(description.platform()),
        subject: None,
        source: path,
        requested_by: vec!["spec.sealock".to_owned()],
        verdict: Verdict::new(VerdictRule::Checksum).because("the spec pins its digest"),
    })
}
