//! crane and oras.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::layout::sha256;
use super::scene::Scene;
use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row("crane", "logs in, pushes a layout, and validates every layer", crane_push),
    row("crane", "copies by mounting, lists tags, deletes by digest", crane_copy),
    row("oras", "logs in, pushes two files and pulls the same bytes", oras_files),
    row("oras", "attaches a statement, discovers it and copies it along", oras_referrers),
];

/// crane has its login in a file only.
pub(super) fn crane_login(scene: &Scene) -> Result<()> {
    let args = ["auth", "login", "-u", &scene.login.user, "-p", &scene.login.password, &scene.endpoint.address];
    scene.tool("crane", &args).map(drop)
}

fn crane_push(scene: &Scene) -> Result<()> {
    crane_login(scene)?;
    let there = scene.at("crane/bundle:1");
    scene.tool("crane", &["push", "images", &there, "--index"])?;
    let image = scene.at(&format!("crane/bundle@{}", scene.layout.one));
    ensure!(sha256(scene.tool("crane", &["manifest", &image])?) == scene.layout.one, "another digest");
    scene.tool("crane", &["validate", "--remote", &image])?;
    scene
        .tool(
            "crane",
            &["pull", "--format", "oci", &scene.at(&format!("crane/bundle@{}", scene.layout.many)), "crane-many"],
        )
        .map(drop)
}

fn crane_copy(scene: &Scene) -> Result<()> {
    crane_login(scene)?;
    let (from, to) = (scene.at("crane/bundle"), scene.at("crane/copy"));
    scene.tool("crane", &["push", "images", &format!("{from}:1"), "--index"])?;
    scene.tool("crane", &["copy", &format!("{from}@{}", scene.layout.many), &format!("{to}:many")])?;
    let listed = scene.tool("crane", &["ls", &to])?;
    ensure!(listed.lines().any(|tag| tag == "many"), "{listed}");
    scene.tool("crane", &["delete", &format!("{to}@{}", scene.layout.many)])?;
    ensure!(scene.tool("crane", &["manifest", &format!("{to}:many")]).is_err(), "it is still there");
    Ok(())
}

fn oras_login(scene: &Scene) -> Result<()> {
    let args = ["login", "-u", &scene.login.user, "-p", &scene.login.password, &scene.endpoint.address];
    scene.tool("oras", &args).map(drop)
}

fn oras_files(scene: &Scene) -> Result<()> {
    oras_login(scene)?;
    fs::write(scene.path("a.txt"), "alpha")?;
    fs::write(scene.path("b.txt"), "beta")?;
    let there = scene.at("oras/files:1");
    scene.tool(
        "oras",
        &["push", "--artifact-type", "application/x-files", &there, "a.txt:text/plain", "b.txt:text/plain"],
    )?;
    scene.fresh("oras-out")?;
    scene.tool("oras", &["pull", "--output", "oras-out", &there])?;
    ensure!(fs::read_to_string(scene.path("oras-out/b.txt"))? == "beta", "another content");
    Ok(())
}

fn oras_referrers(scene: &Scene) -> Result<()> {
    oras_files(scene)?;
    let there = scene.at("oras/files:1");
    scene.tool("oras", &["attach", "--artifact-type", "application/x-statement", &there, "a.txt:text/plain"])?;
    referred(&scene.tool("oras", &["discover", "--format", "json", &there])?)?;
    let copy = scene.at("oras/copy:1");
    scene.tool("oras", &["copy", "--recursive", &there, &copy])?;
    referred(&scene.tool("oras", &["discover", "--format", "json", &copy])?)
}

fn referred(discovered: &str) -> Result<()> {
    let discovered: Value = serde_json::from_str(discovered)?;
    let referrers = discovered["referrers"].as_array().context("no list of referrers")?;
    let kinds: Vec<&Value> = referrers.iter().map(|referrer| &referrer["artifactType"]).collect();
    ensure!(kinds.iter().any(|kind| *kind == "application/x-statement"), "{discovered}");
    Ok(())
}
