//! Components: the binaries beside each Kubernetes minor, from the one reviewed table `components.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::names::{KubernetesVersion, ParseNameError, Platform};
use crate::reference::{self, ArtifactName};

const TABLE: &str = include_str!("components.toml");

/// Components that have the version of Kubernetes itself.
const OF_KUBERNETES: [&str; 3] = ["kubeadm", "kubelet", "kubectl"];

/// One binary or archive to download for one platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// Its name in the table: `kubeadm`, `kubelet`, `kubectl`, `containerd`, `runc`, `cni-plugins`, `helm`.
    pub name: String,
    /// Its version, with the `v`.
    pub version: String,
    /// What it runs on.
    pub platform: Platform,
    /// Where it is downloaded.
    pub url: String,
    /// Where upstream publishes its SHA-256: a bare value, or lines of value and file name.
    pub checksum_url: String,
}

impl Component {
    /// The name that it travels and is served under: host and path of its URL, tagged with its version.
    ///
    /// # Errors
    /// When the version makes no legal name.
    pub fn artifact_name(&self) -> Result<ArtifactName, ParseNameError> {
        let reference = reference::of_url(&self.url, &self.version)?;
        Ok(ArtifactName::from(&reference))
    }
}

/// Why the components of a Kubernetes version cannot be named.
#[derive(Debug, thiserror::Error)]
pub enum ComponentsError {
    /// The table that is built in cannot be read: a mistake of ours.
    #[error("the built-in table of components is broken")]
    Table(#[source] toml::de::Error),
    /// A minor that the table does not know.
    #[error("Kubernetes {version} is not supported, only {}", .supported.join(", "))]
    UnsupportedVersion {
        /// The version asked for.
        version: KubernetesVersion,
        /// The minors of the table.
        supported: Vec<String>,
    },
    /// An override for a component that does not exist, or that follows Kubernetes.
    #[error("no version can be chosen for the component {name:?}, only for {}", .known.join(", "))]
    UnknownComponent {
        /// The name in the override.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A version that is not written `v1.2.3`.
    #[error("{version:?} is not a version of {name}, which is written like v1.2.3")]
    Version {
        /// The component.
        name: String,
        /// As written.
        version: String,
    },
}

impl ComponentsError {
    /// True: the same spec is refused again.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Table(_))
    }

    /// The reason code: `SPEC`, unless the mistake is ours.
    pub fn code(&self) -> Option<sealock_trust::reason::Code> {
        self.is_refusal().then_some(sealock_trust::reason::Code::Spec)
    }
}

/// The reviewed table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentTable {
    source: BTreeMap<String, Source>,
    versions: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    url: String,
    checksum: String,
}

impl ComponentTable {
    /// The table that this build carries.
    ///
    /// # Errors
    /// [`ComponentsError::Table`], which a test of this crate rules out.
    pub fn built_in() -> Result<Self, ComponentsError> {
        toml::from_str(TABLE).map_err(ComponentsError::Table)
    }

    /// The Kubernetes minors that the table knows, like `v1.36`, oldest first.
    pub fn minors(&self) -> impl Iterator<Item = &str> {
        self.versions.keys().map(String::as_str)
    }

