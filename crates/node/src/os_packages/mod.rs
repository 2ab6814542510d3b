//! OS packages of the release on one machine: laid down in a folder that root owns, resolved by apt, installed by dpkg.
//!
//! apt sees this folder and nothing else: the machine's own sources, and what they would bring, stay out. What vouches for a package is the
//! digest in the signed release; the folder is trusted because it holds what the plan says, and nothing else, at the moment of use.

mod apt;
mod folder;
mod look;
mod restart;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use apt::{
    Apt, Interrupted, Known, finish_interrupted, installed, is_at_least, is_interrupted, known, outlast_others,
};
pub(crate) use folder::{contents, contents_of, is_file_name, place_of, set_folder};
pub use look::{OsLook, OsLookRequest, OsSetIndex, look};
pub(crate) use restart::{Begun, reason as restart_reason};

/// Where OS packages are laid down, a folder for each set.
pub const FOLDER: &str = "/var/lib/sealock/os-packages";
/// The index of a set, in its folder.
pub const INDEX: &str = "Packages";

/// What Sealock brings itself, under the names that distributions and projects give it: no candidate, whatever the release has.
pub const BROUGHT_OTHERWISE: [&str; 9] = [
    "kubeadm",
    "kubelet",
    "kubectl",
    "kubernetes-cni",
    "cri-tools",
    "containerd",
    "containerd.io",
    "runc",
    "containernetworking-plugins",
];

/// One OS package that changes on a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PackageChange {
    /// The package.
    pub package: String,
    /// As dpkg has it: `amd64`, `all`.
    pub architecture: String,
    /// The version that is installed; nothing where the package is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The version that comes; nothing where the package goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Whether `name` is one that Debian lets a package have: apt takes it for nothing else.
pub(crate) fn is_package_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    // A plus or minus at the end means more to apt than the name.
    let plain = name.bytes().all(allowed) && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    plain && !name.ends_with('-')
}

impl PackageChange {
    /// Whether it is a kernel: it runs when the machine has started anew, and not before.
    pub fn is_kernel(&self) -> bool {
        self.to.is_some() && ["linux-image-", "linux-modules-"].iter().any(|kernel| self.package.starts_with(kernel))
    }
}

impl fmt::Display for PackageChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { package, from, to, .. } = self;
        match (from, to) {
            (Some(from), Some(to)) => write!(f, "{package} {from} to {to}"),
            (None, Some(to)) => write!(f, "{package} {to} (new)"),
            (Some(from), None) => write!(f, "{package} {from} (goes)"),
            (None, None) => write!(f, "{package} (goes)"),
        }
    }
}
