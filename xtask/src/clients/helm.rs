//! Helm: charts as OCI artifacts.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::scene::Scene;
use super::{Row, row};

pub(super) const ROWS: &[Row] =
    &[row("helm", "logs in, pushes a chart whose version has a +, and pulls the same bytes", chart)];

fn chart(scene: &Scene) -> Result<()> {
    let ca = ["--ca-file", "certificates/ca.crt"];
    let login = ["registry", "login", &scene.endpoint.address, "-u", &scene.login.user, "-p", &scene.login.password];
    scene.tool("helm", &[&login[..], &ca].concat())?;
    let chart = scene.fresh("chart/plant")?;
    fs::create_dir_all(chart.join("templates"))?;
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: plant\nversion: 1.2.3+site.7\n")?;
    fs::write(chart.join("templates/map.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plant}\n")?;
    scene.tool("helm", &["package", "chart/plant", "--destination", "chart"])?;
    let repository = format!("oci://{}", scene.at("charts"));
    scene.tool("helm", &[&["push", "chart/plant-1.2.3+site.7.tgz", &repository][..], &ca].concat())?;
    scene.fresh("chart-out")?;
    let name = format!("{repository}/plant");
    let pull = ["pull", &name, "--version", "1.2.3+site.7", "--destination", "chart-out"];
    scene.tool("helm", &[&pull[..], &ca].concat())?;
    let read = |path: &str| fs::read(scene.path(path)).with_context(|| format!("{path} is not there"));
    ensure!(read("chart-out/plant-1.2.3+site.7.tgz")? == read("chart/plant-1.2.3+site.7.tgz")?, "other bytes");
    Ok(())
}
