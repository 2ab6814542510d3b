//! The control groups of a lab: one folder per machine in every hierarchy, so that a machine sees its own as the root, and so
//! that every process of a machine can be found, whoever started it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::Lab;
use super::run::wait_until;

const MOUNTED: &str = "/sys/fs/cgroup";

/// Makes a machine's folder in every hierarchy, and hands back the files a process writes its id to in order to join.
///
/// # Errors
/// A hierarchy that cannot be written.
pub(super) fn prepare(lab: &Lab, machine: &str) -> Result<Vec<PathBuf>> {
    let mut doors = Vec::new();
    for hierarchy in hierarchies()? {
        let ours = hierarchy.join(folder(lab));
        make(&ours)?;
        if hierarchy.join("cpuset.cpus").exists() && !hierarchy.join("cgroup.controllers").exists() {
            inherit_cpuset(&hierarchy, &ours)?;
        }
        hand_down_controllers(&hierarchy)?;
        hand_down_controllers(&ours)?;
        make(&ours.join(machine))?;
        doors.push(ours.join(machine).join("cgroup.procs"));
    }
    Ok(doors)
}

/// Every process of a machine, the ones in its containers included.
///
/// # Errors
/// The list of hierarchies cannot be read.
pub(super) fn processes(lab: &Lab, machine: &str) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for hierarchy in hierarchies()? {
        for group in tree(&hierarchy.join(folder(lab)).join(machine)) {
            let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            found.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The machine's folder in each hierarchy.
///
/// # Errors
/// The list of hierarchies cannot be read.
pub(super) fn groups_of(lab: &Lab, machine: &str) -> Result<Vec<PathBuf>> {
    Ok(hierarchies()?.into_iter().map(|hierarchy| hierarchy.join(folder(lab)).join(machine)).collect())
}

/// Kills every process of a machine and waits until none is left.
///
/// # Errors
/// One survives.
pub(super) fn kill(lab: &Lab, machine: &str) -> Result<()> {
    wait_until(&format!("the end of every process of {machine}"), 30, || {
        let alive = processes(lab, machine)?;
        for pid in alive.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // It may have ended by itself in the meantime; the next look tells.
            let _ = kill_process(pid, Signal::KILL);
        }
        Ok(alive.is_empty())
    })
}

/// Removes one machine's folders, or with no name all folders of the lab.
///
/// # Errors
/// A folder that the kernel keeps.
pub(super) fn remove(lab: &Lab, machine: Option<&str>) -> Result<()> {
    wait_until("the removal of the control groups", 10, || {
        let mut gone = true;
        for hierarchy in hierarchies()? {
            let ours = hierarchy.join(folder(lab));
            let top = machine.map_or_else(|| ours.clone(), |name| ours.join(name));
            // Children come after their parents in the list.
            for group in tree(&top).iter().rev() {
                gone &= fs::remove_dir(group).is_ok();
            }
        }
        Ok(gone)
    })
}

/// The lab's folders that exist.
///
/// # Errors
/// The list of hierarchies cannot be read.
pub(super) fn remaining(lab: &Lab) -> Result<Vec<PathBuf>> {
    Ok(hierarchies()?.into_iter().map(|hierarchy| hierarchy.join(folder(lab))).filter(|group| group.exists()).collect())
}

/// The machines for which there are folders.
///
/// # Errors
/// The list of hierarchies cannot be read.
pub(super) fn machines(lab: &Lab) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for group in remaining(lab)? {
        names.extend(
            subfolders(&group).iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())),
        );
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// The lab's folder in each hierarchy.
pub(super) fn folder(lab: &Lab) -> String {
    format!("sealock-lab-{}", lab.id())
}

/// Every hierarchy: one on a machine with version 2 alone, several with version 1.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
    let of_line = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        (matches!(kind, "cgroup" | "cgroup2") && place.starts_with(MOUNTED)).then(|| PathBuf::from(place))
    };
    let mut found: Vec<_> = mounts.lines().filter_map(of_line).collect();
    found.sort();
    found.dedup();
    Ok(found)
}

fn make(group: &Path) -> Result<()> {
    fs::create_dir_all(group).with_context(|| format!("{}: cannot be made", group.display()))
}

/// Version 1: a new cpuset is empty, and nothing can run in it, until it is told which processors it has.
fn inherit_cpuset(hierarchy: &Path, ours: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = fs::read_to_string(hierarchy.join(file))?;
        fs::write(ours.join(file), value).with_context(|| format!("{}: {file}", ours.display()))?;
    }
    fs::write(ours.join("cgroup.clone_children"), "1").with_context(|| format!("{}: clone_children", ours.display()))
}

/// Version 2: a group's children have the controllers that it hands down.
fn hand_down_controllers(group: &Path) -> Result<()> {
    let Ok(controllers) = fs::read_to_string(group.join("cgroup.controllers")) else { return Ok(()) };
    for controller in controllers.split_whitespace() {
        fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"))
            .with_context(|| format!("{}: {controller} cannot be handed down", group.display()))?;
    }
    Ok(())
}

/// A group and all below it, parents first.
fn tree(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if top.is_dir() {
        found.push(top.to_path_buf());
    }
    let mut next = 0;
    while next < found.len() {
        let below = subfolders(&found[next]);
        found.extend(below);
        next += 1;
    }
    found
}

fn subfolders(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(group) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
