//! cosign's first form: a payload that names the digest ("container-signature(5)" of containers/image), with the signature,
//! the certificate and the log entry in annotations of its layer (cosign, "Signature spec").

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealock_bundle::Reference;
use sealock_bundle::spec::Claims;
use sealock_trust::Digest;
use sealock_trust::reason::Code;
use serde::Deserialize;

use super::demand::{By, Demand};
use super::logged::{self, Content};
use super::{Signed, Signer, Unfit};
use crate::source::oci::Descriptor;

/// The media type of the payload.
pub(super) const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";

/// A payload with what its layer says about it.
#[derive(Debug)]
pub(super) struct Simple<'a> {
    pub(super) payload: &'a [u8],
    pub(super) signature: Vec<u8>,
    /// PEM, the leaf first.
    pub(super) certificates: Option<String>,
    pub(super) entry: Option<LogEntry>,
}

/// The log's word that it has taken the signature in (Rekor, "Signed Entry Timestamp").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LogEntry {
    pub(super) signed_entry_timestamp: String,
    pub(super) payload: LogPayload,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogPayload {
    /// Base64 of the entry.
    pub(super) body: String,
    pub(super) integrated_time: i64,
    pub(super) log_index: u64,
    #[serde(rename = "logID")]
    pub(super) log_id: String,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
    #[serde(default)]
    optional: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct Critical {
    r#type: String,
    image: Image,
    identity: Identity,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

pub(super) fn judge(
    signed: Signed<'_>,
    layer: &Descriptor,
    bytes: &[u8],
    demand: &Demand,
) -> Result<Option<Signer>, Unfit> {
    let simple = Simple::of(layer, bytes)?;
    if let By::Key(key) = &demand.by {
        key.verify(bytes, &simple.signature).map_err(|_| Unfit::new(Code::Sig, ANOTHER_KEY))?;
    }
    if let Some(entry) = &simple.entry {
        logged::binds(&entry.payload.body, &Content { hashed: &[bytes], signature: &simple.signature })?;
    }
    let signer = match &demand.by {
        By::Key(_) => None,
        By::Identity(keyless) => Some(keyless.judge_simple(&simple)?),
    };
    let payload: Payload = serde_json::from_slice(bytes).map_err(|_| no_signature())?;
    payload.check(signed, &demand.claims)?;
    Ok(signer)
}

pub(super) const ANOTHER_KEY: &str = "the signature is by another key, or was changed";

impl<'a> Simple<'a> {
    fn of(layer: &Descriptor, payload: &'a [u8]) -> Result<Self, Unfit> {
        let malformed = |reason: &str| Unfit::new(Code::Format, reason);
        let annotation = |name: &str| layer.annotations.get(name).filter(|text| !text.is_empty());
        let text = annotation(SIGNATURE).ok_or_else(|| malformed("a layer has no signature"))?;
        let signature = STANDARD.decode(text).map_err(|_| malformed("the signature is not base64"))?;
        let chain = annotation(CHAIN).map_or("", String::as_str);
        let certificates = annotation(CERTIFICATE).map(|leaf| format!("{leaf}\n{chain}"));
        let entry = annotation(LOG_ENTRY).map(|text| serde_json::from_str(text)).transpose();
        let entry = entry.map_err(|_| Unfit::new(Code::TlogBinding, "its log entry cannot be read"))?;
        Ok(Self { payload, signature, certificates, entry })
    }
}

impl Payload {
    fn check(&self, signed: Signed<'_>, claims: &Claims) -> Result<(), Unfit> {
        let Critical { r#type, image, identity } = &self.critical;
        if r#type != "cosign container image signature" && r#type != "atomic container signature" {
            return Err(no_signature());
        }
        if image.docker_manifest_digest != *signed.digest {
            let reason = format!("it signs {}, another image", image.docker_manifest_digest);
            return Err(Unfit::new(Code::Subject, reason));
        }
        check_reference(&identity.docker_reference, signed, claims)?;
        let none = BTreeMap::new();
        check_annotations(self.optional.as_ref().unwrap_or(&none), claims)
    }
}

/// One key signs many images: the name keeps one of them from standing in for another. A signature that claims no name claims nothing.
fn check_reference(claimed: &str, signed: Signed<'_>, claims: &Claims) -> Result<(), Unfit> {
    if claimed.is_empty() && claims.signed_as.is_empty() {
        return Ok(());
    }
    let own = signed.repository.to_string();
    let name = claimed.parse::<Reference>().map_or_else(|_| claimed.to_owned(), |reference| reference.name());
    if claims.allow(&name, &own) {
        return Ok(());
    }
    Err(Unfit::new(Code::Subject, format!("it was signed as {name}, and not as {own}")))
}

/// Whether the signature has every annotation that the rule demands.
pub(super) fn check_annotations(found: &BTreeMap<String, serde_json::Value>, claims: &Claims) -> Result<(), Unfit> {
    let fits = |(name, value): &(&String, &String)| found.get(*name).and_then(|found| found.as_str()) == Some(value);
    match claims.annotations.iter().find(|wanted| !fits(wanted)) {
        Some((name, value)) => Err(Unfit::new(Code::Subject, format!("it lacks the annotation {name}={value}"))),
        None => Ok(()),
    }
}

fn no_signature() -> Unfit {
    Unfit::new(Code::Subject, "what is signed is no container signature")
}
