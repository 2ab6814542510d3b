//! Running this computer's programs, and waiting for what they do.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs a program to its end and hands back what it printed.
///
/// # Errors
/// It cannot be started, or fails: with its command line and what it said.
pub(super) fn run(program: &str, args: &[&str]) -> Result<String> {
    finish(Command::new(program).args(args))
}

/// As [`run`], for what takes long: the program ends with us, so that it does not go on writing where the next `up` cleans.
///
/// # Errors
/// As [`run`].
pub(super) fn run_with_us(program: &str, args: &[&str]) -> Result<String> {
    run("setpriv", &[&["--pdeathsig", "KILL", program], args].concat())
}

/// Runs this command to its end and hands back what it printed.
///
/// # Errors
/// As [`run`].
pub(super) fn finish(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("{} cannot be started", described(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {} ({})", described(command), said.trim(), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Asks every 100 ms, and fails with the name of what is awaited after this many seconds.
///
/// # Errors
/// The time is over, or asking fails.
#[expect(clippy::disallowed_methods, reason = "this is the one place that polls, with a deadline and a message")]
pub(super) fn wait_until(awaited: &str, seconds: u64, mut happened: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !happened().with_context(|| format!("waiting for {awaited}"))? {
        if Instant::now() > deadline {
            bail!("{awaited}: not within {seconds} s");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Writes a file, and its folders.
///
/// # Errors
/// The path, and why it cannot be written.
pub(super) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    }
    std::fs::write(path, content).with_context(|| format!("{}: cannot be written", path.display()))
}

/// Tells, for each thing done, how long it took since the start.
#[derive(Debug)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn say(&self, done: &str) {
        eprintln!("[{:5.1} s] {done}", self.0.elapsed().as_secs_f64());
    }
}

fn described(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
