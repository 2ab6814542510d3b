//! Artifacts that are not images: the small OCI manifests under which files, charts and Kubernetes manifests travel.
//!
//! Built as the OCI image specification 1.1 says under "Guidelines for Artifact Usage", and deterministic: the same
//! content makes the same bytes.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sealock_trust::Digest;
use sealock_trust::attestation::PAYLOAD_TYPE;
use serde_json::{Value, json};

use crate::lock::{BlobRole, BlobSource, LockedBlob};
use crate::sbom;

/// Media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of Docker's image manifest, version 2, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Media type of the empty config `{}`.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Media type of a Helm chart's config.
pub const HELM_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// Media type of a Helm chart's archive.
pub const HELM_CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// Media type of a Helm chart's provenance file.
pub const HELM_PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
/// Media type of a detached OpenPGP signature (RFC 3156, section 5).
pub const PGP_SIGNATURE: &str = "application/pgp-signature";
/// Artifact type of a file.
pub const FILE: &str = "application/vnd.sealock.file.v1";
/// Artifact type of a file of Kubernetes manifests.
pub const KUBERNETES_MANIFEST: &str = "application/vnd.sealock.manifest.v1";
/// Artifact type of Sealock's own binary, and the media type of its layer.
pub const BINARY: &str = "application/vnd.sealock.binary.v1";
/// Media type of the config of Sealock's own binary: version, build and platform.
pub const BINARY_CONFIG: &str = "application/vnd.sealock.binary.config.v1+json";
/// Media type of a layer of which nothing is known.
pub const OCTET_STREAM: &str = "application/octet-stream";
/// Media type of a layer of YAML.
pub const YAML: &str = "application/yaml";

/// The annotation with the name of a file.
pub const TITLE: &str = "org.opencontainers.image.title";

/// The content of an artifact: one blob that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its digest.
    pub digest: Digest,
    /// Its length, in bytes.
    pub size: u64,
    /// The file's name, without folders.
    pub title: String,
}

/// A generated artifact: its manifest, and the config that its manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The digest of the manifest, by which the artifact is called.
    pub digest: Digest,
    /// The generated blobs, manifest first, ready for a lock.
    pub blobs: Vec<LockedBlob>,
}

/// The artifact of a file. Its layer has the media type [`OCTET_STREAM`].
pub fn of_file(content: &Content) -> Artifact {
    generate(Some(FILE), OCI_EMPTY, b"{}", &[descriptor(OCTET_STREAM, content)])
}

/// The artifact of a file with a detached signature beside it, whose layer has the media type [`PGP_SIGNATURE`].
pub fn of_signed_file(content: &Content, signature: &Content) -> Artifact {
    let layers = [descriptor(OCTET_STREAM, content), descriptor(PGP_SIGNATURE, signature)];
    generate(Some(FILE), OCI_EMPTY, b"{}", &layers)
}

/// The artifact of a file of Kubernetes manifests. Its layer has the media type [`YAML`].
pub fn of_kubernetes_manifest(content: &Content) -> Artifact {
    let layer = descriptor(YAML, content);
    generate(Some(KUBERNETES_MANIFEST), OCI_EMPTY, b"{}", &[layer])
}

/// The artifact of a chart from a chart repository, as Helm pushes it; `metadata` is its `Chart.yaml` as JSON.
pub fn of_chart(content: &Content, metadata: &Value, provenance: Option<&Content>) -> Artifact {
    let provenance = provenance.map(|provenance| descriptor(HELM_PROVENANCE, provenance));
    let layers: Vec<Value> = std::iter::once(descriptor(HELM_CHART, content)).chain(provenance).collect();
    generate(None, HELM_CONFIG, sorted(metadata).to_string().as_bytes(), &layers)
}

/// The artifact of an SBOM in SPDX that refers to the image `subject`, a descriptor.
pub fn of_sbom(content: &Content, subject: &Value) -> Artifact {
    referring(Some(subject), Some(sbom::SPDX), (OCI_EMPTY, b"{}"), &[descriptor(sbom::SPDX, content)])
}

/// The artifact of Sealock's own binary; `config` says what it is. Its layer has the media type [`BINARY`].
pub(crate) fn of_binary(content: &Content, config: &Value) -> Artifact {
    let layer = descriptor(BINARY, content);
    generate(Some(BINARY), BINARY_CONFIG, sorted(config).to_string().as_bytes(), &[layer])
}

