//! Components: the binaries beside Kubernetes, each with the SHA-256 that its upstream publishes.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use sealock_bundle::artifact::{self, Content, OCI_MANIFEST, OCTET_STREAM};
use sealock_bundle::components::{Component, ComponentTable};
use sealock_bundle::lock::{BlobRole, BlobSource, LockedBlob, LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_bundle::names::Platform;
use sealock_trust::Digest;
use url::Url;

use super::Context;
use super::draft::Draft;
use crate::error::FetchError;
use crate::http::Expected;
use crate::upstream::Failure;

const CHECKSUMS_LIMIT: u64 = 1 << 20;

/// A component, and what was found out about it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) component: Component,
    pub(crate) url: Url,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// The component table, and all components known so far.
#[derive(Debug)]
pub(crate) struct Components {
    pub(crate) table: ComponentTable,
    overrides: BTreeMap<String, String>,
}

impl Components {
    /// Component `name` beside a Kubernetes version, for this machine: to be run here.
    pub(crate) async fn for_this_machine(
        &self,
        context: Context<'_>,
        name: &str,
        version: Option<&str>,
    ) -> Result<Known, FetchError> {
        let newest = || self.table.minors().max_by_key(|minor| minor_number(minor)).map(|minor| format!("{minor}.0"));
        let version = version.map(str::to_owned).or_else(newest).unwrap_or_default();
        let version = version.parse().map_err(|_| FetchError::Address { name: version.clone() })?;
        let all = self.table.components(&version, &this_machine(), &self.overrides)?;
        let found = all.into_iter().find(|component| component.name == name);
        let component = found.ok_or_else(|| FetchError::Address { name: name.to_owned() })?;
        look_up(context, component).await
    }
}

fn minor_number(minor: &str) -> u32 {
    minor.rsplit_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or_default()
}

/// Linux, and the architecture as Go names it.
fn this_machine() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Platform { architecture: architecture.to_owned(), ..Platform::linux_amd64() }
}

/// Adds the components of all versions and platforms of the spec.
pub(super) async fn gather(context: Context<'_>, draft: &mut Draft) -> Result<Components, FetchError> {
    let table = ComponentTable::built_in()?;
    let spec = &context.request.bundle.spec;
    let Some(kubernetes) = &spec.kubernetes else {
        return Ok(Components { table, overrides: BTreeMap::new() });
    };
    context.phase("resolving components");
    let mut wanted: BTreeMap<Component, Vec<String>> = BTreeMap::new();
    for version in &kubernetes.versions {
        for platform in &spec.platforms {
            for component in table.components(version, platform, &kubernetes.components)? {
                wanted.entry(component).or_default().push(format!("kubernetes {version}"));
            }
        }
    }
    let known: Vec<_> = stream::iter(wanted)
        .map(async |(component, by)| look_up(context, component).await.map(|known| (known, by)))
        .buffered(context.http.parallel())
        .try_collect()
        .await?;
    for (known, by) in known {
        add(draft, known, by)?;
    }
    Ok(Components { table, overrides: kubernetes.components.clone() })
}

/// Asks upstream for the checksum and the size.
async fn look_up(context: Context<'_>, component: Component) -> Result<Known, FetchError> {
    let url = parse_url(&component.url)?;
    let checksums = context.http.file_request(&parse_url(&component.checksum_url)?);
    let (bytes, _) = context.http.read(&checksums, &Expected::at_most(CHECKSUMS_LIMIT)).await?;
    let file = component.url.rsplit('/').next().unwrap_or_default();
    let digest = checksum(&String::from_utf8_lossy(&bytes), file)
        .ok_or_else(|| checksums.failed(Failure::Malformed(format!("it holds no SHA-256 of {file}"))))?;
    let size = context.http.length(&context.http.file_request(&url)).await?;
    Ok(Known { component, url, digest, size })
}

pub(super) fn parse_url(text: &str) -> Result<Url, FetchError> {
    Url::parse(text).map_err(|_| FetchError::Address { name: text.to_owned() })
}

/// Finds the SHA-256 of `file`: the text is a bare value, or has lines as `sha256sum` writes them.
fn checksum(text: &str, file: &str) -> Option<Digest> {
    let digest = |hex: &str| format!("sha256:{}", hex.to_ascii_lowercase()).parse().ok();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    if let (Some(only), None) = (lines.next(), lines.next())
        && !only.contains(char::is_whitespace)
    {
        return digest(only);
    }
    let name_of = |line: &str| {
        line.split_whitespace()
            .nth(1)
            .map(|name| name.trim_start_matches('*').rsplit('/').next().unwrap_or(name).to_owned())
    };
    let line = text.lines().find(|line| name_of(line).as_deref() == Some(file))?;
    digest(line.split_whitespace().next()?)
}

fn add(draft: &mut Draft, known: Known, requested_by: Vec<String>) -> Result<(), FetchError> {
    let Known { component, url, digest, size } = known;
    let title = component.url.rsplit('/').next().unwrap_or(&component.name).to_owned();
    let content = Content { digest: digest.clone(), size, title };
    let made = artifact::of_file(&content);
    draft.blobs(made.blobs);
    draft.blobs([LockedBlob {
        digest,
        size,
        media_type: OCTET_STREAM.to_owned(),
        role: BlobRole::Layer,
        source: BlobSource::Http { url: url.to_string(), inner: None },
    }]);
    let reason = format!("SHA-256 published at {}", component.checksum_url);
    let name = component.artifact_name().map_err(|_| FetchError::Address { name: component.url.clone() })?;
    draft.reference(LockedReference {
        name,
        kind: ReferenceKind::File,
        digest: made.digest,
        media_type: OCI_MANIFEST.to_owned(),
        platform: Some(component.platform),
        subject: None,
        source: component.url,
        requested_by,
        verdict: Verdict::new(VerdictRule::Checksum).because(reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_found_in_every_form_that_upstreams_use() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let other = hex.replace('e', "f");
        let wanted = format!("sha256:{hex}").parse().ok();
        assert_eq!(checksum(&format!("{hex}\n"), "kubeadm"), wanted);
        assert_eq!(checksum(&format!("{hex}  helm.tgz\n"), "helm.tgz"), wanted);
        assert_eq!(checksum(&format!("{other}  runc.arm64\n{hex} *runc.amd64\n"), "runc.amd64"), wanted);
        assert_eq!(checksum(&format!("{hex}  ./dist/x.tgz"), "x.tgz"), wanted);
        assert_eq!(checksum(&format!("{hex}  runc.arm64\n"), "runc.amd64"), None);
        assert_eq!(checksum("<html>log in</html>", "kubeadm"), None);
        assert_eq!(checksum("", "kubeadm"), None);
    }
}
