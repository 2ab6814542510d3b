//! `sealock completion`

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::sandbox::Sandbox;

#[test]
fn the_bash_script_completes_a_command() {
    let script = Sandbox::new().must(&["completion", "bash"]);
    let mut bash = Command::new("bash").arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash");
    let ask = "COMP_WORDS=(sealock cluster pl); COMP_CWORD=2\n_sealock sealock pl cluster\necho \"${COMPREPLY[@]}\"\n";
    let mut stdin = bash.stdin.take().expect("a pipe");
    stdin.write_all(format!("{script}\n{ask}").as_bytes()).expect("bash reads");
    drop(stdin);
    let output = bash.wait_with_output().expect("bash ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "plan");
}

#[test]
fn every_shell_has_a_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Sandbox::new().must(&["completion", shell]);
        assert!(script.contains("sealock") && script.contains("cluster"), "{shell}");
    }
}