/// The artifact of this type with this config, and layers by their media types.
pub(crate) fn of_layers(
    artifact_type: &str,
    (config_type, config): (&str, &Value),
    layers: &[(&str, &Content)],
) -> Artifact {
    let layers: Vec<Value> = layers.iter().map(|(media_type, content)| descriptor(media_type, content)).collect();
    generate(Some(artifact_type), config_type, sorted(config).to_string().as_bytes(), &layers)
}

/// The artifact of an attestation: an in-toto statement, whose content is generated too.
pub fn of_attestation(statement: &[u8], title: &str) -> Artifact {
    let content = Content { digest: Digest::sha256(statement), size: statement.len() as u64, title: title.to_owned() };
    let layer = descriptor(PAYLOAD_TYPE, &content);
    let mut made = generate(Some(PAYLOAD_TYPE), OCI_EMPTY, b"{}", &[layer]);
    made.blobs.push(generated(PAYLOAD_TYPE, BlobRole::Layer, statement));
    made
}

fn descriptor(media_type: &str, content: &Content) -> Value {
    json!({
        "mediaType": media_type,
        "digest": content.digest,
        "size": content.size,
        "annotations": { TITLE: content.title },
    })
}

fn generate(artifact_type: Option<&str>, config_type: &str, config: &[u8], layers: &[Value]) -> Artifact {
    referring(None, artifact_type, (config_type, config), layers)
}

fn referring(
    subject: Option<&Value>,
    artifact_type: Option<&str>,
    (config_type, config): (&str, &[u8]),
    layers: &[Value],
) -> Artifact {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": config_type, "digest": Digest::sha256(config), "size": config.len() },
        "layers": layers,
    });
    if let Some(artifact_type) = artifact_type {
        manifest["artifactType"] = artifact_type.into();
    }
    if let Some(subject) = subject {
        manifest["subject"] = subject.clone();
    }
    let manifest = generated(OCI_MANIFEST, BlobRole::Manifest, sorted(&manifest).to_string().as_bytes());
    let config = generated(config_type, BlobRole::Config, config);
    Artifact { digest: manifest.digest.clone(), blobs: vec![manifest, config] }
}

/// The same value with every object's keys in order, whichever map serde_json was built with.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let in_order: BTreeMap<&String, Value> = map.iter().map(|(key, value)| (key, sorted(value))).collect();
            in_order.into_iter().map(|(key, value)| (key.clone(), value)).collect()
        }
        Value::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// A blob whose content the lock holds.
pub fn generated(media_type: &str, role: BlobRole, content: &[u8]) -> LockedBlob {
    LockedBlob {
        digest: Digest::sha256(content),
        size: content.len() as u64,
        media_type: media_type.to_owned(),
        role,
        source: BlobSource::Generated { base64: BASE64_STANDARD.encode(content) },
    }
}

/// The content of a generated blob; none where the base64 is damaged.
pub(crate) fn content_of(base64: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(base64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_makes_the_same_artifact() {
        let content = Content { digest: Digest::sha256(b"x"), size: 1, title: "kubeadm".into() };
        let artifact = of_file(&content);
        assert_eq!(artifact, of_file(&content));
        let BlobSource::Generated { base64 } = &artifact.blobs[0].source else { panic!("not generated") };
        let manifest = content_of(base64).unwrap();
        assert_eq!(Digest::sha256(&manifest), artifact.digest);
        insta::assert_snapshot!(String::from_utf8(manifest).unwrap(), @r#"{"artifactType":"application/vnd.sealock.file.v1","config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","mediaType":"application/vnd.oci.empty.v1+json","size":2},"layers":[{"annotations":{"org.opencontainers.image.title":"kubeadm"},"digest":"sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881","mediaType":"application/octet-stream","size":1}],"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}"#);
    }

    #[test]
    fn a_chart_is_what_helm_pushes() {
        let content = Content { digest: Digest::sha256(b"x"), size: 1, title: "podinfo-6.9.2.tgz".into() };
        let provenance = Content { digest: Digest::sha256(b"y"), size: 1, title: "podinfo-6.9.2.tgz.prov".into() };
        let artifact = of_chart(&content, &json!({"name": "podinfo", "version": "6.9.2"}), Some(&provenance));
        assert_eq!(artifact.blobs[1].media_type, HELM_CONFIG);
        let BlobSource::Generated { base64 } = &artifact.blobs[0].source else { panic!("not generated") };
        let manifest: Value = serde_json::from_slice(&content_of(base64).unwrap()).unwrap();
        assert_eq!(manifest["layers"][0]["mediaType"], HELM_CHART);
        assert_eq!(manifest["layers"][1]["mediaType"], HELM_PROVENANCE);
        assert_eq!(manifest.get("artifactType"), None);
    }
}
