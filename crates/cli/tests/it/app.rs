//! `sealock app`

use crate::cluster;
use crate::sandbox::Sandbox;

const SPEC: &str = "apiVersion: sealock/v1alpha1\nkind: App\nmetadata: {name: demo}\nspec:\n  cluster: plant-7\n  \
                    manifests: [manifests/plant-7/web.yaml]\n";

#[test]
fn without_a_release_nothing_is_applied() {
    let sandbox = cluster::station();
    sandbox.write("app.yaml", SPEC);
    insta::assert_snapshot!(sandbox.see(&["app", "apply"]));
}

#[test]
fn an_unknown_field_is_refused_with_place_and_nearest_name() {
    let sandbox = cluster::station();
    sandbox.write("app.yaml", SPEC.replace("manifests:", "manifest:"));
    insta::assert_snapshot!(sandbox.see(&["app", "apply"]));
}

/// The frozen revisions of `demo`, the last of which a rollback has made.
const REVISIONS: &[u8] = include_bytes!("../../testdata/formats/1.0/app-revisions.json");

/// A station that has brought `demo` to plant-7, and, before it kept revisions, `shop` to two clusters.
fn with_apps() -> Sandbox {
    let sandbox = cluster::station();
    sandbox.write("state/clusters/plant-7/revisions/demo.json", REVISIONS);
    for cluster in ["plant-7", "plant-8"] {
        sandbox.write(&format!("state/clusters/{cluster}/apps/shop.json"), r#"{"releases":[1]}"#);
    }
    sandbox
}

#[test]
fn applications_are_listed_with_what_they_are_now() {
    insta::assert_snapshot!("list_of_none", cluster::station().see(&["app", "list"]));
    insta::assert_snapshot!("list", with_apps().see(&["app", "list"]));
}

#[test]
fn the_history_of_an_application_needs_no_cluster() {
    let sandbox = with_apps();
    insta::assert_snapshot!("history", sandbox.see(&["app", "history", "demo"]));
    insta::assert_snapshot!("history_json", sandbox.see(&["app", "history", "demo", "-o", "json"]));
}

#[test]
fn an_application_that_is_not_known_or_could_be_several_is_told() {
    let sandbox = with_apps();
    insta::assert_snapshot!("unknown", sandbox.see(&["app", "rollback", "dmeo"]));
    insta::assert_snapshot!("several", sandbox.see(&["app", "remove", "shop"]));
    insta::assert_snapshot!("nothing_kept", sandbox.see(&["app", "history", "shop", "--cluster", "plant-8"]));
}

#[test]
fn revisions_that_are_damaged_are_refused_with_their_place() {
    let sandbox = with_apps();
    sandbox.write("state/clusters/plant-7/revisions/demo.json", "{}");
    insta::assert_snapshot!("damaged", sandbox.see(&["app", "history", "demo"]));
    let newer = String::from_utf8_lossy(REVISIONS).replace("app-revisions/1.0", "app-revisions/2.0");
    sandbox.write("state/clusters/plant-7/revisions/demo.json", newer);
    insta::assert_snapshot!("newer_revisions", sandbox.see(&["app", "list"]));
}

#[test]
fn a_diff_names_the_spec_that_it_lacks_and_takes_one_kind_of_target() {
    let sandbox = with_apps();
    insta::assert_snapshot!("diff_without_spec", sandbox.see(&["app", "diff"]));
    insta::assert_snapshot!("diff_of_both", sandbox.see(&["app", "diff", "demo", "-f", "app.yaml"]));
}
