//! What a cluster needs from a release: which image stands under a name, and where a component's bytes are.

use std::cmp::Ordering;

use sealock_node::step::{Artifact, Image};
use sealock_store::release::{Published, Reference, ReferenceKind};

/// A program that comes as a release file of its project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `kubeadm` of `dl.k8s.io`.
    Kubeadm,
    /// `kubelet` of `dl.k8s.io`.
    Kubelet,
    /// `kubectl` of `dl.k8s.io`.
    Kubectl,
    /// containerd, its shim and `ctr`.
    Containerd,
    /// The container runtime below containerd.
    Runc,
    /// The reference plugins of the Container Network Interface.
    CniPlugins,
    /// Helm.
    Helm,
    /// `etcd` of etcd's release.
    Etcd,
    /// `etcdctl` of the same.
    Etcdctl,
    /// `etcdutl` of the same.
    Etcdutl,
}

impl Program {
    /// The component's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubeadm => "kubeadm",
            Self::Kubelet => "kubelet",
            Self::Kubectl => "kubectl",
            Self::Containerd => "containerd",
            Self::Runc => "runc",
            Self::CniPlugins => "cni-plugins",
            Self::Helm => "helm",
            Self::Etcd => "etcd",
            Self::Etcdctl => "etcdctl",
            Self::Etcdutl => "etcdutl",
        }
    }

    /// The path inside the archive that the artifact is; none where the artifact is the program itself, or all of it is wanted.
    pub(crate) fn member(self, version: &str, architecture: &str) -> Option<String> {
        match self {
            Self::Helm => Some(format!("linux-{architecture}/helm")),
            Self::Etcd | Self::Etcdctl | Self::Etcdutl => {
                Some(format!("etcd-{version}-linux-{architecture}/{}", self.as_str()))
            }
            _ => None,
        }
    }

    /// How the project names the file: what stands before and behind the part that changes with the version.
    fn pattern(self, architecture: &str) -> (String, String) {
        let of_kubernetes = |name: &str| ("dl.k8s.io/release/".into(), format!("/bin/linux/{architecture}/{name}"));
        match self {
            Self::Kubeadm | Self::Kubelet | Self::Kubectl => of_kubernetes(self.as_str()),
            Self::Containerd => {
                ("github.com/containerd/containerd/releases/download/".into(), format!("-linux-{architecture}.tar.gz"))
            }
            Self::Runc => ("github.com/opencontainers/runc/releases/download/".into(), format!("/runc.{architecture}")),
            Self::CniPlugins => (
                "github.com/containernetworking/plugins/releases/download/".into(),
                // The version stands behind the architecture here.
                format!("/cni-plugins-linux-{architecture}-"),
            ),
            Self::Helm => ("get.helm.sh/helm-".into(), format!("-linux-{architecture}.tar.gz")),
            Self::Etcd | Self::Etcdctl | Self::Etcdutl => {
                ("github.com/etcd-io/etcd/releases/download/".into(), format!("-linux-{architecture}.tar.gz"))
            }
        }
    }
}

/// A program found in a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Like `v2.4.2`: the tag of its reference.
    pub version: String,
    /// Where its bytes are.
    pub artifact: Artifact,
}

/// A release as clusters see it.
#[derive(Clone, Copy, Debug)]
pub struct ReleaseView<'a> {
    published: &'a Published,
}

/// What a release does not carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("release {release} carries no {what}")]
pub struct NotInRelease {
    /// The release's number.
    pub release: u64,
    /// What was looked for.
    pub what: String,
}

impl<'a> ReleaseView<'a> {
    /// A view of `published`.
    pub fn new(published: &'a Published) -> Self {
        Self { published }
    }

    /// The release's number.
    pub fn number(&self) -> u64 {
        self.published.release.number
    }

