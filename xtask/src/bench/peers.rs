//! The peers' rows: skopeo to and from an OCI layout, crane into registries.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::corpus::Corpus;
use super::measure::{self, Cost};
use crate::registries::Registry;

/// `skopeo copy` of every image from a registry into one OCI layout: what a build does.
pub fn skopeo_to_layout(registry: &Registry, corpus: &Corpus, layout: &Path) -> Result<Cost> {
    each(corpus, |tag| {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false"]);
        command
            .arg(format!("docker://{}/corpus:{tag}", registry.endpoint.address))
            .arg(format!("oci:{}:{tag}", layout.display()));
        command
    })
}

/// `skopeo copy` of every image from an OCI layout into a registry: what an import does.
pub fn skopeo_to_registry(layout: &Path, corpus: &Corpus, registry: &Registry) -> Result<Cost> {
    let before = measure::accounts(registry.pid())?;
    let tool = each(corpus, |tag| {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false"]);
        command
            .arg(format!("oci:{}:{tag}", layout.display()))
            .arg(format!("docker://{}/corpus:{tag}", registry.endpoint.address));
        command
    })?;
    with_server(tool, before, measure::accounts(registry.pid())?)
}

/// `crane push` of a whole OCI layout into a registry.
pub fn crane_to_registry(crane: &Path, layout: &Path, registry: &Registry) -> Result<Cost> {
    let before = measure::accounts(registry.pid())?;
    let mut command = Command::new(crane);
    command
        .args(["push", "--insecure", "--index"])
        .arg(layout)
        .arg(format!("{}/corpus:all", registry.endpoint.address));
    let tool = measure::run(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    with_server(tool, before, measure::accounts(registry.pid())?)
}

fn each(corpus: &Corpus, command: impl Fn(&str) -> Command) -> Result<Cost> {
    let mut sum = Cost::default();
    for tag in &corpus.tags {
        let mut command = command(tag);
        sum = sum.then(measure::run(command.stdout(Stdio::null())).context("is skopeo installed?")?);
    }
    Ok(sum)
}

/// Tool and registry together: an import is not done before the registry has it.
fn with_server(tool: Cost, before: Cost, after: Cost) -> Result<Cost> {
    Ok(Cost {
        wall: tool.wall,
        cpu: tool.cpu + after.cpu - before.cpu,
        read: tool.read + after.read - before.read,
        written: tool.written + after.written - before.written,
        peak: tool.peak.max(after.peak),
    })
}
