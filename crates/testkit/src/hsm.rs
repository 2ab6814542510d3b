//! The program that talks to tokens, built from the source beside this.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// `sealock-hsm`, as `cargo xtask hsm` builds it: it stands outside the workspace, so cargo does not build it for a test.
pub fn helper() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

fn build() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new("cargo").args(["xtask", "hsm"]).current_dir(repository).output().unwrap();
    assert!(output.status.success(), "cargo xtask hsm: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}
