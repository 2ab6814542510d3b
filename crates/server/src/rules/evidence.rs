//! What vouches for content: signatures as cosign makes them with a key, and SBOMs.
//!
//! cosign's first form ("Signature spec"): an image under the tag `sha256-<hex>.sig`, whose layers are payloads that name the digest,
//! each with its signature in an annotation. Its present form: a referrer with a Sigstore bundle around an in-toto statement.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sealock_trust::Digest;
use sealock_trust::attestation::{Statement, UpstreamEnvelope, UpstreamKey};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Stored;
use super::content::{Manifest, Part};

/// Media type of a payload in cosign's first form.
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Where the signature of such a payload stands.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Media types of Sigstore bundles, which are read from version 0.3 on.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const BUNDLE_OLD_SPELLING: &str = "application/vnd.dev.sigstore.bundle+json;version=0.3";
/// What a statement says by which cosign signs an image.
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// Media type of a DSSE envelope, as `cosign attest` attached it in its first form.
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// Media types of SBOMs.
const SBOMS: [&str; 6] = [
    "application/spdx+json",
    "text/spdx+json",
    "text/spdx",
    "application/vnd.cyclonedx+json",
    "application/vnd.cyclonedx+xml",
    "application/vnd.cyclonedx",
];

/// What the predicate types of attestations begin with that hold an SBOM.
const SBOM_PREDICATES: [&str; 2] = ["https://spdx.dev/Document", "https://cyclonedx.org/bom"];

/// Longest payload, bundle or envelope that is looked at, in bytes.
pub const LONGEST: usize = 16 << 20;

/// Referrers that are looked at: more vouch for nothing that these do not.
const MOST_REFERRERS: usize = 256;

/// A manifest that refers to content, with its layers as far as they are at hand and not longer than [`LONGEST`].
#[derive(Clone, Debug)]
pub struct Referrer<'a> {
    /// The manifest, byte for byte.
    pub bytes: &'a [u8],
    /// Its layers.
    pub layers: Vec<(Digest, Bytes)>,
}

/// Whether a manifest is nothing but evidence: there is something in it, and all of that is a signature, an attestation or an
/// SBOM. Nothing that could run is let through as such.
pub(super) fn is_evidence(manifest: &Manifest) -> bool {
    !manifest.layers.is_empty()
        && manifest.manifests.is_empty()
        && manifest.layers.iter().all(|layer| is_evidence_type(&layer.media_type))
}

fn is_evidence_type(media_type: &str) -> bool {
    [SIMPLE, BUNDLE, BUNDLE_OLD_SPELLING, ENVELOPE, IN_TOTO].contains(&media_type) || SBOMS.contains(&media_type)
}

