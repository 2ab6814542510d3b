//! Faults at the border to the system, put there by `strace`: the binary under test is the one that ships, and knows nothing.

use std::path::Path;
use std::process::Command;

use crate::sandbox::Sandbox;

/// Calls by which a program changes a disk, or makes a change durable.
const CHANGES: &[&str] = &[
    "openat",
    "mkdir",
    "mkdirat",
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "copy_file_range",
    "sendfile",
    "splice",
    "fallocate",
    "ftruncate",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "fchmod",
    "chmod",
    "fchmodat",
];

/// One call: its name, and the how-manieth call of that name it is in its thread.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    pub name: String,
    pub number: u32,
}

/// Every call by which `sealock ARGS…` changes something below the sandbox, each once.
pub fn changes(sandbox: &Sandbox, args: &[&str]) -> Vec<Call> {
    let folder = sandbox.path().display().to_string();
    let mut calls: Vec<Call> = traced(sandbox, &CHANGES.join(","), args)
        .into_iter()
        .filter(|(call, line)| is_change(call, line, &folder))
        .map(|(call, _)| call)
        .collect();
    calls.sort();
    calls.dedup();
    calls
}

fn is_change(call: &Call, line: &str, folder: &str) -> bool {
    // A call that failed, such as the removal of what is not there, changed nothing.
    let has_failed = line.contains(" = -1 ");
    is_below(line, folder)
        && !has_failed
        && (call.name != "openat" || line.contains("O_CREAT") || line.contains("O_TRUNC"))
}

/// Whether a call is about something below the folder in which the command runs. A path that does not begin with `/` is.
fn is_below(line: &str, folder: &str) -> bool {
    line.contains(folder) || (!line.contains("(\"/") && !line.contains('<'))
}

/// The call of `sealock ARGS…` that reads the byte `at` of the file `name`, the last one where there are several.
pub fn read_of(sandbox: &Sandbox, args: &[&str], (name, at): (&str, u64)) -> Call {
    let file = format!("/{name}>");
    let calls = traced(sandbox, "pread64", args);
    let covers = |line: &str| {
        let (length, offset) = length_and_offset(line)?;
        (offset <= at && at < offset + length).then_some(())
    };
    let found = calls.into_iter().rfind(|(_, line)| line.contains(&file) && covers(line).is_some());
    found.unwrap_or_else(|| panic!("nothing reads byte {at} of {name}")).0
}

/// The call by which `sealock ARGS…` makes the folder whose name begins with `name`.
pub fn making_of(sandbox: &Sandbox, args: &[&str], name: &str) -> Call {
    let calls = traced(sandbox, "mkdir,mkdirat", args);
    let found = calls.into_iter().find(|(_, line)| line.contains(&format!("/{name}")));
    found.unwrap_or_else(|| panic!("no folder {name} is made")).0
}

/// The words before a command so that `signal` comes at a call, which takes so long that it is there before anything else is done.
pub fn signalled(call: &Call, signal: &str) -> Vec<String> {
    injecting(&[], Path::new("/dev/null"), call, &format!("signal={signal}:delay_exit=300000"))
}

/// `pread64(3</a/b>, ""..., 4096, 512) = 4096`
fn length_and_offset(line: &str) -> Option<(u64, u64)> {
    let (arguments, _) = line.rsplit_once(')')?;
    let mut last = arguments.rsplit(", ");
    let offset = last.next()?.parse().ok()?;
    Some((last.next()?.parse().ok()?, offset))
}

/// Runs under `strace`, and answers every call of the kinds `trace` with its line.
fn traced(sandbox: &Sandbox, trace: &str, args: &[&str]) -> Vec<(Call, String)> {
    let log = sandbox.path().with_extension("trace");
    let log_name = log.display().to_string();
    let strace = ["strace", "-f", FILTER, "-qq", "-y", "-s", "0", "-o", &log_name, "-e"];
    let trace = format!("trace={trace}");
    let output = run(&mut sandbox.command_under(&[&strace[..], &[trace.as_str()]].concat(), args));
    assert!(output.status.success(), "{}", sandbox.seen(&output));
    let text = std::fs::read_to_string(&log).expect("a trace");
    std::fs::remove_file(&log).expect("a trace");
    numbered(&text)
}

