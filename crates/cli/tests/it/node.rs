//! `sealock node`: a machine by itself, and the contract with the station.

use std::io::Write as _;
use std::process::Stdio;

use crate::sandbox::Sandbox;

#[test]
fn what_is_no_request_is_named() {
    let sandbox = Sandbox::new();
    for file in ["request", "site-root", "release"] {
        sandbox.write(file, "{}");
    }
    let files = ["--request", "request", "--site-root", "site-root", "--release", "release"];
    insta::assert_snapshot!(sandbox.see(&[&["node", "run"][..], &files].concat()));
}

#[test]
fn bad_secrets_are_not_repeated() {
    let sandbox = Sandbox::new();
    sandbox.write("request", "{}");
    let files = ["--request", "request", "--site-root", "request", "--release", "request"];
    let mut command = sandbox.command(&[&["node", "run"][..], &files].concat());
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    child.stdin.take().expect("a pipe").write_all(b"{\"token\": hunter2}").expect("it reads");
    let output = child.wait_with_output().expect("the command ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("secrets") && !said.contains("hunter2"), "{said}");
}

#[test]
fn a_gap_request_of_another_version_is_refused() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["node", "gap"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let request = r#"{"format":"gap-request/9.0","node":"n","targets":[],"metadata":[],"names":[],
                      "controls":{"addresses":[],"tcp":{},"udp":{}},"timeout-ms":1}"#;
    child.stdin.take().expect("a pipe").write_all(request.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_a_person_may_do_is_in_the_help_and_what_a_station_does_is_not() {
    let help = Sandbox::new().must(&["node", "--help"]);
    let listed = |name: &str| help.lines().any(|line| line.trim_start().split(' ').next() == Some(name));
    assert!(["prepare", "init", "invite", "join", "upgrade", "status", "reset"].into_iter().all(listed), "{help}");
    let hidden = ["observe", "probe", "run", "gap", "local-proxy", "credential-provider", "backup", "unpack"];
    assert!(!hidden.into_iter().any(listed), "{help}");
}

#[test]
fn a_machine_is_prepared_from_a_release_that_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("site-root.json", "{}");
    let prepare = ["node", "prepare", "--kubernetes", "v1.36.3", "--site-root", "site-root.json"];
    insta::assert_snapshot!(sandbox.see(&prepare));
}

#[test]
fn a_site_root_that_is_none_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("site-root.json", "{}");
    std::fs::create_dir(sandbox.join("store")).expect("a folder");
    let prepare = ["node", "prepare", "--kubernetes", "v1.36.3", "--site-root", "site-root.json", "--from", "store"];
    insta::assert_snapshot!(sandbox.see(&prepare));
}

#[test]
fn a_join_file_that_is_none_is_refused_and_not_repeated() {
    let sandbox = Sandbox::new();
    let file = r#"{"format":"node-join/1.0","cluster":"c","kubernetes":"v1.36.3","endpoint":"a:1","caHash":"sha256:x",
                   "token":"hunter2","expires":"2026-11-28T09:00:00Z"}"#;
    sandbox.write("join.json", file);
    let seen = sandbox.see(&["node", "join", "--join-file", "join.json"]);
    assert!(!seen.contains("hunter2"), "{seen}");
    insta::assert_snapshot!(seen);
    sandbox.write("later.json", r#"{"format":"node-join/2.0"}"#);
    insta::assert_snapshot!(sandbox.see(&["node", "join", "--join-file", "later.json"]));
}

/// Nothing is made that could not be written down.
#[test]
fn a_join_file_takes_no_other_files_place() {
    let sandbox = Sandbox::new();
    sandbox.write("join.json", "mine");
    insta::assert_snapshot!(sandbox.see(&["node", "invite", "--join-file", "join.json"]));
    insta::assert_snapshot!(sandbox.see(&["node", "init", "--join-file", "join.json"]));
}
