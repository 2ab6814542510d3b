//! What the inside build must not link: nothing that could fetch from outside (DESIGN §1.3, §4).

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::repo;

/// Upstream clients and the resolver that would find them.
const UPSTREAM_CLIENTS: &[&str] = &[
    "sealock-fetch",
    "reqwest",
    "oci-client",
    "hickory-resolver",
    "hickory-proto",
    "tough",
    "hyper-proxy",
    "isahc",
    "curl",
];

/// What loads libraries while it runs, which a static binary cannot: that is what `sealock-hsm` is for.
const LOADERS: &[&str] = &["libloading", "cryptoki", "cryptoki-sys", "dlopen2"];

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let inside = linked(root, &["-p", "sealock-cli", "--no-default-features"])?;
    let outside = linked(root, &["-p", "sealock-cli"])?;
    let mut findings: Vec<Finding> = UPSTREAM_CLIENTS
        .iter()
        .filter(|client| inside.contains(**client))
        .map(|client| Finding::new("sealock-cli without `outside`", format!("links {client}")))
        .collect();
    findings.extend(
        LOADERS
            .iter()
            .filter(|loader| outside.contains(**loader))
            .map(|loader| Finding::new("sealock-cli", format!("links {loader}: only sealock-hsm loads libraries"))),
    );
    // A list that never matches proves nothing: the outside build must show that the names are right.
    if !outside.contains("sealock-fetch") {
        findings.push(Finding::new(
            "sealock-cli",
            "the default build links no sealock-fetch: is the feature `outside` gone?",
        ));
    }
    Ok(findings)
}

/// Names of all packages that end up in the binary, build scripts and tests aside.
pub(super) fn linked(root: &Path, selection: &[&str]) -> Result<BTreeSet<String>> {
    let mut args = vec!["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    args.extend_from_slice(selection);
    let mut names = BTreeSet::new();
    for line in repo::stdout(root, "cargo", &args)?.lines() {
        names.extend(line.split_whitespace().next().map(str::to_owned));
    }
    Ok(names)
}
