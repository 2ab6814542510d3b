//! Work in a process of its own, which a test ends at one step, as SIGKILL would.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Runs the ignored test `name` of this binary with these variables, and answers whether it came to its end before it was ended.
pub(crate) fn came_to_its_end(name: &str, variables: &[(&str, String)]) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .envs(variables.iter().map(|(name, value)| (*name, value)))
        .output()
        .unwrap();
    let killed = output.status.signal() == Some(6);
    assert!(output.status.success() || killed, "{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}