/// Counts, in each thread, the calls of each name.
fn numbered(trace: &str) -> Vec<(Call, String)> {
    let mut counts = std::collections::BTreeMap::new();
    let call = |line: &str| {
        let (thread, rest) = line.split_once(' ')?;
        let (name, _) = rest.trim_start().split_once('(')?;
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then(|| (thread.to_owned(), name.to_owned()))
    };
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((thread, name)) = call(line) else { continue };
        let number = counts.entry((thread, name.clone())).or_insert(0);
        *number += 1;
        calls.push((Call { name, number: *number }, line.to_owned()));
    }
    calls
}

/// What goes wrong at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed before the call is carried out.
    Killed,
    /// The call fails since no space is left.
    DiskFull,
}

/// Runs `sealock ARGS…` so that it meets `fault` at `call`.
///
/// Answers its output, and whether the call was one on a file of the sandbox: threads share their work in another way each time, and
/// a runtime writes to wake its own.
pub fn meet(sandbox: &Sandbox, fault: Fault, call: &Call, args: &[&str]) -> (std::process::Output, bool) {
    let log = sandbox.path().with_extension("trace");
    let words = match fault {
        // No signal reaches a program where it is stopped by a filter.
        Fault::Killed => injecting(&["-y"], &log, call, "signal=SIGKILL"),
        Fault::DiskFull => injecting(&[FILTER, "-y"], &log, call, "error=ENOSPC"),
    };
    let output = run(&mut sandbox.command_under(&words, args));
    let trace = std::fs::read_to_string(&log).expect("a trace");
    std::fs::remove_file(&log).expect("a trace");
    let folder = sandbox.path().display().to_string();
    let failed_on_a_file = trace.lines().any(|line| line.contains("(INJECTED)") && is_below(line, &folder));
    (output, fault == Fault::Killed || failed_on_a_file)
}

/// The words before a command so that a read brings other bytes than are there.
pub fn lying(call: &Call) -> Vec<String> {
    injecting(&[FILTER], Path::new("/dev/null"), call, "poke_exit=@arg2=5a5a5a5a5a5a5a5a")
}

/// Stops the program at the calls that are looked at, and at no others.
const FILTER: &str = "--seccomp-bpf";

fn injecting(options: &[&str], log: &Path, call: &Call, what: &str) -> Vec<String> {
    let Call { name, number } = call;
    let log = log.display().to_string();
    let inject = [format!("trace={name}"), "-e".to_owned(), format!("inject={name}:{what}:when={number}")];
    let strace = [&["strace", "-f"][..], options, &["-qq", "-s", "0", "-o", &log, "-e"]].concat();
    strace.into_iter().map(str::to_owned).chain(inject).collect()
}

/// Runs a command that [`Sandbox::command_under`] made with `strace`.
fn run(command: &mut Command) -> std::process::Output {
    command.output().unwrap_or_else(|error| panic!("strace (Debian package strace) is needed for this test: {error}"))
}

/// Whether a process that ran under `strace` was killed.
pub fn was_killed(output: &std::process::Output) -> bool {
    // strace ends as the program did.
    std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9) || output.status.code() == Some(137)
}

#[test]
fn calls_are_counted_for_each_thread() {
    let trace = "10 openat(AT_FDCWD</s>, \"a\", O_WRONLY|O_CREAT, 0666) = 3</s/a>\n\
                 11 write(4</s/b>, \"\"..., 8 <unfinished ...>\n\
                 10 write(3</s/a>, \"\"..., 8) = 8\n\
                 11 <... write resumed>) = 8\n\
                 10 write(3</s/a>, \"\"..., 8) = 8\n10 +++ exited with 0 +++\n";
    let seen: Vec<(String, u32)> = numbered(trace).into_iter().map(|(call, _)| (call.name, call.number)).collect();
    let expected = [("openat", 1), ("write", 1), ("write", 1), ("write", 2)];
    assert_eq!(seen, expected.map(|(name, number)| (name.to_owned(), number)));
    assert_eq!(length_and_offset("10 pread64(3</a/b>, \"\"..., 4096, 512) = 4096"), Some((4096, 512)));
}
