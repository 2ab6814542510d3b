//! `sealock cluster kubeconfig`

use std::path::PathBuf;

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
    let path = context.paths.cluster(cluster.name().as_str()).join("kubeconfig");
    if !path.exists() {
        let problem = format!("there is no kubeconfig of cluster {} at this station", cluster.name());
        return Err(CommandError::failed(problem).hint("`sealock cluster apply` makes the cluster and fetches it."));
    }
    context.ui.text(files::read_text(&path)?)
}
