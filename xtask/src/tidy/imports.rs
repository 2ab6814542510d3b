//! Who may import whom (DESIGN §4), read from `cargo metadata`.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Finding;
use crate::repo;

const PREFIX: &str = "sealock-";

/// Crate → what of ours it may import. A crate that is not here may not exist.
const TABLE: &[(&str, &[&str])] = &[
    ("trust", &[]),
    ("store", &["trust"]),
    ("bundle", &["store", "trust"]),
    ("fetch", &["bundle", "store", "trust"]),
    ("node", &["policy", "store", "trust"]),
    ("cluster", &["node", "bundle", "ledger", "policy", "store", "trust"]),
    ("server", &["cluster", "bundle", "ledger", "policy", "store", "trust"]),
    ("cli", &["bundle", "cluster", "fetch", "node", "server", "store", "trust"]),
    ("testkit", &["bundle", "store", "trust"]),
    ("hsm", &[]),
];

/// Crates that stay free of an asynchronous runtime, tests aside.
const SYNCHRONOUS: &[&str] = &["trust", "store", "bundle", "node"];

/// Runtimes and clients that a synchronous crate may not reach, at any depth.
const ASYNC_CRATES: &[&str] = &["tokio", "async-std", "smol", "hyper", "reqwest"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for manifest in ["Cargo.toml", "hsm/Cargo.toml"] {
        let args = ["metadata", "--no-deps", "--format-version", "1", "--manifest-path", manifest];
        let metadata: Metadata =
            serde_json::from_str(&repo::stdout(root, "cargo", &args)?).context("cargo metadata")?;
        findings.extend(edges(&metadata.packages));
    }
    for name in SYNCHRONOUS {
        findings.extend(runtimes_below(root, name)?);
    }
    Ok(findings)
}

fn edges(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let Some(name) = package.name.strip_prefix(PREFIX) else { continue };
        let Some((_, allowed)) = TABLE.iter().find(|(known, _)| *known == name) else {
            findings.push(Finding::new(&package.name, "a crate that the table of imports does not know"));
            continue;
        };
        for dependency in &package.dependencies {
            let Some(import) = dependency.name.strip_prefix(PREFIX) else { continue };
            let for_tests = dependency.kind.as_deref() == Some("dev");
            if !for_tests && !allowed.contains(&import) {
                let what = format!("may not import {} (DESIGN §4)", dependency.name);
                findings.push(Finding::new(&package.name, what));
            }
        }
    }
    findings
}

fn runtimes_below(root: &Path, name: &str) -> Result<Vec<Finding>> {
    let package = format!("{PREFIX}{name}");
    let tree = super::inside::linked(root, &["-p", &package])?;
    let runtimes = tree.iter().filter(|linked| ASYNC_CRATES.contains(&linked.as_str()));
    Ok(runtimes.map(|runtime| Finding::new(&package, format!("is synchronous but links {runtime}"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, import: &str, kind: Option<&str>) -> Package {
        let dependency = Dependency { name: import.into(), kind: kind.map(Into::into) };
        Package { name: name.into(), dependencies: vec![dependency] }
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_is_found() {
        assert_eq!(edges(&[package("sealock-store", "sealock-trust", None)]), []);
        assert_eq!(edges(&[package("sealock-store", "sealock-bundle", Some("dev"))]), []);
        assert_eq!(edges(&[package("sealock-store", "sealock-bundle", None)]).len(), 1);
        assert_eq!(edges(&[package("sealock-utils", "serde", None)]).len(), 1);
    }
}
