//! The host's part: a snapshot of etcd, its restore rehearsed, and all of it encrypted on its way out.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use sealock_node::host::{Alteration, Command};
use sealock_node::{Host, StepError, backup as control_plane, external_etcd, facts, image_programs};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::manifest::{EtcdState, Taken};
use super::payload::{self, Part};
use super::unpack::alone_in;
use super::{BackupError, KUBERNETES, Recipients, SNAPSHOT, SPEC};
use crate::etcd::machine::credentials;
use crate::etcd::restore::{self, BUMP, Programs, Wanted};
use crate::etcd::{Endpoint, Endpoints, Etcd, external};
use crate::release::compare_versions;

/// Where kubeadm keeps etcd's authority.
const PKI: &str = "/etc/kubernetes/pki/etcd";
const ENDPOINT: &str = "https://127.0.0.1:2379";
const PREFIX: &str = "taking-";
/// What stays free; in bytes.
const HEADROOM: u64 = 1 << 30;

/// What the station asks of a control plane host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Order {
    /// Who may open it.
    pub recipients: Vec<String>,
    /// The cluster's spec, as the station has it.
    pub spec: String,
}

/// Takes a backup of the cluster of this control plane host: first its [`Taken`] as one line of JSON to `out`, then the encrypted content.
/// `scratch` is a folder of root's with room for etcd's database, three times over; it is as it was afterwards.
///
/// # Errors
/// etcd does not give a snapshot, its restore does not work, or a part is missing. Nothing is written then.
pub async fn take(order: &Order, host: &dyn Host, scratch: &Path, mut out: impl Write) -> Result<(), BackupError> {
    let recipients = Recipients::parse(&order.recipients)?;
    std::fs::create_dir_all(scratch).map_err(BackupError::io("make", scratch))?;
    let _alone = alone_in(scratch)?;
    let folder = folder_in(host, scratch)?;
    let (mut parts, etcd) = snapshot(host, (scratch, folder.path())).await?;
    for file in control_plane::control_plane_files(host)? {
        parts.push(Part::of_bytes(format!("{KUBERNETES}{}", file.path), file.content));
    }
    parts.push(Part::of_bytes(SPEC, Zeroizing::new(order.spec.clone().into_bytes())));
    let taken = Taken {
        kubernetes: version(host)?,
        ca_hash: facts::ca_hash(host).map_err(StepError::from)?.unwrap_or_default(),
        etcd,
        contents: parts.iter().map(|part| part.content.clone()).collect(),
    };
    taken.check()?;
    let mut line = serde_json::to_vec(&taken).map_err(|error| BackupError::layout(error.to_string()))?;
    line.push(b'\n');
    out.write_all(&line).map_err(BackupError::io("write", "the backup"))?;
    payload::write(&parts, &recipients, out)
}

/// What an attempt that was cut off has left goes first: keys may lie in it.
fn folder_in(host: &dyn Host, scratch: &Path) -> Result<TempDir, BackupError> {
    let failed = |action| BackupError::io(action, scratch);
    for entry in std::fs::read_dir(scratch).map_err(failed("read"))? {
        let entry = entry.map_err(failed("read"))?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let left = entry.path().to_string_lossy().into_owned();
            image_programs::let_go(host, &format!("{left}/programs"))?;
            // Refuses to go into what is mounted.
            host.alter(Alteration::RemoveTree { path: &left }).map_err(StepError::from)?;
        }
    }
    tempfile::Builder::new().prefix(PREFIX).tempdir_in(scratch).map_err(failed("make a folder in"))
}

/// The snapshot, and the rehearsal's copy of it twice: a control plane's disk is not filled for it.
fn check_room(scratch: &Path, database: u64) -> Result<(), BackupError> {
    let needed = database.saturating_mul(3).saturating_add(HEADROOM);
    let status = rustix::fs::statvfs(scratch).map_err(|error| BackupError::io("look at", scratch)(error.into()))?;
    let free = status.f_bavail.saturating_mul(status.f_frsize);
    if free < needed { Err(BackupError::NoRoom { path: scratch.into(), free, needed }) } else { Ok(()) }
}

async fn snapshot(host: &dyn Host, (scratch, folder): (&Path, &Path)) -> Result<(Vec<Part>, EtcdState), BackupError> {
    let (endpoints, image) = source(host)?;
    let etcd = Etcd::new(&endpoints)?;
    check_room(scratch, database(&etcd).await)?;
    let path = folder.join("snapshot.db");
    let taken = etcd.snapshot(&path, &|_, _| {}).await?.snapshot;
    let programs = folder.join("programs");
    image_programs::take(host, &image, &["etcd", "etcdutl"], &programs.to_string_lossy())?;
    let programs = Programs { etcd: programs.join("etcd"), etcdutl: programs.join("etcdutl") };
    let wanted = Wanted { snapshot: &path, digest: Some(&taken.digest), scratch: folder, bump: BUMP };
    let rehearsal = restore::rehearse(&programs, &wanted).await?;
    let part = Part::of_file(SNAPSHOT, &path, taken.digest, taken.size);
    let state = EtcdState {
        version: rehearsal.version,
        revision: rehearsal.content.revision,
        rehearsed_keys: rehearsal.read.keys,
    };
    Ok((vec![part], state))
}

/// Where the cluster's etcd is, and the image with etcd's programs: of the member that runs here, or where none does of what was laid in
/// beside the control plane.
fn source(host: &dyn Host) -> Result<(Endpoints, String), BackupError> {
    let servers = external_etcd::external_servers(host).map_err(StepError::from)?;
    if servers.is_empty() {
        let seeds = vec![ENDPOINT.parse::<Endpoint>()?];
        let endpoints = Endpoints { seeds, credentials: Some(credentials(host, PKI)?) };
        return Ok((endpoints, image_programs::image_of_running(host, "etcd")?.ok_or(BackupError::NoEtcd)?));
    }
    let images = image_programs::images_of(host, "etcd")?;
    let newest = images.into_iter().max_by(|a, b| compare_versions(tag(a), tag(b)));
    Ok((external::at(host, &servers)?, newest.ok_or(BackupError::NoPrograms)?))
}

fn tag(image: &str) -> &str {
    image.rsplit_once(':').map_or(image, |(_, tag)| tag)
}

/// Bytes of the largest database of a member; 0 where none says.
async fn database(etcd: &Etcd) -> u64 {
    let Ok(survey) = etcd.survey().await else { return 0 };
    let sizes = survey.states.iter().filter_map(|state| state.status.as_ref()).map(|status| status.db_size);
    sizes.max().and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
}

fn version(host: &dyn Host) -> Result<String, BackupError> {
    let said = Command::new("kubeadm", ["version", "--output", "short"]).timeout(Duration::from_secs(60));
    Ok(said.must(host).map_err(StepError::from)?.trim().to_owned())
}
