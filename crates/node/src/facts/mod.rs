//! What a host says about itself: the node's part of an inventory.

mod certificates;
mod cluster;
mod machine;
mod model;
mod network;
mod obstacles;
mod standing;

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use sealock_trust::Digest;

pub use cluster::{ca_hash, ca_hash_of};
pub use model::*;
pub(crate) use network::{default_routes, nameservers};
pub(crate) use standing::differences;
pub use standing::{HeldImage, Standing, UnitFact, standing};

use crate::StepError;
use crate::changes::{Before, Change, Changes, ChangesError, Subject};
use crate::fence::{self, FenceError};
use crate::host::{self, Entry, Host, HostError};
use crate::journal::{self, JournalError};
use crate::step::{component_folder, waiting_requests};
use crate::time;

/// Programs that steps, kubeadm or kubelet need and that Sealock does not bring.
const PROGRAMS: &[&str] =
    &["ip", "nft", "mount", "umount", "modprobe", "sysctl", "systemctl", "journalctl", "nsenter", "losetup"];
const PROGRAM_FOLDERS: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Where a host keeps what the site signed of its trust state.
pub const TRUST_MIRROR: &str = "/var/lib/sealock/node/trust-mirror.json";

/// Files that a plan is likely to write.
const LIKELY: &[&str] = &[
    "/etc/containerd/config.toml",
    "/etc/containerd/certs.d/_default/hosts.toml",
    "/etc/containerd/certs.d/site-ca.crt",
    "/etc/cni/net.d/10-sealock.conflist",
    "/etc/systemd/system/containerd.service",
    "/etc/systemd/system/kubelet.service",
    "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
    "/etc/systemd/system/sealock-network.service",
    "/etc/sysctl.d/90-sealock.conf",
    "/etc/modules-load.d/sealock.conf",
    "/usr/bin/kubelet",
    "/usr/bin/kubeadm",
    "/usr/bin/kubectl",
    "/usr/local/sbin/runc",
    "/usr/local/bin/containerd",
    "/usr/local/bin/containerd-shim-runc-v2",
    "/usr/local/bin/ctr",
    "/opt/cni/bin/ptp",
    "/opt/cni/bin/host-local",
    "/opt/cni/bin/loopback",
    "/opt/cni/bin/portmap",
];

