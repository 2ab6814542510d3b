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
use crate::etcd::machine::{MachineError, credentials};
use crate::etcd::restore::{self, BUMP, Programs, Wanted};
use crate::etcd::{Endpoint, Endpoints, Etcd, Survey, external};
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
    let etcd = Etcd::new(&endpoints(host)?)?;
    let survey = etcd.survey().await?;
    check_room(scratch, database(&survey))?;
    let image = image(host, &survey)?;
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

/// Where the cluster's etcd is: a member that runs here, or what somebody else runs.
fn endpoints(host: &dyn Host) -> Result<Endpoints, BackupError> {
    let servers = external_etcd::external_servers(host).map_err(StepError::from)?;
    if !servers.is_empty() {
        return Ok(external::at(host, &servers)?);
    }
    match credentials(host, PKI) {
        // Where the key of the authority stays elsewhere, nothing is issued for this.
        Err(MachineError::NoCredentials { .. }) => Ok(external::of_control_plane(host)?),
        found => Ok(Endpoints { seeds: vec![ENDPOINT.parse::<Endpoint>()?], credentials: Some(found?) }),
    }
}

/// The image with etcd's programs: of the member that runs here, or where none does of what was laid in beside the control plane.
fn image(host: &dyn Host, survey: &Survey) -> Result<String, BackupError> {
    if external_etcd::external_servers(host).map_err(StepError::from)?.is_empty() {
        return image_programs::image_of_running(host, "etcd")?.ok_or(BackupError::NoEtcd);
    }
    let versions = survey.states.iter().filter_map(|state| Some(state.status.as_ref()?.version.as_str()));
    let serves = versions.max_by(|a, b| compare_versions(a, b)).unwrap_or_default();
    chosen(image_programs::images_of(host, "etcd")?, serves)
}

/// The newest of `images` in the minor version that `serves`, else the newest of all: an older one does not read what newer ones write.
fn chosen(images: Vec<String>, serves: &str) -> Result<String, BackupError> {
    let minor = |version: &str| version.split('.').take(2).collect::<Vec<_>>().join(".");
    let of_its_minor = |image: &String| minor(tag(image)) == minor(serves);
    let newest = images
        .into_iter()
        .max_by(|a, b| of_its_minor(a).cmp(&of_its_minor(b)).then_with(|| compare_versions(tag(a), tag(b))));
    let newest = newest.ok_or(BackupError::NoPrograms)?;
    match of_its_minor(&newest) || compare_versions(tag(&newest), serves).is_gt() {
        true => Ok(newest),
        false => Err(BackupError::OldPrograms { has: tag(&newest).to_owned(), serves: serves.to_owned() }),
    }
}

fn tag(image: &str) -> &str {
    image.rsplit_once(':').map_or(image, |(_, tag)| tag)
}

/// Bytes of the largest database of a member; 0 where none says.
fn database(survey: &Survey) -> u64 {
    let sizes = survey.states.iter().filter_map(|state| state.status.as_ref()).map(|status| status.db_size);
    sizes.max().and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
}

fn version(host: &dyn Host) -> Result<String, BackupError> {
    let said = Command::new("kubeadm", ["version", "--output", "short"]).timeout(Duration::from_secs(60));
    Ok(said.must(host).map_err(StepError::from)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_rehearsed_by_the_minor_version_that_wrote_it_or_a_newer_one() {
        let of = |tags: &[&str]| tags.iter().map(|tag| format!("registry.k8s.io/etcd:{tag}")).collect::<Vec<_>>();
        let image = |tags: &[&str], serves: &str| chosen(of(tags), serves).map_err(|error| error.to_string());
        assert_eq!(image(&["3.6.8-0", "3.7.0-0", "3.6.10-0"], "3.6.9").unwrap(), "registry.k8s.io/etcd:3.6.10-0");
        assert_eq!(image(&["3.6.8-0", "3.7.0-0"], "3.6.12").unwrap(), "registry.k8s.io/etcd:3.6.8-0");
        assert_eq!(image(&["3.6.8-0", "3.7.0-0"], "3.5.26").unwrap(), "registry.k8s.io/etcd:3.7.0-0");
        insta::assert_snapshot!(image(&["3.6.8-0"], "3.7.0").unwrap_err(), @"the external etcd runs 3.7.0, and the newest image of etcd on this host is 3.6.8-0, which does not read what that writes: bring a bundle with a newer Kubernetes, or that image");
        assert!(matches!(chosen(Vec::new(), "3.6.8"), Err(BackupError::NoPrograms)));
    }
}
