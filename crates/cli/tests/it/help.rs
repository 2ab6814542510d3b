//! `sealock help`: what a person sees before anything else.

use crate::sandbox::Sandbox;

#[test]
#[cfg(feature = "outside")]
fn without_arguments_the_help_is_shown() {
    insta::assert_snapshot!(Sandbox::new().see(&[]));
}

#[test]
fn a_misspelt_command_names_the_nearest() {
    insta::assert_snapshot!(Sandbox::new().see(&["improt"]));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::Stdio;

    let sandbox = Sandbox::new();
    let mut child = sandbox
        .command(&["completion", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
}
