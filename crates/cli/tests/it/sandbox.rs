//! A temporary home in which the command runs, cut off from the user's own settings and environment.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A temporary home. What is in it disappears with it.
pub struct Sandbox {
    root: TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("sealock-it-").tempdir().expect("a temporary folder");
        std::fs::create_dir(root.path().join("home")).expect("a home");
        Self { root }
    }

    /// Another one with the same files in it.
    #[cfg(feature = "outside")]
    pub fn copy(&self) -> Self {
        let copy = tempfile::Builder::new().prefix("sealock-it-").tempdir().expect("a temporary folder");
        let status = Command::new("cp").arg("-a").arg(self.join(".")).arg(copy.path()).status().expect("cp");
        assert!(status.success(), "{} cannot be copied", self.path().display());
        Self { root: copy }
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// A file that only its owner reads.
    pub fn write_private(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.write(name, text);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.join(name)).expect("a text file")
    }

    /// `sealock ARGS…`, ready to run in the sandbox.
    pub fn command(&self, args: &[&str]) -> Command {
        self.prepare(Command::new(env!("CARGO_BIN_EXE_sealock")), args)
    }

    /// `RUNNER… sealock ARGS…`: the command, started by another program.
    #[cfg(feature = "outside")]
    pub fn command_under(&self, runner: &[impl AsRef<std::ffi::OsStr>], args: &[&str]) -> Command {
        let (program, words) = runner.split_first().expect("a program");
        let mut command = Command::new(program);
        command.args(words).arg(env!("CARGO_BIN_EXE_sealock"));
        self.prepare(command, args)
    }

    fn prepare(&self, mut command: Command, args: &[&str]) -> Command {
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        command.env_clear().env("HOME", self.join("home")).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("SEALOCK_STATE_DIR", self.join("state"));
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the command runs")
    }

    /// Runs and answers what the person sees, with what changes from run to run blanked out.
    pub fn see(&self, args: &[&str]) -> String {
        self.seen(&self.run(args))
    }

    /// Runs something that must work, and answers its standard output.
    pub fn must(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "sealock {args:?}\n{}", self.seen(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    /// An output as a person sees it.
    pub fn seen(&self, output: &Output) -> String {
        assert!(output.status.code().is_some(), "it was killed: {}", output.status);
        self.seen_whatever(output)
    }

    /// The same, where the command may have been killed.
    pub fn seen_whatever(&self, output: &Output) -> String {
        let mut text = String::new();
        let code = output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string());
        let _ = writeln!(text, "exit code: {code}");
        for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            if !bytes.is_empty() {
                let _ = write!(text, "--- {name}\n{}", String::from_utf8_lossy(bytes));
            }
        }
        text.replace(&self.path().display().to_string(), "[DIR]")
    }
}

/// What was seen, without the lines that are said only of what takes long.
pub fn without_progress(seen: &str) -> String {
    let is_progress = |line: &str| line.contains(": done in ") || (line.contains(" %, ") && line.ends_with("/s)"));
    seen.lines().filter(|line| !is_progress(line)).collect::<Vec<_>>().join("\n")
}

/// Blanks out digests, times and versions: what differs from run to run though nothing is wrong.
pub fn steady() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"sha256:[0-9a-f]{64}", "sha256:[DIGEST]");
    settings.add_filter(r"sha256:[0-9a-f]{12}\b", "sha256:[SHORT]");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "[HEX]");
    settings.add_filter(r"\b[0-9a-f]{8}\.signature\.json", "[KEY].signature.json");
    settings.add_filter(r"\b([0-9a-f]{4} ){15}[0-9a-f]{4}\b", "[GROUPS]");
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[TIME]");
    // Said only of what took a second or more.
    settings.add_filter(r"(?m)^.*: done in .* s\n", "");
    // And this only of what took ten.
    settings.add_filter(r"(?m)^.*: .* of .* \(\d+ %, .*/s\)\n", "");
    settings.add_filter(r" in \d+(\.\d)? s\b", " in [SECONDS]");
    settings.bind_to_scope()
}
