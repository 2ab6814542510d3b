//! Booting, entering and killing a machine: systemd-nspawn with the machine's own network namespace and control groups.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::machine::{Machine, text};
use super::run::{finish, wait_until};
use super::{Lab, cgroup};

/// Joins the control groups named before `--`, then becomes the program named after it.
const JOIN_AND_RUN: &str = r#"while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@""#;

/// Does what `$0` says with all arguments, and does it again for as long as it ends with 133: by that systemd-nspawn says that the machine
/// restarts itself. Meanwhile it waits in groups of its own below the machine's, so that it ends with the machine's power; those that the
/// machine has made are gone when it comes up again.
const RUN_AND_RESTART: &str = r#"for door in "$@"; do
  if [ "$door" = -- ]; then break; fi
  group=${door%/*}
  mkdir -p "$group/restarter"
  echo $$ > "$group/restarter/cgroup.procs" || exit 1
  groups="$groups $group"
done
while sh -c "$0" join "$@"; [ $? -eq 133 ]; do
  for group in $groups; do
    find "$group" -mindepth 1 -depth -type d ! -name restarter -exec rmdir {} \;
  done
done"#;

/// Starts a machine that is not running. What is left of an earlier run is removed first.
///
/// # Errors
/// The machine's container cannot be started.
pub(super) fn boot(lab: &Lab, machine: &Machine) -> Result<()> {
    cgroup::kill(lab, machine.name)?;
    cgroup::remove(lab, Some(machine.name))?;
    let doors = cgroup::prepare(lab, machine.name)?;
    let console = console(lab, machine);
    let log = File::create(&console).with_context(|| format!("{}: cannot be written", console.display()))?;
    let mut command = Command::new("setsid");
    command
        .args(["--fork", "sh", "-c", RUN_AND_RESTART, JOIN_AND_RUN])
        .args(doors)
        .arg("--")
        .args(container(lab, machine)?);
    // Without it the container could write neither sysctls nor control groups, and a kubelet must.
    command.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "1");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let status = command.status().context("setsid cannot be started")?;
    if !status.success() {
        bail!("{}: cannot be booted: {status}", machine.name);
    }
    Ok(())
}

fn container(lab: &Lab, machine: &Machine) -> Result<Vec<String>> {
    let root = lab.root_of(machine.name);
    let mut words: Vec<String> = [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--capability=all",
        // There is one clock, and it is this computer's.
        "--drop-capability=CAP_SYS_TIME",
        "--system-call-filter=add_key keyctl bpf",
        "--bind=/dev/kmsg",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=pipe",
        "--kill-signal=SIGRTMIN+3",
    ]
    .map(str::to_owned)
    .to_vec();
    words.push(format!("--directory={}", text(&root)?));
    words.push(format!("--machine={}", container_name(lab, machine.name)));
    words.push(format!("--hostname={}", machine.name));
    words.push(format!("--network-namespace-path=/run/netns/{}", lab.namespace(machine.name)));
    if Path::new("/lib/modules").is_dir() {
        words.push("--bind-ro=/lib/modules".to_owned());
    }
    Ok(words)
}

/// Waits until systemd in the machine has started all there is to start.
///
/// # Errors
/// The machine does not come up, or something in it failed to start: with what it says about it.
pub(super) fn wait_until_running(lab: &Lab, machine: &Machine) -> Result<()> {
    let mut state = String::new();
    let outcome = wait_until(&format!("{}: systemd up", machine.name), 120, || {
        let output = lab.exec(machine.name, &["systemctl", "is-system-running"]).output()?;
        state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(matches!(state.as_str(), "running" | "degraded"))
    });
    let console = console(lab, machine);
    outcome.with_context(|| format!("see {}", console.display()))?;
    if state == "degraded" {
        let failed = finish(&mut lab.exec(machine.name, &["systemctl", "--failed", "--plain", "--no-legend"]))?;
        // What was installed into it later may fail to start; that is for those who installed it to judge.
        eprintln!("{}: up, but not everything started: {}", machine.name, failed.trim());
    }
    Ok(())
}

/// Takes the machine's power away.
///
/// # Errors
/// One of its processes survives.
pub(super) fn kill(lab: &Lab, machine: &Machine) -> Result<()> {
    cgroup::kill(lab, machine.name)?;
    cgroup::remove(lab, Some(machine.name))?;
    forget(lab, machine.name)
}

/// Removes what systemd-nspawn leaves under `/run` when it is killed.
///
/// # Errors
/// A file that cannot be removed.
pub(super) fn forget(lab: &Lab, machine: &str) -> Result<()> {
    let root = lab.root_of(machine);
    let mut left = vec![format!("/run/systemd/nspawn/propagate/{}", container_name(lab, machine))];
    if let Ok(metadata) = fs::metadata(&root) {
        left.push(format!("/run/systemd/nspawn/locks/inode-{}:{}", metadata.dev(), metadata.ino()));
    }
    for path in left.iter().map(Path::new).filter(|path| path.exists()) {
        let removed = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        removed.with_context(|| format!("{}: cannot be removed", path.display()))?;
    }
    Ok(())
}

/// The machine's first process, as this computer numbers it; none if the machine is not running.
pub(super) fn leader(lab: &Lab, machine: &str) -> Option<i32> {
    cgroup::processes(lab, machine).ok()?.into_iter().find(|pid| is_first_of_a_machine(*pid))
}

/// Process 1 one level below this computer: a container's first process is two levels below.
fn is_first_of_a_machine(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    matches!(numbers[..], [_, "1"])
}

/// A command that runs in the machine, as root, with a login's plain environment.
pub(super) fn command_in(lab: &Lab, machine: &str, argv: &[&str]) -> Command {
    let Some(leader) = leader(lab, machine) else {
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo "lab $1: $2 is not running" >&2; exit 125"#, "sh", lab.id(), machine]);
        return command;
    };
    let mut command = Command::new("nsenter");
    command.args([
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--cgroup",
        "--root",
        "--target",
        &leader.to_string(),
    ]);
    // Who enters brings this computer's capabilities along; the machine's own processes cannot set the clock either.
    command.args(["setpriv", "--bounding-set=-sys_time"]);
    command.args([
        "env",
        "-i",
        "-C",
        "/root",
        "HOME=/root",
        "USER=root",
        "LOGNAME=root",
        "SHELL=/bin/bash",
        "LANG=C.UTF-8",
    ]);
    command.arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    if let Some(terminal) = crate::environment::variable("TERM") {
        command.arg(format!("TERM={terminal}"));
    }
    command.args(argv);
    command
}

fn container_name(lab: &Lab, machine: &str) -> String {
    format!("slk{}-{machine}", lab.id())
}

fn console(lab: &Lab, machine: &Machine) -> std::path::PathBuf {
    lab.dir().join(format!("machines/{}.console", machine.name))
}
