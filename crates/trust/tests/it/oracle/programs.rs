//! Oracles that are programs of their own: exit code 0 is belief, 3 is refusal, anything else a fault of the set-up.

use std::path::{Path, PathBuf};
use std::process::Command;

const MISSING: &str = "the oracle tests need, first in PATH, a python3 with two packages (`python3 -m venv VENV && \
    VENV/bin/pip install tuf 'securesystemslib[crypto]'`) and go_tuf (`go build` in tests/oracle/go_tuf), or \
    SEALOCK_ORACLES unset";

pub(super) fn python_believes(folder: &Path) -> Result<(), String> {
    verdict(Command::new("python3").arg(script("python_tuf.py")).arg(folder))
}

pub(super) fn python_finds(folder: &Path, name: &str) -> Result<(), String> {
    verdict(Command::new("python3").arg(script("python_tuf.py")).arg(folder).arg(name))
}

pub(super) fn go_finds(folder: &Path, name: &str) -> Result<(), String> {
    verdict(Command::new("go_tuf").arg("verify").arg(folder).arg(name))
}

pub(super) fn python_makes(folder: &Path) {
    verdict(Command::new("python3").arg(script("python_tuf_make.py")).arg(folder)).unwrap();
}

pub(super) fn go_believes(folder: &Path) -> Result<(), String> {
    verdict(Command::new("go_tuf").arg("verify").arg(folder))
}

pub(super) fn go_makes(folder: &Path) {
    verdict(Command::new("go_tuf").arg("make").arg(folder)).unwrap();
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle").join(name)
}

fn verdict(command: &mut Command) -> Result<(), String> {
    let output = command.output().unwrap_or_else(|error| panic!("{MISSING}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => Ok(()),
        Some(3) => Err(stderr),
        _ => panic!("{MISSING}: {stderr}"),
    }
}
