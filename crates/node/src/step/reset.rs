//! Takes the host out of its cluster and returns it to what it was.

use std::time::Duration;

use super::claim::{belongs_to, claimed, release, tables_before};
use super::unit::{STARTED, State};
use super::{Act, Probe, Reset, rules, upgrade};
use crate::changes::Changes;
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host, HostError};

const STOP_TIMEOUT: Duration = Duration::from_secs(180);
/// What runs in the cluster mounts below these; and a restore that was cut off, an image.
const MOUNT_ROOTS: &[&str] = &[
    "/var/lib/kubelet/",
    "/run/containerd/",
    "/run/netns/cni-",
    "/var/lib/containerd/",
    "/var/lib/sealock/node/restore/",
];

impl Act for Reset {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let changed = Changes::load(host)?.iter().count();
        let unpacked = !host.list(super::RESTORES)?.is_empty();
        Ok(match claimed(host)? {
            Some(cluster) if cluster != self.cluster => Probe::foreign(belongs_to(&cluster)),
            Some(cluster) => Probe::not_done(belongs_to(&cluster)),
            None if changed > 0 => Probe::not_done(format!("{changed} changes are still to be taken back")),
            None if unpacked => Probe::not_done(format!("{} holds what a backup or a restore left", super::RESTORES)),
            None => Probe::Done,
        })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        match self.probe(host, context)? {
            Probe::Done => return Ok(()),
            Probe::Foreign { found } => return Err(StepError::Foreign { found }),
            _ => {}
        }
        let is_ours = claimed(host)?.is_some() || Changes::load(host)?.iter().count() > 0;
        if !is_ours {
            // A backup was laid out here, and nothing else was done.
            unmount(host)?;
            return Ok(host.alter(Alteration::RemoveTree { path: super::RESTORES })?);
        }
        stop_workloads(host, context)?;
        unmount(host)?;
        rules::clear(host, &tables_before(host)?)?;
        (context.progress)("giving back what was there before");
        Changes::load(host)?.undo_all(host)?;
        Command::new("systemctl", ["daemon-reload"]).must(host)?;
        // Names of units that are gone; none that failed is an error for systemctl, and fine here.
        host.run(&Command::new("systemctl", ["reset-failed"]))?;
        for path in [super::etcd::restored_mark(), super::backup::kubelet_mark()] {
            host.alter(Alteration::RemoveFile { path: &path })?;
        }
        for path in [STARTED, super::kubeadm::MARKS, upgrade::SNAPSHOTS, super::RESTORES] {
            host.alter(Alteration::RemoveTree { path })?;
        }
        for path in [upgrade::snapshot_record(), upgrade::kept_node(), upgrade::kept_objects()] {
            host.alter(Alteration::RemoveFile { path: &path })?;
        }
        host.alter(Alteration::RemoveFile { path: super::images::ARCHIVE })?;
        // The next site to have this host brings its own.
        host.alter(Alteration::RemoveFile { path: crate::admission::SITE_ROOT })?;
        release(host)
    }

    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Err(StepError::Invalid { problem: "a reset cannot be taken back".to_owned() })
    }
}

/// kubelet first, or it would start again what is being stopped.
fn stop_workloads(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    stop(host, "kubelet.service")?;
    wake_containerd(host, context)?;
    if State::of(host, "containerd.service")?.active {
        (context.progress)("stopping pods");
        leave_cluster(host, context)?;
        end_tasks(host)?;
    }
    stop(host, "containerd.service")
}

/// Pods outlive a containerd that has ended; only a running one can end them.
fn wake_containerd(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    let installed = host::exists(host, "/etc/systemd/system/containerd.service")?;
    if installed && !State::of(host, "containerd.service")?.active {
        let start = host.run(&Command::new("systemctl", ["start", "containerd.service"]).timeout(STOP_TIMEOUT))?;
        if start.status != 0 {
            (context.progress)(&format!("containerd does not start: {}", start.complaint()));
        }
    }
    Ok(())
}

fn stop(host: &dyn Host, unit: &str) -> Result<(), StepError> {
    if State::of(host, unit)?.active {
        Command::new("systemctl", ["stop", unit]).timeout(STOP_TIMEOUT).must(host)?;
    }
    Ok(())
}

/// kubeadm removes the etcd member and the pods with their networks. It does its best, and what it leaves is taken away
/// after it: its failure is told, and is no reason to stop.
fn leave_cluster(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    let socket = "unix:///run/containerd/containerd.sock";
    let command = Command::new("kubeadm", ["reset", "--force", "--cri-socket", socket]).timeout(STOP_TIMEOUT);
    match host.run(&command) {
        Ok(output) if output.status == 0 => {}
        Ok(output) => {
            (context.progress)(&format!("kubeadm reset ended with status {}: {}", output.status, output.complaint()));
        }
        Err(HostError::NoProgram { .. }) => {}
        Err(error @ HostError::Timeout { .. }) => (context.progress)(&error.to_string()),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn end_tasks(host: &dyn Host) -> Result<(), StepError> {
    let ctr = |args: &[&str]| Command::new("ctr", ["--namespace", "k8s.io"].iter().chain(args).copied());
    let tasks = ctr(&["tasks", "ls", "-q"]).must(host)?;
    for task in tasks.split_whitespace() {
        // One that has just ended by itself is no failure; what counts is that none is left.
        host.run(&ctr(&["tasks", "delete", "--force", task]))?;
    }
    for container in ctr(&["containers", "ls", "-q"]).must(host)?.split_whitespace() {
        host.run(&ctr(&["containers", "delete", container]))?;
    }
    let left = ctr(&["tasks", "ls", "-q"]).must(host)?;
    if left.trim().is_empty() {
        return Ok(());
    }
    Err(StepError::NotHeld {
        because: format!("containers do not end: {}", left.split_whitespace().collect::<Vec<_>>().join(", ")),
    })
}

/// Unmounts what pods left, the innermost first.
fn unmount(host: &dyn Host) -> Result<(), StepError> {
    let mounts = host::read_text(host, "/proc/self/mounts")?.unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(unescape);
    let ours = |point: &String| MOUNT_ROOTS.iter().any(|root| point.starts_with(root));
    for point in points.filter(ours).collect::<Vec<_>>().into_iter().rev() {
        Command::new("umount", [point]).must(host)?;
    }
    Ok(())
}

/// `/proc/self/mounts` writes space, tab, newline and backslash in octal.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}
