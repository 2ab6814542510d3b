//! `index.json`, the OCI view of a bundle: derived from the manifest, compared, never trusted.

use std::collections::BTreeMap;

use sealock_trust::Digest;
use serde::Serialize;

use crate::artifact::OCI_INDEX;
use crate::lock::ReferenceKind;
use crate::manifest::Manifest;
use crate::names::Platform;

/// Where OCI readers find the name of an artifact (OCI image specification 1.1, "Pre-Defined Annotation Keys").
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Where containerd finds the name of an image.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// How many blobs of the layout are elsewhere: only in a delta. The layout may lack them (OCI image specification 1.1,
/// image-layout.md, "blobs directory"), but its readers should be told.
const ABSENT_BLOBS: &str = "vnd.sealock.delta.absent-blobs";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<OciPlatform<'a>>,
    annotations: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
struct OciPlatform<'a> {
    os: &'a str,
    architecture: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
}

/// The content of `index.json`: one descriptor for each reference, in the manifest's order.
///
/// The field order is fixed by the types above and there are no floats, so the bytes are determined.
///
/// # Errors
/// None in practice: text and integers always serialise.
pub(crate) fn of(manifest: &Manifest) -> Result<Vec<u8>, serde_json::Error> {
    let sizes: BTreeMap<&Digest, u64> = manifest.blobs.iter().map(|blob| (&blob.digest, blob.size)).collect();
    let descriptors = manifest.references.iter().map(|reference| {
        let name = reference.name.as_str();
        let mut annotations = BTreeMap::from([(REF_NAME, name)]);
        if reference.kind == ReferenceKind::Image {
            annotations.insert(CONTAINERD_NAME, name);
        }
        Descriptor {
            media_type: &reference.media_type,
            digest: &reference.digest,
            size: sizes.get(&reference.digest).copied().unwrap_or_default(),
            platform: reference.platform.as_ref().map(platform),
            annotations,
        }
    });
    let absent = manifest.blobs.iter().filter(|blob| blob.offset.is_none()).count();
    let absent = manifest.base.as_ref().map(|_| (ABSENT_BLOBS, absent.to_string()));
    let annotations = absent.into_iter().collect();
    serde_json::to_vec(&Index {
        schema_version: 2,
        media_type: OCI_INDEX,
        manifests: descriptors.collect(),
        annotations,
    })
}

fn platform(platform: &Platform) -> OciPlatform<'_> {
    OciPlatform { os: &platform.os, architecture: &platform.architecture, variant: platform.variant.as_deref() }
}
