//! A network without a way out: a network namespace of its own, in which there is loopback and nothing else.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The namespace; it ends when dropped, with what still runs in it.
#[derive(Debug)]
pub struct Sealed {
    /// Waits for the end of its input, which is the end of this value.
    holder: Child,
}

impl Sealed {
    /// Makes a namespace whose loopback is up. Needs root or user namespaces.
    pub fn new() -> Self {
        let script = "ip link set lo up && echo up && exec cat";
        let mut command = Command::new("unshare");
        command.args(if is_root() { &["--net"][..] } else { &["--net", "--map-root-user"] });
        let mut holder =
            command.args(["sh", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "up\n", "a network namespace needs root or user namespaces, and ip (Debian package iproute2)");
        Self { holder }
    }

    /// `program`, to be started in the namespace. The process that starts is the program itself.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.holder.id().to_string()]);
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }
}

impl Default for Sealed {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        // Ours, by its handle; nothing to do about one that is gone already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