/// Why a host could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The host refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The record of changes refused.
    #[error(transparent)]
    Changes(#[from] ChangesError),
    /// A step's own knowledge refused.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The fence refused.
    #[error(transparent)]
    Fence(#[from] FenceError),
    /// A journal refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Something that every Linux host has is not there.
    #[error("{path} does not say {what}")]
    Incomplete {
        /// Which file.
        path: &'static str,
        /// What was looked for.
        what: &'static str,
    },
    /// The kernel does not tell about a file system.
    #[error("cannot look at the file system of {path}")]
    FileSystem {
        /// Where.
        path: &'static str,
        /// What the kernel said.
        #[source]
        source: rustix::io::Errno,
    },
}

impl FactsError {
    /// Looking again may always help.
    pub fn is_refusal(&self) -> bool {
        false
    }
}

/// Looks at `host`, and changes nothing. `folder` holds the node's fence and journals ([`crate::runner::FOLDER`]).
pub fn observe(host: &dyn Host, folder: &Path) -> Result<HostFacts, FactsError> {
    let changes = Changes::load(host)?;
    let (kernel, kubernetes) = (machine::kernel(host)?, cluster::observe(host)?);
    // A node listens, and filters, by itself.
    let obstacles = if kubernetes == Kubernetes::None { obstacles::observe(host)? } else { Obstacles::default() };
    Ok(HostFacts {
        format: FACTS_FORMAT.to_owned(),
        sealock: env!("CARGO_PKG_VERSION").to_owned(),
        machine_id: machine::machine_id(host)?,
        hostname: machine::hostname(host)?,
        os: machine::os(host)?,
        architecture: machine::architecture().to_owned(),
        kernel,
        cgroup: machine::cgroup(host)?,
        processors: machine::processors(),
        memory_bytes: machine::memory_bytes(host)?,
        swap_bytes: machine::swap_bytes(host)?,
        clock: Timestamp::now(),
        time: time::observe(host, &changes)?,
        disk: machine::disk()?,
        network: network::observe(host)?,
        missing_programs: missing_programs(host)?,
        obstacles,
        kubernetes,
        certificates: certificates::observe(host)?,
        service_accounts: certificates::service_accounts(host)?,
        requests: waiting_requests(host)?,
        components: components(host, &changes)?,
        owned: owned(host, &changes)?,
        foreign: foreign(host, &changes)?,
        fence: fence::current(folder)?,
        trust_mirror: host::read_text(host, TRUST_MIRROR)?,
        open_plan: open_plan(&folder.join("journal"))?,
    })
}

fn missing_programs(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let mut missing = Vec::new();
    for program in PROGRAMS {
        let mut found = false;
        for folder in PROGRAM_FOLDERS {
            found = found || host::exists(host, &format!("{folder}/{program}"))?;
        }
        if !found {
            missing.push((*program).to_owned());
        }
    }
    Ok(missing)
}

/// The versions that Sealock's links point to.
fn components(host: &dyn Host, changes: &Changes) -> Result<BTreeMap<String, String>, HostError> {
    let mut components = BTreeMap::new();
    for change in changes.iter() {
        if let Subject::Link { path } = &change.subject
            && let Entry::Link { target } = host.inspect(path)?
            && let Some((name, version)) = component_folder(&target)
        {
            components.insert(name.to_owned(), version.to_owned());
        }
    }
    Ok(components)
}

fn owned(host: &dyn Host, changes: &Changes) -> Result<BTreeMap<String, OwnedFile>, HostError> {
    let mut owned = BTreeMap::new();
    for change in changes.iter() {
        if let (Subject::File { path }, Some(written)) = (&change.subject, change.written.last()) {
            owned.insert(path.clone(), OwnedFile { written: written.clone(), found: found(host, path)? });
        }
    }
    Ok(owned)
}

fn foreign(host: &dyn Host, changes: &Changes) -> Result<BTreeMap<String, Digest>, HostError> {
    let mut foreign = BTreeMap::new();
    for path in LIKELY {
        let (as_file, as_link) =
            (Subject::File { path: (*path).to_owned() }, Subject::Link { path: (*path).to_owned() });
        let change = changes.find(&as_file).or_else(|| changes.find(&as_link));
        let Some(digest) = found(host, path)? else { continue };
        if change.is_none_or(|change| is_untouched(change, &digest)) {
            foreign.insert((*path).to_owned(), digest);
        }
    }
    Ok(foreign)
}

/// Whether `found` is still what was there before: kept aside, and cut off before anything of ours took its place.
fn is_untouched(change: &Change, found: &Digest) -> bool {
    matches!(&change.was, Before::File { digest, .. } if digest == found) && !change.written.contains(found)
}

fn found(host: &dyn Host, path: &str) -> Result<Option<Digest>, HostError> {
    match host.inspect(path)? {
        Entry::File { .. } => host::digest(host, path).map(Some),
        _ => Ok(None),
    }
}

fn open_plan(folder: &Path) -> Result<Option<Digest>, JournalError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(None) };
    let mut newest: Option<(Timestamp, Digest, bool)> = None;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(plan) = format!("sha256:{name}").parse::<Digest>() else { continue };
        let records = journal::read(&path)?;
        let Some(last) = records.last() else { continue };
        if newest.as_ref().is_none_or(|(at, ..)| *at < last.at) {
            newest = Some((last.at, plan, journal::is_open(&records)));
        }
    }
    // Only the newest counts: an older plan that was given up is closed by the one that came after it.
    Ok(newest.filter(|(.., open)| *open).map(|(_, plan, _)| plan))
}
