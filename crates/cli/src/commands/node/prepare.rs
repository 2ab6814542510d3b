//! `sealock node prepare`

use std::path::{Path, PathBuf};

use sealock_cluster::machine::{Means, kubernetes_images, plan};
use sealock_cluster::spec::KubernetesVersion;
use sealock_node::{Local, facts, runner};

use super::carry_out::carry_out;
use super::own_node::overrides;
use super::supply::SupplyArgs;
use crate::context::Context;
use crate::error::Result;

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
    #[command(flatten)]
    supply: SupplyArgs,
    /// What is done differently: the fields of `overrides` in a cluster spec
    #[arg(long, value_name = "FILE")]
    overrides: Option<PathBuf>,
}

pub fn run(args: &PrepareArgs, context: &Context) -> Result<()> {
    let supply = args.supply.open()?;
    let overrides = overrides(args.overrides.as_deref())?;
    let host = Local::new();
    let facts = facts::observe(&host, Path::new(runner::FOLDER))?;
    // Before kubeadm is taken out of the release, and run.
    plan::check_machine(args.kubernetes, &facts)?;
    args.supply.check_site(&supply, &host)?;
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
