//! `sealock version`

use crate::sandbox::Sandbox;

#[test]
fn the_version_names_its_side_of_the_gap() {
    let text = Sandbox::new().must(&["version", "-o", "json"]);
    let version: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["build"], if cfg!(feature = "outside") { "outside" } else { "inside" });
}
