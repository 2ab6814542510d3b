//! Signatures by an identity: a short-lived certificate from a pinned authority, and the log's word on when it was used.
//!
//! The verification itself is that of the `sigstore-verify` crate, over a trusted root that the spec pins: nothing is asked of
//! a network. What is added here is the identity by expression, and cosign's first form.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealock_bundle::spec::KeylessSigner;
use sealock_trust::reason::Code;
use sealock_trust::{Algorithm, Digest};
use serde_json::json;
use sigstore_verify::bundle::Error as Missing;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Artifact, Bundle, Sha256Hash};
use sigstore_verify::{CertificateError, Error, VerificationPolicy, Verifier};

use super::simple::Simple;
use super::{Signer, Unfit};

/// Certificates beside one signature at most.
const CERTIFICATES: usize = 8;

/// The authorities and logs that are believed, and whom they must vouch for.
pub(crate) struct Keyless {
    verifier: Verifier,
    identity: Identity,
    issuer: String,
    /// A trusted root without certificate logs asks for no proof from one.
    asks_for_sct: bool,
}

enum Identity {
    Exactly(String),
    Fitting(Regex),
}

impl fmt::Display for Keyless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.identity {
            Identity::Exactly(identity) => write!(f, "the identity {identity} of {}", self.issuer),
            Identity::Fitting(expression) => write!(f, "an identity like {} of {}", expression.as_str(), self.issuer),
        }
    }
}

impl Keyless {
    /// Reads the trusted root; the error says what is wrong with it or with the expression.
    pub(super) fn new(signer: &KeylessSigner, trusted_root: &str) -> Result<Self, String> {
        let root = TrustedRoot::from_json(trusted_root).map_err(|error| error.to_string())?;
        if root.certificate_authorities.is_empty() || root.tlogs.is_empty() {
            return Err("it names no certificate authority, or no transparency log".to_owned());
        }
        let identity = match (&signer.identity, &signer.identity_regexp) {
            (Some(identity), _) => Identity::Exactly(identity.clone()),
            (None, Some(text)) => {
                let wrong = |error: regex::Error| format!("`identityRegexp` is no regular expression: {error}");
                Identity::Fitting(Regex::new(&format!("^(?:{text})$")).map_err(wrong)?)
            }
            (None, None) => return Err("the rule names no identity".to_owned()),
        };
        let verifier = Verifier::new(&root).map_err(|error| error.to_string())?;
        Ok(Self { verifier, identity, issuer: signer.issuer.clone(), asks_for_sct: !root.ctlogs.is_empty() })
    }

    /// Judges a bundle that signs the artifact `digest`.
    pub(super) fn judge_bundle(&self, bytes: &[u8], digest: &Digest) -> Result<Signer, Unfit> {
        let text = std::str::from_utf8(bytes).map_err(|_| Unfit::new(Code::Format, "the bundle is not text"))?;
        let bundle = Bundle::from_json(text).map_err(|error| Unfit::new(Code::Format, error.to_string()))?;
        if digest.algorithm() != Algorithm::Sha256 {
            return Err(Unfit::new(Code::Alg, "only artifacts called by SHA-256 can be signed so"));
        }
        let hash = Sha256Hash::from_hex(digest.hex()).map_err(|error| Unfit::new(Code::Format, error.to_string()))?;
        self.judge(hash, &bundle, &self.policy())
    }

    /// Judges a payload in cosign's first form. It comes with the log's promise and no proof of inclusion: that is all the
    /// form has, and the promise is signed by the pinned log.
    pub(super) fn judge_simple(&self, simple: &Simple<'_>) -> Result<Signer, Unfit> {
        let bundle = simple_bundle(simple)?;
        self.judge(simple.payload, &bundle, &self.policy().skip_tlog_unsafe())
    }

