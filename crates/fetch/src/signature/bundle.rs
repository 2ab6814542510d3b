//! Sigstore bundles, version 0.3 (sigstore/protobuf-specs, `sigstore_bundle.proto`), as cosign attaches them to an image.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealock_bundle::spec::Claims;
use sealock_trust::attestation::{AttestationError, Statement, UpstreamEnvelope, UpstreamKey};
use sealock_trust::reason::Code;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::demand::{By, Demand};
use super::logged::{self, Content};
use super::simple::{ANOTHER_KEY, check_annotations};
use super::{Signed, Signer, Unfit};
use crate::source::referrers::SIGN;

/// Media types of the one version that is read, new and old spelling.
const VERSIONS: [&str; 2] =
    ["application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.3"];
/// Media types of the versions before: these let a log's promise stand in for its proof.
const OLD_VERSIONS: [&str; 2] =
    ["application/vnd.dev.sigstore.bundle+json;version=0.1", "application/vnd.dev.sigstore.bundle+json;version=0.2"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle<'a> {
    media_type: String,
    verification_material: Material,
    #[serde(borrow, default)]
    dsse_envelope: Option<&'a RawValue>,
    #[serde(default)]
    message_signature: Option<MessageSignature>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default)]
    public_key: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    tlog_entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    canonicalized_body: String,
}

#[derive(Deserialize)]
struct MessageSignature {
    signature: String,
}

/// Judges one bundle; `manifest` is the image's manifest, byte for byte.
pub(super) fn judge(
    signed: Signed<'_>,
    manifest: &[u8],
    bytes: &[u8],
    demand: &Demand,
) -> Result<Option<Signer>, Unfit> {
    let malformed = |error: serde_json::Error| Unfit::new(Code::Format, format!("it is no Sigstore bundle ({error})"));
    let bundle: Bundle<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
    bundle.check_version()?;
    match &demand.by {
        By::Key(key) => {
            bundle.by_key(signed, manifest, key, &demand.claims)?;
            Ok(None)
        }
        By::Identity(keyless) => {
            bundle.check_own_log(manifest)?;
            let signer = keyless.judge_bundle(bytes, signed.digest)?;
            match bundle.envelope()? {
                Some(envelope) => {
                    let statement = envelope.unverified_statement().map_err(|error| of(&error))?;
                    check_statement(&statement, signed, &demand.claims)?;
                }
                None => check_annotations(&BTreeMap::new(), &demand.claims)?,
            }
            Ok(Some(signer))
        }
    }
}

impl Bundle<'_> {
    fn check_version(&self) -> Result<(), Unfit> {
        let version = self.media_type.as_str();
        if VERSIONS.contains(&version) {
            return Ok(());
        }
        if OLD_VERSIONS.contains(&version) {
            let reason = format!("it is a bundle of an old version ({version}), which demands less proof");
            return Err(Unfit::new(Code::VersionFloor, reason));
        }
        Err(Unfit::new(Code::Format, format!("it is a bundle of an unknown kind ({version})")))
    }

    fn envelope(&self) -> Result<Option<UpstreamEnvelope>, Unfit> {
        let read = |raw: &&RawValue| UpstreamEnvelope::from_json(raw.get().as_bytes());
        self.dsse_envelope.as_ref().map(read).transpose().map_err(|error| of(&error))
    }

    fn by_key(&self, signed: Signed<'_>, manifest: &[u8], key: &UpstreamKey, claims: &Claims) -> Result<(), Unfit> {
        if self.verification_material.public_key.is_none() {
            return Err(Unfit::new(Code::Identity, "it is signed with a certificate, and the rule names a key"));
        }
        match (self.envelope()?, &self.message_signature) {
            (Some(envelope), None) => {
                let statement = envelope.verify(key).map_err(|error| of(&error))?;
                self.check_own_log(manifest)?;
                check_statement(&statement, signed, claims)
            }
            (None, Some(message)) => {
                key.verify(manifest, &message.raw()?).map_err(|_| Unfit::new(Code::Sig, ANOTHER_KEY))?;
                self.check_own_log(manifest)?;
                check_annotations(&BTreeMap::new(), claims)
            }
            _ => Err(Unfit::new(Code::Format, "the bundle has not exactly one signature")),
        }
    }

    /// A key needs no log; but what comes as the entry of this signature must be that.
    fn check_own_log(&self, manifest: &[u8]) -> Result<(), Unfit> {
        let entries = &self.verification_material.tlog_entries;
        let each = |content: &Content<'_>| {
            entries.iter().try_for_each(|entry| logged::binds(&entry.canonicalized_body, content))
        };
        match (self.envelope()?, &self.message_signature) {
            (Some(envelope), _) => {
                let signature = envelope.signatures().next().unwrap_or_default();
                each(&Content { hashed: &[envelope.payload(), &envelope.message()], signature })
            }
            (None, Some(message)) => each(&Content { hashed: &[manifest], signature: &message.raw()? }),
            (None, None) => Ok(()),
        }
    }
}

impl MessageSignature {
    fn raw(&self) -> Result<Vec<u8>, Unfit> {
        STANDARD.decode(&self.signature).map_err(|_| Unfit::new(Code::Format, "the signature is not base64"))
    }
}

/// An attestation by the same signer is no signature: who says that an image has a fault does not vouch for it.
fn check_statement(statement: &Statement, signed: Signed<'_>, claims: &Claims) -> Result<(), Unfit> {
    let Some(subject) = statement.about(signed.digest) else {
        let reason = format!("it signs {}, another image", statement.subjects());
        return Err(Unfit::new(Code::Subject, reason));
    };
    if statement.predicate_type() != SIGN {
        let reason = format!("it is a statement of the kind {}, and no signature", statement.predicate_type());
        return Err(Unfit::new(Code::Subject, reason));
    }
    check_annotations(&subject.annotations, claims)
}

fn of(error: &AttestationError) -> Unfit {
    Unfit::new(error.code(), error.to_string())
}