/// The digest that a tag of cosign's stands for: `sha256-<hex>.sig`, `.att` or `.sbom`.
pub fn subject_of_tag(tag: &str) -> Option<Digest> {
    let (name, _) = tag.rsplit_once('.').filter(|(_, kind)| ["sig", "att", "sbom"].contains(kind))?;
    let (algorithm, hex) = name.split_once('-')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// Whether one of the referrers is a signature of the content by `key`.
pub(super) fn is_signed(stored: &Stored<'_>, key: &UpstreamKey) -> bool {
    evidence(stored).any(|(layer, bytes)| match layer.media_type.as_str() {
        SIMPLE => is_simple_signature(&layer, bytes, stored.digest, key),
        BUNDLE | BUNDLE_OLD_SPELLING => is_bundle(bytes, stored, key),
        _ => false,
    })
}

/// Whether one of the referrers is an SBOM of the content. Where there are `signers`, attestations by others do not count.
pub(super) fn has_sbom(stored: &Stored<'_>, signers: &[&UpstreamKey]) -> bool {
    evidence(stored).any(|(layer, bytes)| match layer.media_type.as_str() {
        ENVELOPE => is_sbom_envelope(bytes, stored.digest, signers),
        BUNDLE | BUNDLE_OLD_SPELLING => {
            let envelope = serde_json::from_slice::<Bundle<'_>>(bytes).ok().and_then(|bundle| bundle.dsse_envelope);
            envelope.is_some_and(|envelope| is_sbom_envelope(envelope.get().as_bytes(), stored.digest, signers))
        }
        media_type => SBOMS.contains(&media_type) && !bytes.is_empty() && stands_alone(stored, &layer),
    })
}

/// An SBOM that no signature binds to the content is bound by its `subject`, or the tag it came under.
fn stands_alone(stored: &Stored<'_>, layer: &Part) -> bool {
    let lists = |manifest: &Manifest| manifest.layers.iter().any(|other| other.digest == layer.digest);
    let manifests = stored.referrers.iter().filter_map(|referrer| Manifest::parse(referrer.bytes).ok());
    manifests.filter(lists).any(|manifest| manifest.subject.is_none_or(|subject| subject.digest == *stored.digest))
}

/// The layers of what refers to the content and is nothing but evidence.
fn evidence<'s>(stored: &'s Stored<'_>) -> impl Iterator<Item = (Part, &'s Bytes)> {
    stored.referrers.iter().take(MOST_REFERRERS).flat_map(move |referrer| {
        let manifest = Manifest::parse(referrer.bytes).ok().filter(is_evidence);
        let layers = manifest.map(|manifest| manifest.layers).unwrap_or_default();
        layers.into_iter().filter_map(move |layer| {
            let (_, bytes) = referrer.layers.iter().find(|(digest, _)| *digest == layer.digest)?;
            (bytes.len() <= LONGEST).then_some((layer, bytes))
        })
    })
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    r#type: String,
    image: Image,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: Digest,
}

fn is_simple_signature(layer: &Part, payload: &[u8], digest: &Digest, key: &UpstreamKey) -> bool {
    let signature = layer.annotations.get(SIGNATURE).and_then(|text| STANDARD.decode(text).ok());
    if signature.is_none_or(|signature| key.verify(payload, &signature).is_err()) {
        return false;
    }
    let Ok(Payload { critical }) = serde_json::from_slice(payload) else { return false };
    let types = ["cosign container image signature", "atomic container signature"];
    types.contains(&critical.r#type.as_str()) && critical.image.docker_manifest_digest == *digest
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle<'a> {
    #[serde(borrow, default)]
    dsse_envelope: Option<&'a RawValue>,
    #[serde(default)]
    message_signature: Option<MessageSignature>,
}

#[derive(Deserialize)]
struct MessageSignature {
    signature: String,
}

fn is_bundle(bytes: &[u8], stored: &Stored<'_>, key: &UpstreamKey) -> bool {
    let Ok(bundle) = serde_json::from_slice::<Bundle<'_>>(bytes) else { return false };
    match (bundle.dsse_envelope, bundle.message_signature) {
        (Some(envelope), None) => {
            let statement = UpstreamEnvelope::from_json(envelope.get().as_bytes()).and_then(|it| it.verify(key));
            // Who says by the same key that an image has a fault does not vouch for it.
            statement.is_ok_and(|it| it.predicate_type() == SIGN && it.about(stored.digest).is_some())
        }
        (None, Some(message)) => {
            STANDARD.decode(&message.signature).is_ok_and(|signature| key.verify(stored.bytes, &signature).is_ok())
        }
        _ => false,
    }
}

fn is_sbom_envelope(bytes: &[u8], digest: &Digest, signers: &[&UpstreamKey]) -> bool {
    let Ok(envelope) = UpstreamEnvelope::from_json(bytes) else { return false };
    let statement = match signers {
        [] => envelope.unverified_statement().ok(),
        signers => signers.iter().find_map(|key| envelope.verify(key).ok()),
    };
    let is_sbom = |statement: &Statement| {
        SBOM_PREDICATES.iter().any(|start| statement.predicate_type().starts_with(start))
            && statement.about(digest).is_some()
    };
    statement.as_ref().is_some_and(is_sbom)
}