    fn policy(&self) -> VerificationPolicy {
        let policy = VerificationPolicy::any_identity().require_issuer(self.issuer.clone());
        let policy = if self.asks_for_sct { policy } else { policy.skip_sct() };
        match &self.identity {
            Identity::Exactly(identity) => policy.require_identity(identity.as_str()),
            Identity::Fitting(_) => policy,
        }
    }

    fn judge<'a>(
        &self,
        artifact: impl Into<Artifact<'a>>,
        bundle: &Bundle,
        policy: &VerificationPolicy,
    ) -> Result<Signer, Unfit> {
        let result = self.verifier.verify(artifact, bundle, policy).map_err(|error| unfit(&error))?;
        let identity = result.identity().map(|identity| identity.as_str().to_owned()).unwrap_or_default();
        if let Identity::Fitting(expression) = &self.identity
            && !expression.is_match(&identity)
        {
            return Err(Unfit::new(Code::Identity, format!("it is signed by {identity}")));
        }
        Ok(Signer { identity, issuer: self.issuer.clone() })
    }
}

/// The same signature as a bundle of version 0.1, the one form that has a promise alone.
fn simple_bundle(simple: &Simple<'_>) -> Result<Bundle, Unfit> {
    let pem = simple.certificates.as_ref();
    let pem =
        pem.ok_or_else(|| Unfit::new(Code::Identity, "it is signed with a key, and the rule names an identity"))?;
    let entry = simple.entry.as_ref().ok_or_else(|| Unfit::new(Code::TlogBinding, "it has no log entry"))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).take(CERTIFICATES).collect();
    let certificates = certificates.map_err(|_| Unfit::new(Code::Format, "its certificate cannot be read"))?;
    let certificates: Vec<_> = certificates.iter().map(|der| json!({"rawBytes": STANDARD.encode(der)})).collect();
    let log_id = (0..entry.payload.log_id.len() / 2)
        .map(|at| u8::from_str_radix(entry.payload.log_id.get(2 * at..2 * at + 2).unwrap_or_default(), 16))
        .collect::<Result<Vec<u8>, _>>()
        .map_err(|_| Unfit::new(Code::TlogBinding, "its log entry names no log"))?;
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": {
            "x509CertificateChain": {"certificates": certificates},
            "tlogEntries": [{
                "logIndex": entry.payload.log_index.to_string(),
                "logId": {"keyId": STANDARD.encode(log_id)},
                "kindVersion": {"kind": "hashedrekord", "version": "0.0.1"},
                "integratedTime": entry.payload.integrated_time.to_string(),
                "inclusionPromise": {"signedEntryTimestamp": entry.signed_entry_timestamp},
                "canonicalizedBody": entry.payload.body,
            }],
        },
        "messageSignature": {"signature": STANDARD.encode(&simple.signature)},
    });
    Bundle::from_json(&bundle.to_string()).map_err(|error| Unfit::new(Code::Format, error.to_string()))
}

fn unfit(error: &Error) -> Unfit {
    let code = match error {
        Error::IdentityMismatch { .. } | Error::IssuerMismatch { .. } => Code::Identity,
        Error::SignatureInvalid(_) => Code::Sig,
        Error::ArtifactMismatch(_) => Code::Subject,
        Error::Certificate(CertificateError::Malformed(_)) => Code::Format,
        Error::Certificate(_) => Code::Identity,
        // Without a time that the log vouches for, nothing says that the certificate was good when it was used.
        Error::TransparencyLog(_)
        | Error::Timestamp(_)
        | Error::Bundle(
            Missing::MissingInclusionProof(_)
            | Missing::MissingInclusionPromise(_)
            | Missing::MissingSigningTimeEvidence
            | Missing::MissingTimestamp
            | Missing::MissingCheckpoint
            | Missing::LogIndexOutOfRange { .. }
            | Missing::CheckpointRootMismatch,
        ) => Code::TlogBinding,
        _ => Code::Format,
    };
    Unfit::new(code, error.to_string())
}
