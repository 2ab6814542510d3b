//! Whether an entry of a transparency log is about this very signature (GHSA-8gw7-4j42-w388, CVE-2022-36056).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealock_trust::reason::Code;
use sealock_trust::{Algorithm, Digest};
use serde_json::Value;

use super::Unfit;

/// A signature, and what an entry about it may say was hashed: the message, or the payload in it.
#[derive(Debug)]
pub(super) struct Content<'a> {
    pub(super) hashed: &'a [&'a [u8]],
    pub(super) signature: &'a [u8],
}

/// Where the kinds of Rekor's entries keep the digest and the signature (rekor, `pkg/types`).
struct Places {
    kind: &'static str,
    version: &'static str,
    digest: &'static str,
    signature: &'static str,
}

const KINDS: [Places; 5] = [
    Places {
        kind: "hashedrekord",
        version: "0.0.1",
        digest: "/spec/data/hash/value",
        signature: "/spec/signature/content",
    },
    Places {
        kind: "hashedrekord",
        version: "0.0.2",
        digest: "/spec/hashedRekordV002/data/digest",
        signature: "/spec/hashedRekordV002/signature/content",
    },
    Places {
        kind: "dsse",
        version: "0.0.1",
        digest: "/spec/payloadHash/value",
        signature: "/spec/signatures/0/signature",
    },
    Places {
        kind: "dsse",
        version: "0.0.2",
        digest: "/spec/dsseV002/payloadHash/digest",
        signature: "/spec/dsseV002/signatures/0/content",
    },
    Places {
        kind: "intoto",
        version: "0.0.2",
        digest: "/spec/content/payloadHash/value",
        signature: "/spec/content/envelope/signatures/0/sig",
    },
];

/// Checks that the entry with the base64 `body` holds this digest and this signature.
pub(super) fn binds(body: &str, content: &Content<'_>) -> Result<(), Unfit> {
    let unfit = |reason: &str| Unfit::new(Code::TlogBinding, reason);
    let bytes = STANDARD.decode(body).map_err(|_| unfit("its log entry is not base64"))?;
    let entry: Value = serde_json::from_slice(&bytes).map_err(|_| unfit("its log entry is not JSON"))?;
    let text = |place: &str| entry.pointer(place).and_then(Value::as_str);
    let is_kind = |known: &&Places| text("/kind") == Some(known.kind) && text("/apiVersion") == Some(known.version);
    let known = KINDS.iter().find(is_kind).ok_or_else(|| unfit("its log entry is of an unknown kind"))?;
    let digest = text(known.digest).ok_or_else(|| unfit("its log entry names no digest"))?;
    let signature = text(known.signature).ok_or_else(|| unfit("its log entry holds no signature"))?;
    if !content.hashed.iter().any(|hashed| is_digest(digest, hashed)) {
        return Err(unfit("its log entry is about another artifact"));
    }
    if !is_signature(signature, content.signature) {
        return Err(unfit("its log entry is about another signature"));
    }
    Ok(())
}

/// In hexadecimal up to version 0.0.1 of an entry, in base64 since.
fn is_digest(text: &str, hashed: &[u8]) -> bool {
    [Algorithm::Sha256, Algorithm::Sha512].iter().any(|algorithm| {
        let hex = Digest::of(*algorithm, hashed).hex().to_owned();
        text == hex || STANDARD.decode(text).is_ok_and(|raw| hex_of(&raw) == hex)
    })
}

/// `intoto` entries hold base64 of base64.
fn is_signature(text: &str, signature: &[u8]) -> bool {
    let Ok(once) = STANDARD.decode(text) else { return false };
    once == signature || STANDARD.decode(&once).is_ok_and(|twice| twice == signature)
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn binds_to(entry: &Value) -> Result<(), String> {
        let content = Content { hashed: &[b"payload"], signature: b"signature" };
        binds(&STANDARD.encode(entry.to_string()), &content).map_err(|unfit| format!("{} {}", unfit.code, unfit.reason))
    }

    fn entry(hashed: &[u8], signature: &[u8]) -> Value {
        let hash = json!({"algorithm": "sha256", "value": Digest::sha256(hashed).hex()});
        json!({"kind": "hashedrekord", "apiVersion": "0.0.1",
            "spec": {"data": {"hash": hash}, "signature": {"content": STANDARD.encode(signature)}}})
    }

    #[test]
    fn an_entry_binds_its_own_artifact_and_signature_only() {
        assert_eq!(binds_to(&entry(b"payload", b"signature")), Ok(()));
        insta::assert_snapshot!(binds_to(&entry(b"another", b"signature")).unwrap_err(), @"TLOG_BINDING its log entry is about another artifact");
        insta::assert_snapshot!(binds_to(&entry(b"payload", b"another")).unwrap_err(), @"TLOG_BINDING its log entry is about another signature");
        let mut unknown = entry(b"payload", b"signature");
        unknown["kind"] = "rpm".into();
        insta::assert_snapshot!(binds_to(&unknown).unwrap_err(), @"TLOG_BINDING its log entry is of an unknown kind");
    }

    #[test]
    fn every_kind_of_entry_is_understood() {
        let raw = STANDARD.encode(
            (0..64)
                .step_by(2)
                .map(|at| u8::from_str_radix(&Digest::sha256(b"payload").hex()[at..at + 2], 16).unwrap())
                .collect::<Vec<_>>(),
        );
        let signature = STANDARD.encode(b"signature");
        let hex = Digest::sha256(b"payload").hex().to_owned();
        let specs = [
            (
                "hashedrekord",
                "0.0.2",
                json!({"hashedRekordV002": {"data": {"digest": raw}, "signature": {"content": signature}}}),
            ),
            ("dsse", "0.0.1", json!({"payloadHash": {"value": hex}, "signatures": [{"signature": signature}]})),
            (
                "dsse",
                "0.0.2",
                json!({"dsseV002": {"payloadHash": {"digest": raw}, "signatures": [{"content": signature}]}}),
            ),
            (
                "intoto",
                "0.0.2",
                json!({"content": {"payloadHash": {"value": hex}, "envelope": {"signatures": [{"sig": STANDARD.encode(&signature)}]}}}),
            ),
        ];
        for (kind, version, spec) in specs {
            assert_eq!(
                binds_to(&json!({"kind": kind, "apiVersion": version, "spec": spec})),
                Ok(()),
                "{kind} {version}"
            );
        }
    }
}
