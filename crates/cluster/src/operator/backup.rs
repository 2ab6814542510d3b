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

use super::external::{Asked, ClientFiles};
use super::requests::{Found, Outside};
use super::{Operator, OperatorError, Planned};
use crate::backup::{Backup, BackupError, Delivery, Draft, Identities, Manifest, Order, Recipients};
use crate::execute::{self, Connection};
use crate::inventory::Inventory;
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
        state.check()?;
        if cluster.external_pki().is_none() && !state.holds_authorities_keys() {
            // A restore could issue nothing.
            return Err(BackupError::layout("no key of an authority is in it").into());
        }
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
        let outside = Outside::read(cluster)?;
        // Before anything is signed for it, too.
        plan::check_seed(cluster, backup.manifest())?;
        outside.as_ref().map_or(Ok(()), |outside| outside.check_backup(backup.manifest()))?;
        let (connections, inventory) = self.look(cluster).await?;
        if let Some(done) = self.restored_before(cluster, backup, (&inventory, &connections)).await? {
            return Ok(done);
        }
        let files = ClientFiles::read(cluster)?;
        let (plan, resumed) = match self.open_restore()?.filter(|plan| plan::restores(plan, cluster, backup.digest())) {
            Some(open) => {
                open.check_resumable(&inventory)?;
                let since = outside.as_ref().map(|outside| outside.signed_since(&open, &inventory)).transpose()?;
                match since.filter(|since| *since != open) {
                    Some(since) => (since, false),
                    None => (open, true),
                }
            }
            None => {
                let seed = Seed { backup: backup.digest(), manifest: backup.manifest() };
                let (ground, etcd_client) = (self.ground(images)?, files.as_ref().map(|files| &files.client));
                let found = outside.as_ref().map(|outside| outside.missing(&inventory)).transpose()?;
                let signed = found.map(Found::whole).transpose()?;
                let intent = Intent { etcd_client, signed: signed.as_ref(), ..ground.intent(cluster, "") };
                // Hosts that take the place of those of before may lack what these had.
                let needs = self.host_needs(cluster, &inventory, &connections).await?;
                let plan = plan::plan_restore(&intent, seed, &plan::with_needs(&inventory, &needs))?;
                (plan.with_needs(&needs), false)
            }
        };
        if let Some(files) = &files {
            // Whatever of etcd is to be restored is restored by now: only API servers that know it begin there.
            let authority = Some(backup.manifest().state.ca_hash.as_str());
            let (inventory, connections) = (&inventory, connections.as_slice());
            self.check_external(cluster, Asked { files, inventory, connections, authority }).await?;
        }
        let held = files.map(|files| files.secrets()).unwrap_or_default();
        Ok(Planned { held, ..self.assess(plan, inventory, resumed, connections).await? })
    }

    /// The restore of this very backup that was carried out, where all of it still holds: then there is nothing to do. Where it does not,
    /// what is there is a cluster by now, and nobody's to be restored over.
    async fn restored_before(
        &self,
        cluster: &Cluster,
        backup: &Backup,
        (inventory, connections): (&Inventory, &[Arc<Connection>]),
    ) -> Result<Option<Planned>, OperatorError> {
        let known = self.newest_plan(|plan| plan::restores(plan, cluster, backup.digest()))?;
        let Some(known) = known else { return Ok(None) };
        if known.check_resumable(inventory).is_err() {
            return Ok(None);
        }
        let planned = self.assess(known, inventory.clone(), false, connections.to_vec()).await?;
        Ok(planned.is_done().then_some(planned))
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
        let mut missing = planned.assessment.differences(&planned.plan);
        if !missing.any(|(_, step, _)| plan::takes_from_backup(step)) {
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

    /// Nothing of a backup stays unpacked on a host, also where it was laid out once more while a run from before went on.
    pub(super) async fn forget_backups(&self, planned: &Planned) -> Result<(), OperatorError> {
        let host = planned.connections.iter().find(|connection| connection.host() == planned.plan.speaker);
        match host {
            Some(connection) => Ok(execute::forget_backups(&*connection.alive().await?).await?),
            None => Ok(()),
        }
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