    /// The release and the digest of its file.
    pub fn published(&self) -> &'a Published {
        self.published
    }

    /// Everything that can be asked for by name.
    pub fn references(&self) -> &'a [Reference] {
        &self.published.release.references
    }

    /// The image `name`, like `registry.k8s.io/pause:3.10.2`.
    ///
    /// # Errors
    /// It is not in the release.
    pub fn image(&self, name: &str) -> Result<Image, NotInRelease> {
        let is_it = |reference: &&Reference| reference.kind == ReferenceKind::Image && reference.name == name;
        let found = self.references().iter().find(is_it).ok_or_else(|| self.missing(format!("image {name}")))?;
        Ok(Image { name: found.name.clone(), digest: found.digest.clone() })
    }

    /// Whether there is an image of this full name, or of this digest.
    pub(crate) fn holds(&self, name: &str) -> bool {
        let digest = name.split_once('@').map(|(_, digest)| digest);
        let images = self.references().iter().filter(|reference| reference.kind == ReferenceKind::Image);
        images.into_iter().any(|image| match digest {
            Some(digest) => image.digest.to_string() == digest,
            None => image.name == name,
        })
    }

    /// `program` for `architecture`, in exactly `version` where one is asked for, else in the newest.
    ///
    /// # Errors
    /// It is not in the release.
    pub fn program(&self, program: Program, architecture: &str, version: Option<&str>) -> Result<Found, NotInRelease> {
        let matching =
            self.of(program, architecture).filter(|found| version.is_none_or(|version| version == found.version));
        matching.max_by(|a, b| compare_versions(&a.version, &b.version)).ok_or_else(|| {
            let wanted = version.map(|version| format!(" {version}")).unwrap_or_default();
            self.missing(format!("{}{wanted} for linux/{architecture}", program.as_str()))
        })
    }

    /// The versions in which the release carries `program` for `architecture`.
    pub(crate) fn versions(&self, program: Program, architecture: &str) -> Vec<String> {
        self.of(program, architecture).map(|found| found.version).collect()
    }

    fn of(&self, program: Program, architecture: &str) -> impl Iterator<Item = Found> {
        let (before, behind) = program.pattern(architecture);
        let files = self.references().iter().filter(|reference| reference.kind == ReferenceKind::File);
        files.filter_map(move |reference| {
            let (repository, tag) = reference.name.rsplit_once(':')?;
            let file_fits = match program {
                Program::CniPlugins => repository.contains(&behind),
                _ => repository.ends_with(&behind),
            };
            let artifact = Artifact { repository: repository.into(), digest: reference.digest.clone() };
            (repository.starts_with(&before) && file_fits).then(|| Found { version: tag.into(), artifact })
        })
    }

    fn missing(&self, what: String) -> NotInRelease {
        NotInRelease { release: self.number(), what }
    }
}

/// Compares dotted versions number by number; text that is no number counts as text.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(u64, String)> {
        let text = text.strip_prefix('v').unwrap_or(text);
        text.split(['.', '-']).map(|part| (part.parse().unwrap_or(0), part.into())).collect()
    };
    let (a, b) = (parts(a), parts(b));
    let numbers = |parts: &[(u64, String)]| parts.iter().map(|part| part.0).collect::<Vec<_>>();
    numbers(&a).cmp(&numbers(&b)).then_with(|| a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcds_programs_are_found_in_the_archive_of_their_release() {
        let (before, behind) = Program::Etcdutl.pattern("amd64");
        let name = "github.com/etcd-io/etcd/releases/download/v3.6.8/etcd-v3.6.8-linux-amd64.tar.gz";
        assert!(name.starts_with(&before) && name.ends_with(&behind));
        assert_eq!(Program::Etcdutl.member("v3.6.8", "amd64").unwrap(), "etcd-v3.6.8-linux-amd64/etcdutl");
        assert_eq!(Program::Kubelet.member("v1.36.3", "amd64"), None);
    }

    #[test]
    fn ten_is_newer_than_nine() {
        assert_eq!(compare_versions("v1.10.0", "v1.9.9"), Ordering::Greater);
        assert_eq!(compare_versions("v1.36.3", "v1.36.3"), Ordering::Equal);
    }
}
