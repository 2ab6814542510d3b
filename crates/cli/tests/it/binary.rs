//! What the binary is made of.

use std::process::Command;

fn readelf(flag: &str) -> String {
    let output = Command::new("readelf").args([flag, "--wide", env!("CARGO_BIN_EXE_sealock")]).output();
    let output = output.expect("readelf (Debian package binutils) is needed for this test");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn it_is_static_pie_and_runs_on_any_linux() {
    assert!(readelf("-h").contains("DYN (Position-Independent Executable"), "not position independent");
    let program_headers = readelf("-l");
    assert!(!program_headers.contains("INTERP"), "it asks for a dynamic loader:\n{program_headers}");
    let dynamic = readelf("-d");
    assert!(!dynamic.contains("NEEDED"), "it needs shared libraries:\n{dynamic}");
}
