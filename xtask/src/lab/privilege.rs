//! Namespaces, control groups and machines are root's business; building the lab's parts is not.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::environment;

/// What root has to know of the person who called.
const KEPT: [&str; 6] = ["HOME", "PATH", "XDG_CACHE_HOME", "CARGO_HOME", "RUSTUP_HOME", "TERM"];

/// Goes on as root: runs this very command again through sudo, unless it already runs as root.
///
/// # Errors
/// sudo cannot be started. Returns only if this process is root.
pub fn become_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let this_program = std::env::current_exe().context("the path of this program")?;
    let kept = KEPT.iter().filter_map(|name| environment::variable(name).map(|value| format!("{name}={value}")));
    let failure =
        Command::new("sudo").arg("--").arg("env").args(kept).arg(this_program).args(std::env::args_os().skip(1)).exec();
    Err(failure).context("sudo: the lab needs root for its namespaces and machines")
}
