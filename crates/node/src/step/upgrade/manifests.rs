//! What kubeadm leaves when it is cut off while it changes the static pods, and what it leaves in any case.

use std::time::Duration;

use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Entry, Host};
use crate::step::Mode;
use crate::step::kubeadm::api_ready;
use crate::wait;

const MANIFESTS: &str = "/etc/kubernetes/manifests";
const LEFT_BY_KUBEADM: &str = "/etc/kubernetes/tmp";
const OLD_MANIFESTS: &str = "kubeadm-backup-manifests-";
const OLD_ETCD: &str = "kubeadm-backup-etcd-";
const NAMES: [&str; 4] = ["etcd.yaml", "kube-apiserver.yaml", "kube-controller-manager.yaml", "kube-scheduler.yaml"];
/// It waits five minutes for each static pod without a word.
const KUBEADM_ENDS: Duration = Duration::from_secs(900);
const SERVES: Duration = Duration::from_secs(240);

/// Puts back manifests that kubeadm has moved away without giving their places to new ones, and waits until the API server serves:
/// kubeadm asks it before anything else.
pub(crate) fn put_back(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    await_other_kubeadm(host, context)?;
    let mut back = Vec::new();
    for name in NAMES {
        let place = format!("{MANIFESTS}/{name}");
        let is_there = matches!(host.inspect(&place)?, Entry::File { size, .. } if size > 0);
        if !is_there && let Some(old) = newest(host, name)? {
            host::write(host, &place, Mode::PRIVATE, &old)?;
            back.push(name);
        }
    }
    if back.is_empty() {
        return Ok(());
    }
    (context.progress)(&format!("put back {}, which an earlier run moved away", back.join(", ")));
    await_api(host)
}

/// The kubeadm of a run that was killed goes on by itself until it has something to say: it is not interfered with.
fn await_other_kubeadm(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    let mut told = false;
    let ended = wait::until(KUBEADM_ENDS, Duration::from_secs(1), || {
        let runs = kubeadm_runs(host)?;
        if runs && !told {
            (context.progress)("waiting for the kubeadm of an earlier run");
            told = true;
        }
        Ok::<_, StepError>((!runs).then_some(()))
    })?;
    let (what, state) = ("the kubeadm of an earlier run has not ended".to_owned(), "it still runs".to_owned());
    ended.ok_or_else(|| StepError::Late { what, seconds: KUBEADM_ENDS.as_secs(), state })
}

/// Whether a process on this host calls itself so. One that ends meanwhile cannot be read any more.
fn kubeadm_runs(host: &dyn Host) -> Result<bool, StepError> {
    let is_process = |name: &&String| name.bytes().all(|byte| byte.is_ascii_digit());
    let is_it = |name: &String| {
        let called = host::read_text(host, &format!("/proc/{name}/comm")).ok().flatten();
        called.is_some_and(|called| called.trim_end() == "kubeadm")
    };
    Ok(host.list("/proc")?.iter().filter(is_process).any(is_it))
}

/// Waits until the API server of this very host serves.
pub(super) fn await_api(host: &dyn Host) -> Result<(), StepError> {
    let mut last = String::new();
    let serves = wait::until(SERVES, Duration::from_secs(1), || {
        let output = host.run(&api_ready())?;
        last = output.complaint();
        Ok::<_, StepError>((output.status == 0).then_some(()))
    })?;
    let what = "the API server is not ready".to_owned();
    serves.ok_or_else(|| StepError::Late { what, seconds: SERVES.as_secs(), state: last })
}

/// The manifest called `name` as it was last.
fn newest(host: &dyn Host, name: &str) -> Result<Option<Vec<u8>>, StepError> {
    let folders = host.list(LEFT_BY_KUBEADM)?;
    for folder in folders.iter().rev().filter(|folder| folder.starts_with(OLD_MANIFESTS)) {
        let found = host::read(host, &format!("{LEFT_BY_KUBEADM}/{folder}/{name}"), 1 << 20)?;
        if let Some(found) = found.filter(|found| !found.is_empty()) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Removes the copies of etcd's data that kubeadm makes for itself at each attempt: there is a snapshot, and they fill the disk.
pub(crate) fn forget_copies(host: &dyn Host) -> Result<(), StepError> {
    for folder in host.list(LEFT_BY_KUBEADM)?.iter().filter(|folder| folder.starts_with(OLD_ETCD)) {
        host.alter(Alteration::RemoveTree { path: &format!("{LEFT_BY_KUBEADM}/{folder}") })?;
    }
    Ok(())
}
