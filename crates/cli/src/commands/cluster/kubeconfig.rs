//! `sealock cluster kubeconfig`

use std::path::PathBuf;

use sealock_cluster::operator::kubeconfig;

use super::running::applied_plan;
use super::target::load;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;

/// Write the cluster's administrator kubeconfig to standard output
///
/// Whoever holds it may do everything on the cluster.
#[derive(Debug, clap::Args)]
pub struct KubeconfigArgs {
    /// The cluster spec (kind: Cluster)
    #[arg(short, long, value_name = "FILE", default_value = "cluster.yaml")]
    file: PathBuf,
}

pub fn run(args: &KubeconfigArgs, context: &Context) -> Result<()> {
    let cluster = load(&args.file)?;
    let folder = context.paths.cluster(cluster.name().as_str());
    let path = folder.join("kubeconfig");
    if !path.exists() {
        let problem = format!("there is no kubeconfig of cluster {} at this station", cluster.name());
        return Err(CommandError::failed(problem).hint("`sealock cluster apply` makes the cluster and fetches it."));
    }
    kubeconfig::keep_reachable(&path, &applied_plan(&folder, cluster.name().as_str())?)?;
    context.ui.text(files::read_text(&path)?)
}
