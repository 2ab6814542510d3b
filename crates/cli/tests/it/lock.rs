//! `sealock lock`

use sealock_testkit::corpus;
use sealock_testkit::upstream::Fault;

use crate::packager::{Packager, SPEC};
use crate::sandbox::{Sandbox, steady};

const LOCK: [&str; 3] = ["lock", "-f", "plant/sealock.yaml"];

#[test]
fn tags_become_digests() {
    let _steady = steady();
    let packager = Packager::new();
    insta::assert_snapshot!(packager.sandbox.see(&LOCK));
    let lock = packager.sandbox.read("plant/sealock.lock");
    assert!(lock.contains("\"made for this test\""), "{lock}");
}

#[test]
fn without_a_spec_it_says_where_to_begin() {
    insta::assert_snapshot!(Sandbox::new().see(&["lock"]), @r"
    exit code: 1
    --- stderr
    error: reading sealock.yaml
      Caused by: No such file or directory (os error 2)
      Hint: `sealock init` writes a spec to begin with; --file FILE names one that is elsewhere.
    ");
}

#[test]
fn where_nothing_changed_the_lock_stays() {
    let packager = Packager::new();
    packager.lock();
    let before = packager.sandbox.read("plant/sealock.lock");
    assert!(packager.lock().contains("is unchanged"));
    assert_eq!(before, packager.sandbox.read("plant/sealock.lock"));
}

#[test]
fn the_same_time_makes_the_same_lock() {
    let packager = Packager::new();
    let lock = |name: &str| {
        let mut command = packager.sandbox.command(&LOCK);
        let output = command.args(["--lock", name]).env("SOURCE_DATE_EPOCH", "1790000000").output();
        assert!(output.expect("the command runs").status.success());
        packager.sandbox.read(name)
    };
    assert_eq!(lock("one.lock"), lock("two.lock"));
}

#[test]
fn check_tells_when_a_tag_has_moved() {
    let _steady = steady();
    let packager = Packager::new();
    packager.lock();
    let check = [&LOCK[..], &["--check"]].concat();
    packager.sandbox.must(&check);
    packager.upstream.push("docker.io/library/web:2", &corpus::images(3, 1000)[2]);
    insta::assert_snapshot!(packager.sandbox.see(&check));
}

#[test]
fn an_image_that_is_not_there_stops_the_lock() {
    let _steady = steady();
    let packager = Packager::new();
    packager.upstream.content(|content| content.forget("docker.io/library/web", "2"));
    insta::assert_snapshot!(packager.sandbox.see(&LOCK).replace(&packager.upstream.authority(), "[UPSTREAM]"));
    assert!(!packager.sandbox.join("plant/sealock.lock").exists());
}

#[test]
fn an_upstream_that_fails_is_the_environments_fault() {
    let _steady = steady();
    let packager = Packager::new();
    packager.upstream.fail("/v2/", Fault::Status(503));
    insta::assert_snapshot!(packager.sandbox.see(&LOCK).replace(&packager.upstream.authority(), "[UPSTREAM]"));
}

#[test]
fn an_unknown_field_is_refused_with_place_and_nearest_name() {
    let packager = Packager::new();
    packager.sandbox.write("plant/sealock.yaml", SPEC.replace("images:", "imags:"));
    insta::assert_snapshot!(packager.sandbox.see(&LOCK));
}

#[test]
fn without_a_trust_root_it_says_how_to_make_one() {
    let packager = Packager::new();
    std::fs::remove_file(packager.sandbox.join("plant/trust/root.json")).expect("a root");
    insta::assert_snapshot!(packager.sandbox.see(&LOCK));
}

#[test]
fn the_next_lock_takes_the_next_sequence_once_its_bundle_is_built() {
    let packager = Packager::new();
    packager.build();
    packager.upstream.push("docker.io/library/web:2", &corpus::images(3, 1000)[2]);
    assert!(packager.lock().contains("base 2"));
    packager.upstream.push("docker.io/library/web:2", &corpus::images(4, 1000)[3]);
    assert!(packager.lock().contains("base 2"), "not built yet, so it is still the second");
}

#[test]
fn a_guess_is_decided_by_a_person() {
    let _steady = steady();
    let packager = Packager::new();
    let agent = "apiVersion: agents.example.org/v1\nkind: Fleet\nmetadata: {name: f}\nspec:\n  agentImage: quay.io/team/agent:3\n  probe: {image: {repository: quay.io/team/app, tag: v1}}\n";
    packager.sandbox.write("plant/manifests/fleet.yaml", agent);
    let spec = format!("{SPEC}  manifests: [manifests]\n");
    packager.sandbox.write("plant/sealock.yaml", &spec);
    insta::assert_snapshot!(packager.sandbox.see(&LOCK));
    assert!(!packager.sandbox.join("plant/sealock.lock").exists());
    let refused =
        "  guesses:\n    refuse:\n      - {match: \"quay.io/team/agent:3\", reason: \"the fleet is outside\"}\n";
    packager.sandbox.write("plant/sealock.yaml", format!("{spec}{refused}"));
    packager.sandbox.must(&LOCK);
    packager.sandbox.write("plant/sealock.yaml", format!("{spec}{}", refused.replace("the fleet is outside", "")));
    insta::assert_snapshot!(packager.sandbox.see(&LOCK));
}

const CHOICES: &str = "  components:
    - name: web
      optional: true
      images: [{ref: \"docker.io/library/web:2\", verify: {unsigned: \"made for this test\"}}]
  variants:
    plant-8: {components: [web], audience: {sites: [plant-8]}}
";

#[test]
fn one_spec_makes_locks_for_several_sites() {
    let _steady = steady();
    let packager = Packager::new();
    let web = "    - {ref: \"docker.io/library/web:2\", verify: {unsigned: \"made for this test\"}}\n";
    packager.sandbox.write("plant/sealock.yaml", format!("{}{CHOICES}", SPEC.replace(web, "")));
    let variant = [&LOCK[..], &["--variant", "plant-8"]].concat();
    insta::assert_snapshot!(packager.sandbox.see(&variant));
    assert!(
        packager
            .sandbox
            .read("plant/sealock.plant-8.lock")
            .contains("\"selection\":{\"components\":[\"web\"],\"variant\":\"plant-8\"}")
    );
    assert!(
        packager.sandbox.must(&[&variant[..], &["--without", "web"]].concat()).contains("- docker.io/library/web:2")
    );
    packager.sandbox.must(&[&LOCK[..], &["--with", "web"]].concat());
    let check = packager.sandbox.run(&[&LOCK[..], &["--check"]].concat());
    assert_eq!(check.status.code(), Some(1), "{}", packager.sandbox.seen(&check));
    packager.sandbox.must(&[&LOCK[..], &["--with", "web", "--check"]].concat());
    insta::assert_snapshot!(packager.sandbox.see(&[&LOCK[..], &["--variant", "plant-9"]].concat()));
    insta::assert_snapshot!(packager.sandbox.see(&[&LOCK[..], &["--with", "wep"]].concat()));
    let wrong = format!("{SPEC}{}", CHOICES.replace("components: [web]", "components: [wep]"));
    packager.sandbox.write("plant/sealock.yaml", wrong);
    insta::assert_snapshot!(packager.sandbox.see(&LOCK));
}

const PARAMETERS: &str = "  parameters:
    domain: {type: string, required: true, description: where users find it}
    replicas: {type: integer, minimum: 1, maximum: 9, default: 2}
  manifests: [manifests]
";

#[test]
fn parameters_are_given_checked_and_fixed() {
    let _steady = steady();
    let packager = Packager::new();
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {host: app.$(parameters.domain), replicas: \"$(parameters.replicas)\"}\n";
    packager.sandbox.write("plant/manifests/web.yaml", manifest);
    packager.sandbox.write("plant/sealock.yaml", format!("{SPEC}{PARAMETERS}"));
    let lock = |more: &[&str]| packager.sandbox.see(&[&LOCK[..], more].concat());
    insta::assert_snapshot!("nothing_given", lock(&[]));
    insta::assert_snapshot!("unknown_parameter", lock(&["--set", "domian=plant-7.lab"]));
    packager.sandbox.write("values.yaml", "domain: plant-7.lab\nreplicas: many\n");
    insta::assert_snapshot!("wrong_value_in_a_file", lock(&["--parameters", "values.yaml"]));
    packager.sandbox.write("values.yaml", "domain: plant-7.lab\nreplicas: 3\n");
    insta::assert_snapshot!("given_in_a_file", lock(&["--parameters", "values.yaml"]));
    assert!(
        packager
            .sandbox
            .read("plant/sealock.lock")
            .contains("\"parameters\":{\"domain\":\"plant-7.lab\",\"replicas\":3}")
    );
    let build = ["build", "--lock", "plant/sealock.lock"];
    insta::assert_snapshot!(
        "built_with_other_values",
        packager.sandbox.see(&[&build[..], &["--set", "replicas=4"]].concat())
    );
    packager.sandbox.must(&[&build[..], &["--parameters", "values.yaml"]].concat());
    std::fs::copy(packager.sandbox.join("plant/sealock.lock"), packager.sandbox.join("old.lock")).expect("a copy");
    insta::assert_snapshot!("another_value", lock(&["--parameters", "values.yaml", "--set", "replicas=5"]));
    packager.sandbox.must(&build);
    insta::assert_snapshot!("inspected", packager.sandbox.see(&["inspect", "plant/plant-2.tar"]));
    // Not as a snapshot: whether the two were made in one second decides which times are among the facts.
    let compared = packager.sandbox.must(&["diff", "old.lock", "plant/sealock.lock"]);
    let told = |line: &str| line.split_whitespace().eq("parameter replicas = 3 replicas = 5".split(' '));
    assert!(compared.lines().any(told), "{compared}");
    let bundles = packager.sandbox.must(&["diff", "plant/plant-1.tar", "plant/plant-2.tar", "--unverified"]);
    assert!(bundles.lines().any(told), "{bundles}");
}