    /// All components beside Kubernetes `version` on `platform`, sorted by name, `overrides` going before the table.
    ///
    /// # Errors
    /// When the minor, or a component in `overrides`, is unknown; when a version has not the form `v1.2.3`.
    pub fn components(
        &self,
        version: &KubernetesVersion,
        platform: &Platform,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Vec<Component>, ComponentsError> {
        let mut versions = self.versions.get(version.minor_line()).cloned().ok_or_else(|| self.unsupported(version))?;
        for (name, chosen) in overrides {
            let known = versions.keys().cloned().collect();
            let slot = versions
                .get_mut(name)
                .ok_or_else(|| ComponentsError::UnknownComponent { name: name.clone(), known })?;
            slot.clone_from(checked_version(name, chosen)?);
        }
        let of_kubernetes = OF_KUBERNETES.map(|name| (name.to_owned(), version.to_string()));
        versions.extend(of_kubernetes);
        Ok(versions.iter().filter_map(|(name, version)| self.component(name, version, platform)).collect())
    }

    fn component(&self, name: &str, version: &str, platform: &Platform) -> Option<Component> {
        let source = self.source.get(name)?;
        let fill = |template: &str| {
            let bare = version.strip_prefix('v').unwrap_or(version);
            let filled = template.replace("{version}", version).replace("{bare}", bare);
            filled.replace("{arch}", &platform.architecture)
        };
        Some(Component {
            name: name.to_owned(),
            version: version.to_owned(),
            platform: platform.clone(),
            url: fill(&source.url),
            checksum_url: fill(&source.checksum),
        })
    }

    fn unsupported(&self, version: &KubernetesVersion) -> ComponentsError {
        let supported = self.minors().map(ToOwned::to_owned).collect();
        ComponentsError::UnsupportedVersion { version: version.clone(), supported }
    }
}

/// Versions become parts of URLs, so nothing but what versions are made of may stand in them.
fn checked_version<'a>(name: &str, version: &'a String) -> Result<&'a String, ComponentsError> {
    if is_version(version) {
        return Ok(version);
    }
    Err(ComponentsError::Version { name: name.to_owned(), version: version.clone() })
}

/// Whether `version` is written like `v1.2.3`, and holds nothing that ends a part of a path.
pub(crate) fn is_version(version: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let form = version.strip_prefix('v').is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains('.') && rest.chars().all(legal)
    });
    form && !version.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ComponentTable {
        ComponentTable::built_in().unwrap()
    }

    #[test]
    fn every_component_of_the_table_has_a_source_and_a_legal_name() {
        for minor in table().minors() {
            let version = format!("{minor}.3").parse().unwrap();
            let components = table().components(&version, &Platform::linux_amd64(), &BTreeMap::new()).unwrap();
            assert_eq!(components.len(), table().versions[minor].len() + OF_KUBERNETES.len());
            for component in components {
                assert!(!component.url.contains('{') && !component.checksum_url.contains('{'), "{component:?}");
                assert!(component.artifact_name().is_ok(), "{component:?}");
            }
        }
    }

    #[test]
    fn names_are_those_of_the_urls() {
        let overrides = BTreeMap::from([("containerd".to_owned(), "v2.5.0-rc.1".to_owned())]);
        let version = "v1.36.3".parse().unwrap();
        let components = table().components(&version, &Platform::linux_amd64(), &overrides).unwrap();
        let names: Vec<String> = components.iter().map(|c| c.artifact_name().unwrap().to_string()).collect();
        insta::assert_snapshot!(names.join("\n"), @r#"
github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz:v1.9.1
github.com/containerd/containerd/releases/download/v2.5.0-rc.1/containerd-2.5.0-rc.1-linux-amd64.tar.gz:v2.5.0-rc.1
get.helm.sh/helm-v3.22.0-linux-amd64.tar.gz:v3.22.0
dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubeadm:v1.36.3
dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubectl:v1.36.3
dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubelet:v1.36.3
github.com/opencontainers/runc/releases/download/v1.5.2/runc.amd64:v1.5.2
"#);
    }

    #[test]
    fn unknown_versions_and_components_are_refused() {
        let components = |version: &str, name: &str, value: &str| {
            let overrides = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            table().components(&version.parse().unwrap(), &Platform::linux_amd64(), &overrides).unwrap_err().to_string()
        };
        insta::assert_snapshot!(components("v1.20.0", "runc", "v1.4.0"), @"Kubernetes v1.20.0 is not supported, only v1.35, v1.36, v1.37");
        insta::assert_snapshot!(components("v1.36.0", "kubelet", "v1.4.0"), @r#"no version can be chosen for the component "kubelet", only for cni-plugins, containerd, helm, runc"#);
        insta::assert_snapshot!(components("v1.36.0", "runc", "../../x"), @r#""../../x" is not a version of runc, which is written like v1.2.3"#);
        insta::assert_snapshot!(components("v1.36.0", "runc", "v1.0/../x"), @r#""v1.0/../x" is not a version of runc, which is written like v1.2.3"#);
    }
}
