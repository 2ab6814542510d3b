//! `sealock release`

use crate::sandbox::Sandbox;
use crate::site;

#[test]
fn before_the_first_import_there_is_none() {
    let sandbox = Sandbox::new();
    site::spec(&sandbox, "plant-7");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    insta::assert_snapshot!(sandbox.see(&["release", "list"]));
    insta::assert_snapshot!("show", sandbox.see(&["release", "show"]));
    assert_eq!(sandbox.must(&["release", "list", "-o", "json"]).trim(), "[]");
}
