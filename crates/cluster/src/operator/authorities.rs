//! The authorities of a cluster, replaced by others while it serves.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use sealock_node::step::{AuthoritiesSupplied, Stage};
use sealock_node::{StepKind, served};

use super::supplied::{SuppliedFiles, held};
use super::{Operator, OperatorError, Planned};
use crate::execute::Connection;
use crate::inventory::Inventory;
use crate::nodes::{self, OldReader};
use crate::plan::{self, AuthoritiesError, CustodyError, Order, Plan, PlanError, Purpose, Workloads};
use crate::spec::{API_PORT, Cluster, Role};

const ETCD_PORT: u16 = 2379;
/// A server's name for an error, its port, the name in its certificate, and the authority that issues it.
const SERVERS: [(&str, u16, &str, &str); 2] = [
    ("the API server", API_PORT, "kubernetes", "/etc/kubernetes/pki/ca.crt"),
    ("etcd", ETCD_PORT, "localhost", "/etc/kubernetes/pki/etcd/ca.crt"),
];

/// What becomes of pods that may have read an authority from before, when the new one begins to issue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    /// Whatever can be started anew is.
    pub restart: bool,
    /// They are left as they are.
    pub leave: bool,
}

impl Operator<'_> {
    /// The plan that brings the authorities of `cluster` to `stage`, or the one for it that was begun and not finished.
    ///
    /// # Errors
    /// A host is another's, or cannot be asked; etcd is not well; the stage before is not reached; another plan is open; pods have not
    /// read the new authorities, and nobody said what is to become of them.
    pub async fn plan_authorities(
        &self,
        cluster: &Cluster,
        stage: Stage,
        readers: Readers,
    ) -> Result<Planned, OperatorError> {
        self.check_site(cluster)?;
        if cluster.external_etcd().is_some() {
            let cluster = cluster.name().to_string();
            return Err(PlanError::from(AuthoritiesError::ExternalEtcd { cluster }).into());
        }
        if cluster.external_pki().is_some() {
            return Err(PlanError::from(CustodyError::KeptOutside { cluster: cluster.name().to_string() }).into());
        }
        self.check_nothing_open_but(Some(stage))?;
        let files = SuppliedFiles::read(cluster)?;
        let supplied = files.as_ref().map(|files| &files.supplied);
        let (connections, inventory) = self.look(cluster).await?;
        let begun = self.open_authorities()?;
        let is_begun = begun.is_some();
        let (plan, resumed) = match begun {
            Some(open) if open.spec == cluster.digest() && brings(&open, supplied) => {
                open.check_resumable(&inventory)?;
                (open, true)
            }
            // A host has left since, or come: what is left to do is in the files of the others.
            _ => {
                let program = self.binary.path_there();
                let order = Order { stage, program: &program, restart: Vec::new(), supplied };
                let site = (self.release, &self.registry());
                // Whether the stage may begin at all is told before pods are asked about.
                let plan = plan::plan_authorities(cluster, site, &inventory, &order)?;
                let plan = match self.readers_before(cluster, stage, (readers, &inventory)).await? {
                    restart if restart.is_empty() => plan,
                    restart => plan::plan_authorities(cluster, site, &inventory, &Order { restart, ..order })?,
                };
                if !is_begun {
                    self.check_etcd_for_upgrade(cluster, &plan, &connections).await?;
                }
                (plan, false)
            }
        };
        let held = held(None, files.as_ref())?;
        let planned = Planned { held, ..self.assess(plan, inventory, resumed, connections).await? };
        if let Some(files) = files.filter(|_| lacks_new(&planned)) {
            files.check_beginning().map_err(PlanError::from)?;
        }
        if is_begun && !planned.is_done() {
            let under_way = plan::plane_under_way(&planned.plan, &planned.assessment);
            self.check_etcd_but(cluster, under_way, &planned.connections).await?;
        }
        Ok(planned)
    }

    /// Pods that may believe an authority which the cluster does not publish any more.
    ///
    /// # Errors
    /// What kubectl says.
    pub async fn old_readers(&self, cluster: &Cluster) -> Result<Vec<OldReader>, OperatorError> {
        let reach = self.reach(cluster.name().as_str(), cluster.spec().kubernetes.version.to_string());
        Ok(nodes::old_readers(&reach.target()).await?)
    }

    /// What is started anew before new authorities issue.
    async fn readers_before(
        &self,
        cluster: &Cluster,
        stage: Stage,
        (readers, inventory): (Readers, &Inventory),
    ) -> Result<Vec<Workloads>, OperatorError> {
        if stage != Stage::Issue || plan::is_issuing(inventory) {
            return Ok(Vec::new());
        }
        let old = self.old_readers(cluster).await?;
        let restart: BTreeSet<Workloads> =
            old.iter().filter_map(|reader| reader.of.clone()).filter(|_| readers.restart).collect();
        let left = old.iter().filter(|reader| reader.of.is_none() || !readers.restart);
        let left: Vec<String> = left.map(ToString::to_string).collect();
        if !left.is_empty() && !readers.leave {
            return Err(PlanError::from(AuthoritiesError::OldReaders { pods: left }).into());
        }
        Ok(restart.into_iter().collect())
    }

    /// The change of authorities that was begun and not finished.
    pub(super) fn open_authorities(&self) -> Result<Option<Plan>, OperatorError> {
        Ok(self.open_plans()?.into_iter().find(|plan| plan.purpose == Purpose::Authorities))
    }

    /// While a change of authorities is under way, nothing else is planned but the rest of it.
    pub(super) fn check_no_authorities(&self, but: Option<Stage>) -> Result<(), OperatorError> {
        let open = self.open_authorities()?.as_ref().and_then(plan::stage_of);
        match open.filter(|stage| Some(*stage) != but) {
            Some(stage) => Err(PlanError::from(AuthoritiesError::Open { stage }).into()),
            None => Ok(()),
        }
    }

    /// Looks from here at what every server of the control planes shows. Who cannot be reached from here is given back, with the reason: the
    /// host itself has seen it.
    pub(super) async fn see_authorities(
        &self,
        plan: &Plan,
        connections: &[Arc<Connection>],
    ) -> Result<Vec<String>, OperatorError> {
        let mut unreached = Vec::new();
        for host in plan.hosts.iter().filter(|host| host.roles.contains(&Role::ControlPlane)) {
            let connection = connections.iter().find(|one| one.host() == host.name);
            let connection =
                connection.ok_or_else(|| PlanError::NotObserved { host: host.name.clone() })?.alive().await?;
            for (server, port, name, authority) in SERVERS {
                let ca = connection.read_root_file(authority).await?;
                let ca = String::from_utf8_lossy(&ca).into_owned();
                let unseen = |problem: String| AuthoritiesError::Unseen { server, host: host.name.clone(), problem };
                let address = host.address.parse().map_err(|_| PlanError::NotObserved { host: host.name.clone() })?;
                let address = SocketAddr::new(address, port);
                let seen = tokio::task::spawn_blocking(move || served::certificate(address, name, &ca)).await;
                match seen.map_err(std::io::Error::other).and_then(|seen| seen) {
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                        return Err(PlanError::from(unseen(error.to_string())).into());
                    }
                    Err(error) => unreached.push(format!("{server} of {} ({error})", host.name)),
                }
            }
        }
        Ok(unreached)
    }
}

/// Whether what `plan` brings to come next is what the spec's files hold now; a later stage brings nothing.
fn brings(plan: &Plan, supplied: Option<&AuthoritiesSupplied>) -> bool {
    let certificates = supplied.map(|supplied| supplied.certificates.clone()).unwrap_or_default();
    plan::brought_by(plan).is_none_or(|brought| *brought == certificates)
}

/// Whether the authorities that come next are still to be brought.
fn lacks_new(planned: &Planned) -> bool {
    let mut missing = planned.assessment.differences(&planned.plan);
    missing.any(|(_, step, _)| matches!(step.action, StepKind::AuthoritiesMade(_)))
}
