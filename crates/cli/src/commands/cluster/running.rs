//! A cluster that this station has made, and the programs that talk to it.

use std::path::{Path, PathBuf};

use sealock_cluster::apps::{LiveRelease, Target};
use sealock_cluster::operator::kubeconfig;
use sealock_cluster::release::ReleaseView;
use sealock_cluster::revoked::Revoked;
use sealock_cluster::tools::Toolbox;
use sealock_cluster::{Cluster, Plan};
use sealock_store::Published;

use super::target::load;
use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;

/// The flags that name a node of a cluster.
#[derive(Debug, clap::Args)]
pub struct NodeArgs {
    /// A host of the cluster, as the spec calls it
    #[arg(value_name = "HOST")]
    pub host: String,
    /// The cluster spec (kind: Cluster)
    #[arg(short, long, value_name = "FILE", default_value = "cluster.yaml")]
    file: PathBuf,
}

/// A cluster that this station has made.
#[derive(Debug)]
pub struct Running {
    name: String,
    station: Station,
    release: Published,
    revoked: Revoked,
    /// The plan that made it: it knows the version whose kubectl is to be used.
    plan: Plan,
    folder: PathBuf,
    kubeconfig: PathBuf,
}

impl Running {
    /// The cluster of the spec that has the node.
    ///
    /// # Errors
    /// The spec cannot be read, or has no such host; as [`Self::open`].
    pub fn of_node(args: &NodeArgs, context: &Context) -> Result<Self> {
        let cluster = load(&args.file)?;
        check_host(&cluster, &args.host, &args.file)?;
        Self::open(cluster.name().as_str(), context)
    }

    /// # Errors
    /// This is no station, has no release, or has made no such cluster.
    pub fn open(name: &str, context: &Context) -> Result<Self> {
        let station = Station::open(context)?;
        let release = station.current_release()?;
        let folder = context.paths.cluster(name);
        let plan = applied_plan(&folder, name)?;
        let revoked = revocations::facts(&station, &release, context)?;
        let kubeconfig = folder.join("kubeconfig");
        kubeconfig::keep_reachable(&kubeconfig, &plan)?;
        Ok(Self { name: name.to_owned(), station, release, revoked, plan, folder, kubeconfig })
    }

    /// The release that its programs and images come from.
    pub fn release(&self) -> u64 {
        self.release.release.number
    }

    /// Every release that the site still serves, the newest first, and what of it is revoked.
    ///
    /// # Errors
    /// Store, trust directory or plans cannot be read.
    pub fn live(&self, context: &Context) -> Result<Vec<LiveRelease>> {
        let releases = self.station.store.live_releases(self.station.site.site_keys())?;
        let with_facts = releases.into_iter().map(|published| {
            let revoked = revocations::facts(&self.station, &published, context)?;
            Ok(LiveRelease { published, revoked })
        });
        with_facts.collect()
    }

    /// Where the station keeps what it knows of the cluster.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Programs and charts of the release.
    pub fn toolbox(&self) -> Toolbox<'_> {
        Toolbox::new(&self.station.store, ReleaseView::new(&self.release), &self.revoked, self.folder.join("bin"))
    }

    /// The cluster, to be worked on with what is in `toolbox`.
    pub fn target<'a>(&'a self, toolbox: &'a Toolbox<'a>) -> Target<'a> {
        Target { cluster: &self.name, kubernetes: &self.plan.kubernetes, kubeconfig: &self.kubeconfig, toolbox }
    }
}

/// Whether the spec in `file` has such a host.
///
/// # Errors
/// It has not.
pub fn check_host(cluster: &Cluster, host: &str, file: &Path) -> Result<()> {
    if cluster.host(host).is_some() {
        return Ok(());
    }
    let problem = format!("{} has no host {host:?}", file.display());
    let hosts: Vec<&str> = cluster.hosts().iter().map(|host| host.name.as_str()).collect();
    Err(CommandError::usage(problem).hint(format!("It has {}.", hosts.join(", "))))
}

/// The plan that made the cluster whose folder is `folder`.
///
/// # Errors
/// This station has made no such cluster.
pub fn applied_plan(folder: &Path, cluster: &str) -> Result<Plan> {
    let path = folder.join("applied.json");
    if !path.exists() {
        let problem = format!("this station has made no cluster {cluster}");
        return Err(CommandError::failed(problem).hint("`sealock cluster apply` makes it."));
    }
    Ok(sealock_cluster::operator::read_plan(&path)?)
}
