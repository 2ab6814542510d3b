//! Takes the host out of its cluster and returns it to what it was.

use std::time::Duration;

use super::claim::{belongs_to, claimed, release, tables_before, units_before};
use super::os_packages::added;
use super::requests::{BEING_MADE, OUTSIDE, WAITING};
use super::unit::{STARTED, State};
use super::{Act, Probe, Reset, SetAside, rules, time_servers, upgrade};
use crate::changes::{Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{Alteration, Command, Entry, Host, HostError};
use crate::kubernetes_certificates::NEXT_AUTHORITIES;
use crate::mounts;

const STOP_TIMEOUT: Duration = Duration::from_secs(180);
/// What runs in the cluster mounts below these, and a restore that was cut off.
const MOUNT_ROOTS: &[&str] =
    &["/var/lib/kubelet/", "/run/containerd/", "/run/netns/cni-", "/var/lib/containerd/", OWN_MOUNTS];
/// A restore mounts an image below it.
const OWN_MOUNTS: &str = "/var/lib/sealock/node/restore/";

const GROUPS: &str = "/sys/fs/cgroup";

impl Act for Reset {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let changed = Changes::load(host)?.iter().count();
        let unpacked = !host.list(super::RESTORES)?.is_empty();
        Ok(match claimed(host)? {
            Some(cluster) if cluster != self.cluster => Probe::foreign(belongs_to(&cluster)),
            Some(cluster) => Probe::not_done(belongs_to(&cluster)),
            None if changed > 0 => Probe::not_done(format!("{changed} changes are still to be taken back")),
            None if unpacked => Probe::not_done(format!("{} holds what a backup or a restore left", super::RESTORES)),
            None if !upgrade::snapshots_before_adoption(host)?.is_empty() => {
                Probe::not_done("a snapshot was taken here before a cluster was to be taken over")
            }
            None => Probe::Done,
        })
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        match self.probe(host, context)? {
            Probe::Done => return Ok(()),
            Probe::Foreign { found } => return Err(StepError::Foreign { found }),
            _ => {}
        }
        if claimed(host)?.is_none() {
            return leave_to_others(host);
        }
        self.stop_workloads(host, context)?;
        if let Some(aside) = &self.etcd_aside {
            set_aside(aside, host, context)?;
        }
        forget_groups(host, context)?;
        unmount(host, MOUNT_ROOTS)?;
        rules::clear(host, &tables_before(host)?)?;
        (context.progress)("giving back what was there before");
        time_servers::give_back(host, context)?;
        Changes::load(host)?.undo_but(host, added::is_package)?;
        // Behind what Sealock has written into their settings.
        added::take_back(host, context)?;
        Changes::load(host)?.undo_all(host)?;
        Command::new("systemctl", ["daemon-reload"]).must(host)?;
        // Names of units that are gone; none that failed is an error for systemctl, and fine here.
        host.run(&Command::new("systemctl", ["reset-failed"]))?;
        give_back_units(host, context)?;
        for path in [super::etcd::restored_mark(), super::backup::kubelet_mark()] {
            host.alter(Alteration::RemoveFile { path: &path })?;
        }
        // A rotation that is under way keeps keys of living authorities here.
        for path in
            [STARTED, super::kubeadm::MARKS, upgrade::SNAPSHOTS, super::RESTORES, NEXT_AUTHORITIES, WAITING, BEING_MADE]
        {
            host.alter(Alteration::RemoveTree { path })?;
        }
        for path in [super::authorities::RECORD, super::external::RECORD, super::external::MARK, OUTSIDE] {
            host.alter(Alteration::RemoveFile { path })?;
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

impl Reset {
    /// kubelet first, or it would start again what is being stopped.
    fn stop_workloads(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        stop(host, "kubelet.service")?;
        wake_containerd(host, context)?;
        if State::of(host, "containerd.service")?.active {
            (context.progress)("stopping pods");
            self.leave_cluster(host, context)?;
            end_tasks(host)?;
        }
        stop(host, "containerd.service")
    }

    /// kubeadm removes the etcd member and the pods with their networks. It does its best, and what it leaves is taken away
    /// after it: its failure is told, and is no reason to stop.
    fn leave_cluster(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let socket = "unix:///run/containerd/containerd.sock";
        // The phase removes the member, and then deletes its data.
        let stays: &[&str] = if self.etcd_aside.is_some() { &["--skip-phases", "remove-etcd-member"] } else { &[] };
        let arguments = ["reset", "--force", "--cri-socket", socket].into_iter().chain(stays.iter().copied());
        let command = Command::new("kubeadm", arguments).timeout(STOP_TIMEOUT);
        match host.run(&command) {
            Ok(output) if output.status == 0 => {}
            Ok(output) => {
                (context.progress)(&format!(
                    "kubeadm reset ended with status {}: {}",
                    output.status,
                    output.complaint()
                ));
            }
            Err(HostError::NoProgram { .. }) => {}
            Err(error @ HostError::Timeout { .. }) => (context.progress)(&error.to_string()),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Moves etcd's data aside. Where its folder is the top of a file system the data stays in it, and so does the folder, for good.
fn set_aside(aside: &SetAside, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    if aside.probe(host, context)? != Probe::Done {
        aside.apply(host, context)?;
    }
    if !host.list(&aside.path)?.is_empty() {
        Changes::load(host)?.forget(host, &Subject::Tree { path: aside.path.clone() })?;
    }
    Ok(())
}

/// Pods outlive a containerd that has ended; only a running one can end them. Of a node that is half taken over it may be another's.
fn wake_containerd(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    let installed = Command::new("systemctl", ["cat", "containerd.service"]).succeeds(host)?;
    if installed && !State::of(host, "containerd.service")?.active { start_containerd(host, context) } else { Ok(()) }
}

fn start_containerd(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    let start = host.run(&Command::new("systemctl", ["start", "containerd.service"]).timeout(STOP_TIMEOUT))?;
    if start.status != 0 {
        (context.progress)(&format!("containerd does not start: {}", start.complaint()));
    }
    Ok(())
}

/// Units of a node that was taken over are what they were. kubelet is enabled and does not run: there is no cluster for it, as after
/// `kubeadm reset`.
fn give_back_units(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    for (name, before) in units_before(host)? {
        if before.enabled {
            Command::new("systemctl", ["enable", &name]).must(host)?;
        }
        if before.active && name == "containerd.service" {
            start_containerd(host, context)?;
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

/// kubelet makes control groups for its pods, and leaves the outermost ones. Where systemd keeps them they are a slice. One that is busy is told,
/// and is no reason to stop.
fn forget_groups(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    stop(host, "kubepods.slice")?;
    let hierarchies = host.list(GROUPS)?.into_iter().map(|hierarchy| format!("{GROUPS}/{hierarchy}/kubepods"));
    for group in hierarchies.chain([format!("{GROUPS}/kubepods")]) {
        if let Err(error) = remove_group(host, &group) {
            (context.progress)(&error.to_string());
        }
    }
    Ok(())
}

/// A group goes when those in it are gone; its files are the kernel's.
fn remove_group(host: &dyn Host, group: &str) -> Result<(), HostError> {
    if !matches!(host.inspect(group)?, Entry::Directory { .. }) {
        return Ok(());
    }
    for name in host.list(group)? {
        remove_group(host, &format!("{group}/{name}"))?;
    }
    host.alter(Alteration::RemoveEmptyDirectory { path: group })
}

/// Of a host that nobody claimed: a backup was laid out here, or a snapshot taken, or a claim was cut off while it wrote down what is to become
/// of folders. Whatever runs, and whatever is in those folders, is not ours.
fn leave_to_others(host: &dyn Host) -> Result<(), StepError> {
    unmount(host, &[OWN_MOUNTS])?;
    let mut changes = Changes::load(host)?;
    let subjects: Vec<Subject> = changes.iter().map(|change| change.subject.clone()).collect();
    for tree in subjects.iter().filter(|subject| matches!(subject, Subject::Tree { .. })) {
        changes.forget(host, tree)?;
    }
    changes.undo_all(host)?;
    upgrade::forget_snapshots_before_adoption(host)?;
    Ok(host.alter(Alteration::RemoveTree { path: super::RESTORES })?)
}

/// Unmounts what is below `roots`, the innermost first.
fn unmount(host: &dyn Host, roots: &[&str]) -> Result<(), StepError> {
    let ours = |point: &String| roots.iter().any(|root| point.starts_with(root));
    for point in mounts::points(host)?.into_iter().filter(ours).rev() {
        Command::new("umount", [point]).must(host)?;
    }
    Ok(())
}
