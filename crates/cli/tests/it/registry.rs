//! `sealock registry`, `sealock serve --access` and `sealock node credential-provider`: who may do what.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::sandbox::{Sandbox, steady};
use crate::serve::{Serving, get};
use crate::site;

const HEAD: &str = "apiVersion: sealock/v1alpha1\nkind: Registry\nmetadata: {name: registry.lab}\nspec:\n";

fn robot(sandbox: &Sandbox) -> Value {
    let args = ["registry", "robot", "ci", "--repository", "team/**", "--action", "pull,push", "-o", "json"];
    serde_json::from_str(&sandbox.must(&args)).expect("JSON")
}

#[test]
fn a_robot_is_shown_its_secret_and_the_lines_to_write() {
    let _steady = steady();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter("slk_[A-Za-z0-9_-]{43}", "[SECRET]");
    let sandbox = Sandbox::new();
    let args = ["registry", "robot", "ci", "--repository", "team/**", "--repository", "lib/*", "--action", "pull,push"];
    settings.bind(|| insta::assert_snapshot!(sandbox.see(&args)));
    insta::assert_snapshot!("a_robot_without_a_label", sandbox.see(&["registry", "robot", "C I", "--repository", "a"]));
}

#[test]
fn the_lines_that_are_shown_are_what_the_file_holds() {
    let _steady = steady();
    let sandbox = Sandbox::new();
    let shown = sandbox.must(&["registry", "robot", "ci", "--repository", "team/**", "--expires-in", "30"]);
    let lines = shown.split_once("\n\n").expect("two parts").1;
    sandbox.write("registry.yaml", format!("{HEAD}  robots:\n{lines}"));
    insta::assert_snapshot!(sandbox.see(&["registry", "check", "registry.yaml"]));
}

#[test]
fn a_file_that_makes_no_sense_is_refused_with_its_place() {
    let sandbox = Sandbox::new();
    sandbox.write("registry.yaml", format!("{HEAD}  anonymus: {{pull: []}}\n"));
    insta::assert_snapshot!(sandbox.see(&["registry", "check", "registry.yaml"]));
}

#[test]
fn a_password_becomes_a_line() {
    let sandbox = Sandbox::new();
    sandbox.write("password", "secret\n");
    let line = sandbox.must(&["registry", "password", "anna", "--password-file", "password"]);
    assert!(line.starts_with("anna:$2b$10$"), "{line}");
    sandbox.write("users", &line);
    sandbox.write("registry.yaml", format!("{HEAD}  htpasswd: users\n"));
    sandbox.must(&["registry", "check", "registry.yaml"]);
    insta::assert_snapshot!(sandbox.see(&["registry", "password", "robot+ci", "--password-file", "password"]));
}

#[test]
fn serve_lets_in_whom_the_file_names() {
    let sandbox = Sandbox::new();
    let port = site::spec(&sandbox, "plant-7");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    let robot = robot(&sandbox);
    sandbox.write("registry.yaml", format!("{HEAD}  anonymous: {{pull: []}}\n  robots: [{}]\n", robot["robot"]));
    let mut command = sandbox.command(&["serve", "--access", "registry.yaml"]);
    let _serving = Serving::start(&mut command);
    let code = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    assert_eq!(get(&sandbox, port, "/v2/", &code), "401");
    let login = format!("{}:{}", robot["login"].as_str().expect("a name"), robot["secret"].as_str().expect("a secret"));
    let token = get(&sandbox, port, "/token?scope=repository:team/app:pull,push,delete", &["--user", &login]);
    let token: Value = serde_json::from_str(&token).expect("JSON");
    assert_eq!(token["scope"], "repository:team/app:pull,push");
    let bearer = format!("Authorization: Bearer {}", token["token"].as_str().expect("a token"));
    assert_eq!(get(&sandbox, port, "/v2/", &[&code[..], &["--header", &bearer]].concat()), "200");
    let key = std::fs::metadata(sandbox.join("state/registry/token.key")).expect("the key");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
}

#[test]
fn the_kubelet_gets_the_pods_token_as_a_password() {
    let sandbox = Sandbox::new();
    let ask = |request: &str| {
        let mut command = sandbox.command(&["node", "credential-provider"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        child.stdin.take().expect("a pipe").write_all(request.as_bytes()).expect("it reads");
        child.wait_with_output().expect("the command ends")
    };
    let output = ask(r#"{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1",
            "image":"registry.lab:5000/team/app:1","serviceAccountToken":"a.b.c"}"#);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["kind"], "CredentialProviderResponse");
    assert_eq!(answer["auth"]["registry.lab:5000"]["password"], "a.b.c");
    assert_eq!(ask("{\"token\": hunter2}").status.code(), Some(3));
    assert!(!String::from_utf8_lossy(&ask("{\"token\": hunter2}").stderr).contains("hunter2"));
}
