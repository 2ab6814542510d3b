//! Helm charts and chart repositories.

use bytes::Bytes;
use sealock_trust::Digest;
use serde_json::json;

use crate::image::{Image, gzip, tar_of};

/// A packaged chart (`.tgz`) with these templates and values.
pub fn package(name: &str, version: &str, values: &str, templates: &[(&str, &str)]) -> Bytes {
    let chart = format!("apiVersion: v2\nname: {name}\nversion: {version}\ndescription: for tests\n");
    let mut files = vec![
        (format!("{name}/Chart.yaml"), chart.into_bytes()),
        (format!("{name}/values.yaml"), values.as_bytes().to_vec()),
    ];
    files.extend(templates.iter().map(|(path, text)| (format!("{name}/templates/{path}"), text.as_bytes().to_vec())));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, text)| (path.as_str(), text.as_slice())).collect();
    gzip(&tar_of(&files)).into()
}

/// The `index.yaml` of a repository with one chart, whose archive lies beside it.
pub fn index(name: &str, version: &str, archive: &[u8]) -> String {
    let digest = Digest::sha256(archive);
    let hex = digest.hex();
    format!(
        "apiVersion: v1\nentries:\n  {name}:\n  - apiVersion: v2\n    name: {name}\n    version: {version}\n    \
         digest: {hex}\n    urls:\n    - {name}-{version}.tgz\ngenerated: \"2026-01-01T00:00:00Z\"\n"
    )
}

/// The chart as the OCI artifact that `helm push` makes.
pub fn artifact(name: &str, version: &str, archive: &Bytes) -> Image {
    of_layers(name, version, vec![(ARCHIVE.to_owned(), archive.clone())])
}

/// The same where a provenance file lies beside the archive.
pub fn signed_artifact(name: &str, version: &str, archive: &Bytes, provenance: impl Into<Bytes>) -> Image {
    let provenance = ("application/vnd.cncf.helm.chart.provenance.v1.prov".to_owned(), provenance.into());
    of_layers(name, version, vec![(ARCHIVE.to_owned(), archive.clone()), provenance])
}

const ARCHIVE: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

fn of_layers(name: &str, version: &str, layers: Vec<(String, Bytes)>) -> Image {
    let config = serde_json::to_vec(&json!({"apiVersion": "v2", "name": name, "version": version})).unwrap();
    let annotations = json!({"org.opencontainers.image.title": name, "org.opencontainers.image.version": version});
    Image::artifact(None, ("application/vnd.cncf.helm.config.v1+json", config.into()), layers, &annotations)
}
