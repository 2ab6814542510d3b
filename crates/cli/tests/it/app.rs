//! `sealock app`

use crate::cluster;

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
