//! The reference in the repository is what this program would write.

#![cfg(feature = "outside")]

use std::path::Path;

use crate::sandbox::Sandbox;

#[test]
fn the_reference_did_not_drift() {
    let sandbox = Sandbox::new();
    sandbox.must(&["docs", "--out", "reference"]);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let pages = ["cli.md", "reason-codes.md", "settings.md", "man/sealock.1", "man/sealock-cluster-plan.1"];
    for page in pages.into_iter().chain(["schemas/bundle.json", "schemas/cluster.json"]) {
        let committed = std::fs::read_to_string(repository.join(page)).unwrap_or_default();
        let made = sandbox.read(&format!("reference/{page}"));
        assert!(committed == made, "docs/reference/{page} drifted: run `cargo xtask codegen`");
    }
}
