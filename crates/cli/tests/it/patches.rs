//! `build --since` where a layer has changed: the delta carries a patch, the site makes the layer.

use sealock_testkit::image::Image;
use serde_json::json;

use crate::delta::{DELTA, SINCE, blank, carry_the_first};
use crate::packager::Packager;
use crate::sandbox::steady;
use crate::{import, packager};

const BASE: &[u8] = include_bytes!("../../../bundle/testdata/vectors/layer-patch/base.gz");
const NEXT: &[u8] = include_bytes!("../../../bundle/testdata/vectors/layer-patch/layer-go.gz");
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn push_tool(packager: &Packager, tag: &str, layer: &'static [u8]) {
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Labels": {"tag": tag}}, "rootfs": {"type": "layers", "diff_ids": []}});
    let config = serde_json::to_vec(&config).expect("JSON");
    let layers = vec![(LAYER.to_owned(), layer.into())];
    let image = Image::artifact(None, ("application/vnd.oci.image.config.v1+json", config.into()), layers, &json!({}));
    packager.upstream.push(&format!("quay.io/team/tool:{tag}"), &image);
    let line = format!("    - {{ref: \"quay.io/team/tool:{tag}\", verify: {{unsigned: \"made for this test\"}}}}\n");
    packager.sandbox.write("plant/sealock.yaml", format!("{}{line}", packager::SPEC));
}

/// The site has version 1, and version 2 is locked.
fn after_the_first() -> Packager {
    let packager = Packager::new();
    push_tool(&packager, "1", BASE);
    packager.build();
    import::believe(&packager.sandbox, "plant-7");
    carry_the_first(&packager);
    push_tool(&packager, "2", NEXT);
    packager.lock();
    packager
}

#[test]
fn a_layer_that_changed_travels_as_a_patch() {
    let (_steady, _blank) = (steady(), blank());
    let packager = after_the_first();
    let sandbox = &packager.sandbox;
    insta::assert_snapshot!("built_with_a_patch", sandbox.see(&SINCE));
    let left = ["plant/plant-2-delta-plant-7.tar.whole", "plant/plant-2-delta-plant-7.tar.patches"];
    assert!(left.iter().all(|name| !sandbox.join(name).exists()));
    insta::assert_snapshot!("inspected_with_a_patch", sandbox.see(&["inspect", DELTA]));
    let elsewhere = ["verify", DELTA, "--root", "plant/trust/root.json", "--state-dir", "nowhere"];
    insta::assert_snapshot!("verified_elsewhere", sandbox.see(&elsewhere));
    insta::assert_snapshot!("verified_at_the_station", sandbox.see(&["verify", DELTA]));
    insta::assert_snapshot!("imported_with_a_patch", sandbox.see(&["import", DELTA]));
    let layer = sealock_trust::Digest::sha256(NEXT);
    let made = std::fs::read(sandbox.join("state/store/blobs/sha256").join(layer.hex())).expect("the layer");
    assert!(made == NEXT);
    let size = |name: &str| std::fs::metadata(sandbox.join(name)).expect("a bundle").len();
    sandbox.must(&[&SINCE[..], &["--no-patches", "--to", "whole.tar"]].concat());
    assert!(size(DELTA) + 30_000 < size("whole.tar"));
}

#[test]
fn the_same_delta_is_made_again_and_takes_another_signature() {
    let packager = after_the_first();
    let sandbox = &packager.sandbox;
    for name in ["one.tar", "two.tar"] {
        sandbox.must(&[&SINCE[..], &["--to", name]].concat());
    }
    let bytes = |name: &str| std::fs::read(sandbox.join(name)).expect("a bundle");
    assert!(bytes("one.tar") == bytes("two.tar"));
    sandbox.must(&[&SINCE[..], &["--to", "one.tar"]].concat());
    assert!(bytes("one.tar") == bytes("two.tar"));
    std::fs::rename(sandbox.join("plant/plant-1.tar"), sandbox.join("kept.tar")).expect("a bundle");
    sandbox.must(&[&SINCE[..], &["--to", "without.tar"]].concat());
    assert!(bytes("without.tar") != bytes("one.tar"));
    sandbox.must(&[&SINCE[..], &["--base", "kept.tar", "--to", "with.tar"]].concat());
    assert!(bytes("with.tar") == bytes("one.tar"));
}

#[test]
fn a_base_that_the_site_lost_is_named_and_the_layer_comes_whole() {
    let (_steady, _blank) = (steady(), blank());
    let packager = after_the_first();
    let sandbox = &packager.sandbox;
    sandbox.must(&SINCE);
    let base = sealock_trust::Digest::sha256(BASE);
    std::fs::remove_file(sandbox.join("state/store/blobs/sha256").join(base.hex())).expect("the base");
    let before = import::store(sandbox);
    insta::assert_snapshot!("base_of_a_patch_wanted", sandbox.see(&["import", DELTA, "--want-list", "want.json"]));
    assert_eq!(before, import::store(sandbox));
    sandbox.must(&[&SINCE[..], &["--want", "want.json", "--to", "again.tar"]].concat());
    sandbox.must(&["import", "again.tar"]);
}
