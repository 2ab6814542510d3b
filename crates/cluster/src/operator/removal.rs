//! Takes one host out of a cluster that goes on.
//!
//! In this order, so that whatever cuts it off, the same again goes on: its pods leave (that is the caller's, see
//! [`crate::nodes::drain`]), its member leaves etcd, the host is given back, its node is forgotten, the others are told.
//! A data directory goes only after another member has confirmed that its owner is none any more.

use std::sync::Arc;

use super::{Operator, OperatorError, Planned};
use crate::execute::{self, Connection};
use crate::plan::{self, PlanError};
use crate::spec::Cluster;

/// A host that is to leave, after all that can be known before was looked at.
#[derive(Debug)]
pub struct Removal {
    host: String,
    is_control_plane: bool,
    /// The cluster without it.
    pub rest: Cluster,
    /// What gives the host back; nothing where it is lost.
    pub give_back: Option<Planned>,
    /// A control plane host that stays.
    speaker: Arc<Connection>,
    program: String,
}

/// What became of a host's member of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It had none.
    Never,
    /// Another member confirms that it is none any more.
    Confirmed,
}

impl Operator<'_> {
    /// Looks whether the host called `host` can leave `cluster`. A host that is `lost` is not asked. Nothing is changed.
    ///
    /// # Errors
    /// [`PlanError::LastControlPlane`]; `QUORUM`, where etcd would lose its majority; a host cannot be asked.
    pub async fn removal(&self, cluster: &Cluster, host: &str, lost: bool) -> Result<Removal, OperatorError> {
        self.check_site(cluster)?;
        let (leaving, rest) = (cluster.only(host), cluster.without(host));
        let is_control_plane = leaving.control_planes().next().is_some();
        let speaker = self.speaker_of(&rest, host).await?;
        let give_back = if lost { None } else { Some(self.give_back(&leaving).await?) };
        let program = self.binary.path_there();
        let removal = Removal { host: host.to_owned(), is_control_plane, rest, give_back, speaker, program };
        if removal.is_member().await? {
            removal.speaker.etcd_remove(&removal.program, host, true).await?;
        }
        Ok(removal)
    }

    /// A connection to the first control plane host of `rest` that answers, with Sealock on it.
    async fn speaker_of(&self, rest: &Cluster, leaving: &str) -> Result<Arc<Connection>, OperatorError> {
        let mut silent = OperatorError::from(PlanError::LastControlPlane { host: leaving.to_owned() });
        for plane in rest.control_planes() {
            match execute::connect(std::slice::from_ref(plane), &self.ssh).await {
                Ok(connections) => {
                    execute::observe(&connections, &self.binary).await?;
                    if let Some(connection) = connections.into_iter().next() {
                        return Ok(connection);
                    }
                }
                Err(error) => silent = error.into(),
            }
        }
        Err(silent)
    }

    async fn give_back(&self, leaving: &Cluster) -> Result<Planned, OperatorError> {
        let (connections, inventory) = self.look(leaving).await?;
        let plan = plan::plan_removal(leaving, self.release, &self.registry(), &inventory)?;
        self.assess(plan, inventory, false, connections).await
    }
}

impl Removal {
    /// Takes the host's member out of etcd, and looks whether it is out.
    ///
    /// # Errors
    /// `QUORUM`; what etcd says.
    pub async fn leave_etcd(&self) -> Result<Left, OperatorError> {
        if !self.is_control_plane {
            return Ok(Left::Never);
        }
        if self.is_member().await? {
            self.speaker.etcd_remove(&self.program, &self.host, false).await?;
        }
        if self.is_member().await? {
            return Err(OperatorError::StillMember { host: self.host.clone() });
        }
        Ok(Left::Confirmed)
    }

    /// Takes the node out of the cluster's API.
    ///
    /// # Errors
    /// What kubectl says.
    pub async fn forget_node(&self) -> Result<(), OperatorError> {
        let delete = ["delete", "node", &self.host, "--ignore-not-found", "--timeout=60s"];
        Ok(self.speaker.admin_kubectl(&delete).await.map(drop)?)
    }

    /// Whether a majority of etcd knows the host as a member, or would not say.
    async fn is_member(&self) -> Result<bool, OperatorError> {
        if !self.is_control_plane {
            return Ok(false);
        }
        let members = self.speaker.etcd_members(&self.program).await?;
        Ok(!members.agreed || members.has(&self.host))
    }
}
