//! `sealock convert`

use crate::packager::{Packager, json};
use crate::sandbox::{Sandbox, steady};

const ZARF: &str = "kind: ZarfPackageConfig\nmetadata: {name: demo}\ncomponents:\n  - name: app\n    images: [\"quay.io/team/app:v1\", \"docker.io/library/web:2\"]\n    actions: {onDeploy: {before: [{cmd: make}]}}\n    charts:\n      - {name: x, version: 1.0.0, url: \"https://robot:hunter2@charts.example.org\"}\n";

#[test]
fn a_package_becomes_a_spec_with_what_was_left_out() {
    let sandbox = Sandbox::new();
    sandbox.write("zarf.yaml", ZARF);
    insta::assert_snapshot!(sandbox.see(&["convert", "zarf.yaml", "--to", "sealock.yaml", "--site", "plant-7"]));
    insta::assert_snapshot!("spec", sandbox.read("sealock.yaml"));
}

#[test]
fn an_existing_spec_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.write("zarf.yaml", ZARF);
    sandbox.write("sealock.yaml", "mine");
    let seen = sandbox.see(&["convert", "zarf.yaml", "--to", "sealock.yaml"]);
    assert!(!seen.starts_with("exit code: 0"), "{seen}");
    assert_eq!(sandbox.read("sealock.yaml"), "mine");
    sandbox.must(&["convert", "zarf.yaml", "--to", "other.yaml", "--dry-run"]);
    assert!(!sandbox.join("other.yaml").exists());
}

#[test]
fn programs_get_spec_and_findings_and_no_credential() {
    let sandbox = Sandbox::new();
    sandbox.write("zarf.yaml", ZARF);
    let output = sandbox.run(&["convert", "zarf.yaml", "-o", "json"]);
    let all = sandbox.seen(&output);
    assert!(!all.contains("hunter2") && !all.contains("robot"), "{all}");
    let outcome = json(&String::from_utf8(output.stdout).expect("text"));
    assert_eq!((&outcome["format"], &outcome["findings"][0]["level"]), (&"zarf".into(), &"credential".into()));
    assert_eq!(outcome["findings"][0]["line"], 8);
}

#[test]
fn what_is_hostile_or_unknown_is_refused() {
    let _steady = steady();
    let sandbox = Sandbox::new();
    sandbox.write("twice.yaml", "kind: ZarfPackageConfig\nkind: x\n");
    insta::assert_snapshot!("twice", sandbox.see(&["convert", "twice.yaml"]));
    sandbox.write("pod.yaml", "apiVersion: v1\nkind: Pod\n");
    insta::assert_snapshot!("unknown", sandbox.see(&["convert", "pod.yaml"]));
    let seen = sandbox.see(&["convert", "pod.yaml", "--from", "helmfile"]);
    assert!(seen.starts_with("exit code: 2\n") && seen.contains("known are zarf, hauler"), "{seen}");
}

#[test]
fn the_spec_does_not_lock_until_a_person_has_said_why_unsigned_is_fine() {
    let packager = Packager::new();
    let sandbox = &packager.sandbox;
    sandbox.write("images.txt", "quay.io/team/app:v1\ndocker.io/library/web:2\n");
    std::fs::remove_file(sandbox.join("plant/sealock.yaml")).expect("a spec");
    sandbox.must(&["convert", "images.txt", "--to", "plant/sealock.yaml", "--name", "plant", "--site", "plant-7"]);
    let seen = sandbox.see(&["lock", "-f", "plant/sealock.yaml"]);
    assert!(seen.starts_with("exit code: 3\n") && seen.contains("docker.io/library/web:2"), "{seen}");
    let spec = sandbox.read("plant/sealock.yaml");
    let rule = "  verify: [{match: \"*\", unsigned: \"made for this test\"}]\n  images:\n";
    sandbox.write("plant/sealock.yaml", spec.replace("  images:\n", rule));
    packager.lock();
}
