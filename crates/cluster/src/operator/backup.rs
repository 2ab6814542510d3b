//! Backups of a cluster: taken from a control plane host that answers, and made a cluster again.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{Timestamp, Unit};
use sealock_node::HostFacts;
use sealock_node::facts::Kubernetes;
use sealock_trust::Digest;
use sealock_trust::format;
use sealock_trust::site::SiteKeys;
use tokio::sync::mpsc;

use super::{Operator, OperatorError, Planned};
use crate::backup::{Backup, BackupError, Delivery, Draft, Identities, Manifest, Order, Recipients};
use crate::execute::Connection;
use crate::plan::{self, Intent, Plan, PlanError, Purpose, ReleaseId, Seed};
use crate::spec::Cluster;
use crate::tools;

/// What is read of a backup at once, and how much of it may wait to be sent.
const PIECE: usize = 256 << 10;
const WAITING: usize = 4;

/// Where a backup goes, and who may open it.
#[derive(Debug)]
pub struct BackupOrder<'a> {
    /// The new file.
    pub to: &'a Path,
    /// Who may open it.
    pub recipients: &'a Recipients,
    /// The text of the cluster's spec.
    pub spec: &'a str,
    /// The site's key, which signs.
    pub keys: &'a SiteKeys,
}

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct BackedUp {
    /// The file.
    pub path: PathBuf,
    /// What names it.
    pub digest: Digest,
    /// Its table of contents.
    pub manifest: Manifest,
}

impl Operator<'_> {
    /// Takes a backup of `cluster` from the first control plane host that answers. Its etcd need not have a majority.
    ///
    /// # Errors
    /// No control plane host answers; its etcd gives no snapshot, or none that can be restored; the file cannot be written.
    pub async fn backup(
        &self,
        cluster: &Cluster,
        order: &BackupOrder<'_>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<BackedUp, OperatorError> {
        self.check_site(cluster)?;
        let taken = Timestamp::now().round(Unit::Second).unwrap_or_else(|_| Timestamp::now());
        let mut draft = Draft::new(order.to)?;
        let source = self.source(cluster).await?;
        let asked = Order { recipients: order.recipients.names(), spec: order.spec.to_owned() };
        let state = source.take_backup(&self.binary, &asked, &mut draft, progress).await?;
        let release = self.release;
        let manifest = Manifest {
            format: format::BACKUP.current.to_owned(),
            site: self.site.id().to_string(),
            cluster: cluster.name().to_string(),
            taken,
            release: ReleaseId { number: release.release.number, digest: release.digest.clone() },
            host: source.host().to_owned(),
            recipients: asked.recipients,
            state,
            payload: draft.payload(),
        };
        let digest = draft.finish(&manifest, order.keys)?;
        Ok(BackedUp { path: order.to.to_owned(), digest, manifest })
    }

    /// A control plane host of `cluster` that answers.
    async fn source(&self, cluster: &Cluster) -> Result<Arc<Connection>, OperatorError> {
        let mut last = None;
        for host in cluster.control_planes() {
            match self.ask(host).await {
                Ok((connection, facts)) if is_plane_of(&facts, cluster) => return Ok(connection),
                Ok(_) => {}
                Err(error) => last = Some(error),
            }
        }
        let none = OperatorError::NoCluster { folder: self.folder.clone() };
        Err(last.map_or(none, OperatorError::Execute))
    }

    /// The plan that makes `cluster` again from `backup`, or the one for it that was begun and not finished.
    ///
    /// # Errors
    /// The backup is of another cluster or version; a host has a cluster already.
    pub async fn plan_restore(&self, cluster: &Cluster, backup: &Backup) -> Result<Planned, OperatorError> {
        self.check_site(cluster)?;
        let images = tools::kubernetes_images(&self.toolbox(), cluster)?;
        let (connections, inventory) = self.look(cluster).await?;
        // One that was carried out is looked at again, and found done.
        let known = [self.open_restore()?, self.applied()?];
        let is_it = |plan: &Plan| plan::restores(plan, backup.digest()) && plan.spec == cluster.digest();
        let (plan, resumed) = match known.into_iter().flatten().find(is_it) {
            Some(known) => {
                known.check_resumable(&inventory)?;
                (known, true)
            }
            _ => {
                let intent = Intent {
                    cluster,
                    release: self.release,
                    registry: &self.registry(),
                    kubernetes_images: &images,
                    earlier_pod_ranges: &self.earlier_pod_ranges()?,
                    earlier_speaker: "",
                    program: &self.binary.path_there(),
                };
                let seed = Seed { backup: backup.digest(), manifest: backup.manifest() };
                (plan::plan_restore(&intent, seed, &inventory)?, false)
            }
        };
        self.assess(plan, inventory, resumed, connections).await
    }

    /// Opens `backup`, and lays what is in it onto the host that the plan begins with, unless its data is restored there already.
    ///
    /// # Errors
    /// No identity opens it; it is damaged; the host does not take it.
    pub async fn bring_backup(
        &self,
        planned: &Planned,
        backup: &Backup,
        identities: &Identities,
    ) -> Result<(), OperatorError> {
        let steps = planned.plan.tasks.iter().flat_map(|task| task.steps.iter().map(move |step| (task, step)));
        let mut of_backup = steps.filter(|(_, step)| step.id.starts_with("backup/") && step.id != "backup/nodes");
        let is_done =
            |task: &str, step: &str| planned.assessment.probe(task, step).is_some_and(sealock_node::Probe::is_done);
        if of_backup.all(|(task, step)| is_done(&task.id, &step.id)) {
            return Ok(());
        }
        let host = &planned.plan.speaker;
        let connection = planned.connections.iter().find(|connection| connection.host() == host);
        let connection = connection.ok_or_else(|| PlanError::NotObserved { host: host.clone() })?.alive().await?;
        let delivery = Delivery { backup: backup.digest().clone(), contents: backup.manifest().state.contents.clone() };
        let content = backup.decrypted(identities)?;
        let (sender, mut pieces) = mpsc::channel(WAITING);
        let reading = tokio::task::spawn_blocking(move || read_into(content, &sender));
        let given = connection.give_backup(&self.binary, &delivery, &mut pieces).await;
        drop(pieces);
        reading.await.map_err(|error| BackupError::layout(error.to_string()))?;
        Ok(given?)
    }

    fn open_restore(&self) -> Result<Option<Plan>, OperatorError> {
        Ok(self.open_plans()?.into_iter().find(|plan| plan.purpose == Purpose::Restore))
    }

    /// What is half restored is not taken for a cluster in the making: its etcd would begin empty.
    pub(super) fn check_no_restore(&self) -> Result<(), OperatorError> {
        match self.open_restore()? {
            Some(_) => Err(PlanError::RestoreOpen.into()),
            None => Ok(()),
        }
    }
}

/// Whether a control plane of `cluster` runs on the host.
fn is_plane_of(facts: &HostFacts, cluster: &Cluster) -> bool {
    matches!(&facts.kubernetes, Kubernetes::Sealock(node) if node.cluster == cluster.name().as_str() && node.is_plane())
}

fn read_into(mut content: impl Read, sender: &mpsc::Sender<std::io::Result<Vec<u8>>>) {
    loop {
        let mut piece = vec![0; PIECE];
        let (piece, is_last) = match content.read(&mut piece) {
            Ok(0) => return,
            Ok(length) => {
                piece.truncate(length);
                (Ok(piece), false)
            }
            Err(error) => (Err(error), true),
        };
        if sender.blocking_send(piece).is_err() || is_last {
            return;
        }
    }
}
