//! `sealock node prepare`

use std::path::{Path, PathBuf};

use sealock_cluster::machine::{Means, Supply, kubernetes_images, plan};
use sealock_cluster::spec::KubernetesVersion;
use sealock_node::{Local, facts, runner};
use sealock_trust::Digest;

use super::carry_out::carry_out;
use super::own_node::overrides;
use crate::context::Context;
use crate::error::Result;
use crate::files;

/// Put onto this machine all that kubeadm needs, out of the signed release
///
/// Kernel modules and settings, containerd with runc and CNI plugins, kubelet, kubeadm, kubectl, their units, containerd's way to the
/// site registry, and the images of Kubernetes, preloaded and pinned. The site's signature over the release is checked, and every
/// byte by its digest, wherever it comes from. Run again it finishes what was cut off, and changes nothing that is as it should be.
/// With --dry-run each step is looked at, and nothing is changed. `sealock node reset` gives back what was there before.
#[derive(Debug, clap::Args)]
pub struct PrepareArgs {
    /// The Kubernetes version, which the release must carry
    #[arg(long, value_name = "VERSION")]
    kubernetes: KubernetesVersion,
    /// Prepare for a control plane: its images and kubectl, too
    #[arg(long)]
    control_plane: bool,
    /// A copy of the site's store to fetch from, like one on a USB stick [default: the site registry]
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// Where the site registry is, if this machine reaches it at another address than the site root says
    #[arg(long, value_name = "ADDRESS")]
    registry_address: Option<std::net::IpAddr>,
    /// The site root, as it was brought by hand
    #[arg(long, value_name = "FILE")]
    site_root: PathBuf,
    /// The digest of the site root, as `sealock site show` prints it at the station; needed while this machine knows no site yet
    #[arg(long, value_name = "DIGEST")]
    site_root_digest: Option<Digest>,
    /// The signed release [default: the current one of --from]
    #[arg(long, value_name = "FILE", required_unless_present = "from")]
    release: Option<PathBuf>,
    /// What is done differently: the fields of `overrides` in a cluster spec
    #[arg(long, value_name = "FILE")]
    overrides: Option<PathBuf>,
}

/// No site root is near this long.
const MAX_SITE_ROOT: u64 = 1 << 20;

pub fn run(args: &PrepareArgs, context: &Context) -> Result<()> {
    let site_root = files::read_carried(&args.site_root, MAX_SITE_ROOT)?;
    let mut supply = Supply::open(&site_root, args.release.as_deref(), args.from.as_deref())?;
    if let Some(address) = args.registry_address {
        supply.registry.address = address.to_string();
    }
    let overrides = overrides(args.overrides.as_deref())?;
    let host = Local::new();
    let facts = facts::observe(&host, Path::new(runner::FOLDER))?;
    // Before kubeadm is taken out of the release, and run.
    plan::check_machine(args.kubernetes, &facts)?;
    supply.check_site(&host, args.site_root_digest.as_ref())?;
    let images = kubernetes_images(&supply, args.kubernetes, context.paths.state())?;
    let intent = plan::Intent {
        kubernetes: args.kubernetes,
        control_plane: args.control_plane,
        images: &images,
        release: &supply.release,
        site: &plan::SiteName { id: supply.site.id().to_string(), root: supply.site.fingerprint() },
        registry: &supply.registry,
        overrides: &overrides,
    };
    let plan = plan::prepare(&intent, &facts)?;
    let question = format!("Prepare this machine for Kubernetes {}?", args.kubernetes);
    let done = format!("this machine has all that kubeadm {} needs", args.kubernetes);
    carry_out(&plan, Means { supply: Some(&supply), secrets: None }, (&question, &done), context)
}
