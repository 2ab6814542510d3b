//! Taking a lab away, and looking whether anything is left of it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::run::{Stopwatch, run, wait_until, write};
use super::{LABS, Lab, cgroup, nspawn, outside};

/// One user's watchers on the whole computer: all machines of all labs share them, and a container runtime that gets none
/// runs without its CRI service.
const WATCHERS: &str = "/proc/sys/fs/inotify/max_user_instances";

/// What labs raise for the whole computer: the first process of each machine the first two, `up` the last.
const RAISED: [&str; 3] = ["/proc/sys/fs/file-max", "/proc/sys/fs/nr_open", WATCHERS];

/// Remembers what [`RAISED`] was before the first lab, for the last one to restore, and raises what nobody else does.
pub(super) fn raise_kernel_settings() -> Result<()> {
    for setting in RAISED {
        let saved = saved_copy(setting);
        if !Path::new(&saved).exists() {
            write(Path::new(&saved), fs::read(setting)?)?;
        }
    }
    fs::write(WATCHERS, "8192").with_context(|| format!("{WATCHERS}: cannot be raised"))
}

/// Ends and removes everything of this lab; a part that is not there is no error.
///
/// # Errors
/// Something that cannot be ended or removed.
pub(super) fn remove(lab: &Lab) -> Result<()> {
    let watch = Stopwatch::start();
    for machine in cgroup::machines(lab)? {
        cgroup::kill(lab, &machine)?;
        nspawn::forget(lab, &machine)?;
    }
    cgroup::remove(lab, None)?;
    watch.say("machines ended");
    let namespaces = namespaces(lab)?;
    for namespace in &namespaces {
        end_processes_in(namespace)?;
    }
    for namespace in &namespaces {
        run("ip", &["netns", "del", namespace])?;
    }
    watch.say("networks removed");
    for mountpoint in mounts_below(lab)? {
        run("umount", &["--lazy", &mountpoint])?;
    }
    if lab.dir().exists() {
        fs::remove_dir_all(lab.dir()).with_context(|| format!("{}: cannot be removed", lab.dir().display()))?;
    }
    watch.say("files removed");
    let _ = fs::remove_file(lab.lock_path());
    if !another_lab_is_there()? {
        restore_kernel_settings()?;
    }
    Ok(())
}

/// # Errors
/// Whatever is left, by name.
pub(super) fn check(lab: &Lab) -> Result<()> {
    let mut left = Vec::new();
    left.extend(namespaces(lab)?.into_iter().map(|name| format!("network namespace {name}")));
    left.extend(mounts_below(lab)?.into_iter().map(|place| format!("mount {place}")));
    left.extend(cgroup::remaining(lab)?.into_iter().map(|group| format!("control group {}", group.display())));
    left.extend(processes_at_home_in(lab)?.into_iter().map(|pid| format!("process {pid}")));
    if lab.dir().exists() {
        left.push(format!("folder {}", lab.dir().display()));
    }
    if !another_lab_is_there()? {
        left.extend(
            RAISED
                .iter()
                .filter(|setting| Path::new(&saved_copy(setting)).exists())
                .map(|setting| format!("changed {setting}")),
        );
    }
    if !left.is_empty() {
        bail!("lab {} left something behind:\n  {}", lab.id(), left.join("\n  "));
    }
    eprintln!("lab {}: down; no namespace, mount, control group, process, interface or file of it is left", lab.id());
    Ok(())
}

fn saved_copy(setting: &str) -> String {
    format!("{LABS}/before{}", setting.replace('/', "."))
}

fn restore_kernel_settings() -> Result<()> {
    for setting in RAISED {
        let saved = saved_copy(setting);
        if let Ok(value) = fs::read(&saved) {
            fs::write(setting, value).with_context(|| format!("{setting}: cannot be restored"))?;
            fs::remove_file(&saved)?;
        }
    }
    // Not empty while a lock of another lab lies in it.
    let _ = fs::remove_dir(LABS);
    Ok(())
}

fn another_lab_is_there() -> Result<bool> {
    let Ok(entries) = fs::read_dir(LABS) else { return Ok(false) };
    for entry in entries {
        if entry?.file_type()?.is_dir() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn namespaces(lab: &Lab) -> Result<Vec<String>> {
    let Ok(entries) = fs::read_dir("/run/netns") else { return Ok(Vec::new()) };
    let prefix = lab.namespace("");
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix) {
            names.push(name);
        }
    }
    Ok(names)
}

fn end_processes_in(namespace: &str) -> Result<()> {
    wait_until(&format!("the end of every process in {namespace}"), 30, || {
        let alive = outside::processes_in(namespace)?;
        for pid in alive.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // It may have ended by itself in the meantime; the next look tells.
            let _ = kill_process(pid, Signal::KILL);
        }
        Ok(alive.is_empty())
    })
}

/// Mount points below the lab's folder, the deepest first.
fn mounts_below(lab: &Lab) -> Result<Vec<String>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
    let below = format!("{}/", lab.dir().display());
    let mut found: Vec<String> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|place| place.starts_with(&below))
        .map(str::to_owned)
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Processes whose root, program or working folder is or was in the lab's folder.
fn processes_at_home_in(lab: &Lab) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()) else {
            continue;
        };
        let is_ours = |link: &str| fs::read_link(path.join(link)).is_ok_and(|target| target.starts_with(lab.dir()));
        if ["root", "exe", "cwd"].into_iter().any(is_ours) {
            found.push(pid);
        }
    }
    Ok(found)
}
