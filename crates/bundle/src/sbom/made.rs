//! SBOMs that are made here for images that bring none: what a tool wrote, made reproducible.

use jiff::Timestamp;
use sealock_trust::Digest;
use sealock_trust::attestation::{NAMESPACE_OID, uuid_v5};
use serde_json::Value;

use super::{MAX_BYTES, Sbom, SbomError, parse};
use crate::artifact;
use crate::plain::Plain;

/// Media type of an SPDX document in JSON.
pub const SPDX: &str = "application/spdx+json";

/// An SPDX document as a tool wrote it, without what differs from run to run: its namespace follows from `subject`, its time is
/// `issued`, it is called `name`, and its keys are in order.
///
/// # Errors
/// When it is no SPDX 2 document, or too large.
pub fn reproducible(bytes: &[u8], name: &str, subject: &Digest, issued: Timestamp) -> Result<Vec<u8>, SbomError> {
    Sbom::from_bytes(bytes)?;
    let mut document: Value = parse(bytes)?;
    let uuid = uuid_v5(&NAMESPACE_OID, format!("sealock sbom {subject}").as_bytes());
    document["documentNamespace"] = format!("https://sealock.example/sbom/{uuid}").into();
    document["name"] = name.into();
    match document.get_mut("creationInfo") {
        Some(Value::Object(info)) => info.insert("created".to_owned(), issued.to_string().into()),
        _ => return Err(SbomError::Form(Plain::of("an SPDX document says who created it"))),
    };
    let bytes = artifact::sorted(&document).to_string().into_bytes();
    if bytes.len() as u64 > MAX_BYTES {
        return Err(SbomError::Limit { what: "bytes", limit: MAX_BYTES });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_make_the_same_document() {
        let subject = Digest::sha256(b"image");
        let issued = "2026-11-23T00:00:00Z".parse().unwrap();
        let written = |time: &str, namespace: &str| {
            let text = format!(
                r#"{{"spdxVersion":"SPDX-2.3","name":"/tmp/x","packages":[{{"name":"a","versionInfo":"1"}}],
                "documentNamespace":"{namespace}","creationInfo":{{"creators":["Tool: t"],"created":"{time}"}}}}"#
            );
            reproducible(text.as_bytes(), "quay.io/team/app:v1", &subject, issued).unwrap()
        };
        let first = written("2026-11-23T10:00:00Z", "https://x/1");
        assert_eq!(first, written("2026-11-24T10:00:00Z", "https://x/2"));
        insta::assert_snapshot!(String::from_utf8(first).unwrap(), @r#"{"creationInfo":{"created":"2026-11-23T00:00:00Z","creators":["Tool: t"]},"documentNamespace":"https://sealock.example/sbom/e15ed947-3b79-5321-9369-1817ee463330","name":"quay.io/team/app:v1","packages":[{"name":"a","versionInfo":"1"}],"spdxVersion":"SPDX-2.3"}"#);
    }

    #[test]
    fn what_is_no_spdx_is_no_sbom_of_ours() {
        let subject = Digest::sha256(b"image");
        let issued = "2026-11-23T00:00:00Z".parse().unwrap();
        for text in
            ["", "{}", "[]", r#"{"spdxVersion":"SPDX-2.3"}"#, r#"{"bomFormat":"CycloneDX","specVersion":"1.6"}"#]
        {
            assert!(reproducible(text.as_bytes(), "x", &subject, issued).is_err(), "{text}");
        }
    }
}
