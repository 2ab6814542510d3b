//! Tests that want a process of their own.

use std::process::Command;

const ALONE: &str = "SEALOCK_TEST_ALONE";

/// Whether the test `name` has this process for itself: no other test's memory counts, and no other test's server gets the
/// signals. Where it has not, it is run in such a process instead, and has passed there when this returns.
#[expect(clippy::disallowed_methods, reason = "the way to tell another process of this test what to do")]
pub(crate) fn is_alone(name: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    println!("{said}");
    false
}
