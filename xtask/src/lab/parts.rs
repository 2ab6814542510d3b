//! The lab's parts: real software, built or downloaded once by `lab/parts/build.sh` and kept in the user's cache folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::run;

/// Where the built parts lie.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    /// `machine.tar`: the Debian system that every machine boots.
    pub(super) rootfs: PathBuf,
    /// `www/`, `registry/`, `images.txt` and the key that signs: what the outside serves.
    pub(super) upstream: PathBuf,
    /// `bin/coredns`.
    pub(super) coredns: PathBuf,
    /// `bin/registry`.
    pub(super) registry: PathBuf,
}

/// The project's `lab/` folder.
pub(super) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, |root| root.join("lab"))
}

/// What the outside serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upstream {
    /// One Kubernetes.
    #[default]
    One,
    /// The next one, too: a cluster is to be upgraded.
    WithNext,
    /// Another containerd and other CNI plugins for the one Kubernetes, too.
    WithPatches,
    /// The next one, and the images of add-ons, too.
    WithAddOns,
    /// The next one and the one before, too: a cluster is to be upgraded over two minor versions.
    ThreeMinors,
}

const NEXT: &[&str] = &["kubernetes-next", "coredns-next", "etcd-next", "upstream-next"];
const PATCHED: &[&str] = &["containerd-patched", "cni-plugins-patched", "upstream-patched"];
const ADD_ONS: &[&str] = &["metrics-server", "local-path-provisioner", "traefik", "upstream-add-ons"];
const BEFORE: &[&str] = &["kubernetes-before", "coredns-before", "etcd-before", "upstream-before"];

impl Upstream {
    fn part(self) -> &'static str {
        match self {
            Self::One => "upstream",
            Self::WithNext => "upstream-next",
            Self::WithPatches => "upstream-patched",
            Self::WithAddOns => "upstream-add-ons",
            Self::ThreeMinors => "upstream-before",
        }
    }

    /// What has to be built beside the lab's usual parts.
    fn more(self) -> Vec<&'static str> {
        match self {
            Self::One => Vec::new(),
            Self::WithNext => NEXT.to_vec(),
            Self::WithPatches => PATCHED.to_vec(),
            Self::WithAddOns => [NEXT, ADD_ONS].concat(),
            Self::ThreeMinors => [NEXT, BEFORE].concat(),
        }
    }
}

/// Installs what this computer lacks, and builds the parts that are not in the cache.
///
/// # Errors
/// A package or a part that cannot be had; what went wrong is on standard error.
pub(super) fn build(upstream: Upstream) -> Result<Parts> {
    run_script("setup.sh", &[])?;
    run_script("parts/build.sh", &[])?;
    let more = upstream.more();
    if !more.is_empty() {
        run_script("parts/build.sh", &more)?;
    }
    locate(upstream)
}

fn run_script(script: &str, args: &[&str]) -> Result<()> {
    let script = scripts().join(script);
    let status = Command::new(&script).args(args).status();
    let status = status.with_context(|| format!("{} cannot be started", script.display()))?;
    if !status.success() {
        bail!("{}: {status}", script.display());
    }
    Ok(())
}

fn locate(upstream: Upstream) -> Result<Parts> {
    let path_of = |part: &str| -> Result<PathBuf> {
        let script = scripts().join("parts/build.sh");
        let path = PathBuf::from(run::run(&script.to_string_lossy(), &["--path", part])?.trim());
        if !path.is_dir() {
            bail!("{}: not there, though the parts were built", path.display());
        }
        Ok(path)
    };
    Ok(Parts {
        rootfs: path_of("rootfs")?,
        upstream: path_of(upstream.part())?,
        coredns: path_of("coredns")?,
        registry: path_of("registry")?,
    })
}
