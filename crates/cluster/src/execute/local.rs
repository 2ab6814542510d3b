//! Runs on this machine, for tests, what runs on hosts else.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Runs a script as a [`super::Connection`] does.
pub(super) fn shell(script: &str, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A script that does not read leaves the pipe broken.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}
