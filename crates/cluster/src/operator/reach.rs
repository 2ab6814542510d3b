//! The cluster as the release's kubectl reaches it from the station.

use std::path::PathBuf;

use super::Operator;
use crate::apps::Target;
use crate::tools::Toolbox;

/// Owns what a [`Target`] borrows.
pub(super) struct Reach<'a> {
    cluster: &'a str,
    kubernetes: String,
    kubeconfig: PathBuf,
    toolbox: Toolbox<'a>,
}

impl Operator<'_> {
    /// The cluster called `cluster`, which runs the version `kubernetes`.
    pub(super) fn reach<'a>(&'a self, cluster: &'a str, kubernetes: String) -> Reach<'a> {
        let (kubeconfig, toolbox) = (self.kubeconfig_path(), self.toolbox());
        Reach { cluster, kubernetes, kubeconfig, toolbox }
    }
}

impl Reach<'_> {
    /// What is spoken to.
    pub(super) fn target(&self) -> Target<'_> {
        let Self { cluster, kubernetes, kubeconfig, toolbox } = self;
        Target { cluster, kubernetes, kubeconfig, toolbox }
    }
}
