//! A disk that is really full: a small filesystem in memory, in a mount namespace of its own.

use std::process::Command;

/// Runs the ignored test `name` of this test binary again in another process, where the folder that the variable `told`
/// names is a filesystem of `size` (as tmpfs takes it: `2m`). Returns what it printed.
///
/// Without root and without user namespaces it says that nothing was run, and fails where `SEALOCK_CI` is set.
#[expect(clippy::disallowed_methods, reason = "CI says that nothing may be left out")]
#[expect(clippy::print_stdout, reason = "a test that was not run says so")]
pub fn run(name: &str, size: &str, told: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size={size} sealock-test \"$1\" && exec \"$2\" --exact {name} --ignored --nocapture"
    );
    let unshare = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let output = Command::new("unshare")
        .args([unshare, "sh", "-c", &script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .env(told, folder.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let could_mount = !err.contains("unshare:") && !err.contains("mount:");
    if !could_mount && std::env::var_os("SEALOCK_CI").is_none() {
        println!("NOT RUN: a small filesystem needs root or user namespaces: {err}");
        return String::new();
    }
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
    out.into_owned()
}
