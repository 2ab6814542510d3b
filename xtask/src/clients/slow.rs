//! Rows that move gigabytes: only with `--slow`.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::layout::Layout;
use super::scene::Scene;
use super::{Row, gotools, skopeo};

pub(super) const ROWS: &[Row] = &[
    Row { tool: "skopeo", what: "pushes a layer of 5 GB and pulls it back", slow: true, run: by_skopeo },
    Row { tool: "crane", what: "pushes a layer of 5 GB and pulls it back", slow: true, run: by_crane },
];

/// Bytes of the file in the layer.
const SIZE: u64 = 5_000_000_000;

fn by_skopeo(scene: &Scene) -> Result<()> {
    let big = Layout::sparse(&scene.fresh("big")?, SIZE)?;
    let there = format!("docker://{}", scene.at("slow/skopeo:1"));
    skopeo::copy(scene, "oci:big:big", &there, &[])?;
    let out = scene.fresh("big-out")?;
    skopeo::copy(scene, &there, "oci:big-out:big", &[])?;
    let hex = big.one.strip_prefix("sha256:").context("no SHA-256")?;
    let same = fs::read(out.join("blobs/sha256").join(hex))?;
    ensure!(super::layout::sha256(same) == big.one, "another manifest");
    scene.fresh("big-out").map(drop)
}

fn by_crane(scene: &Scene) -> Result<()> {
    let big = Layout::sparse(&scene.fresh("big")?, SIZE)?;
    gotools::crane_login(scene)?;
    scene.tool("crane", &["push", "big", &scene.at("slow/crane:1"), "--index"])?;
    scene.fresh("big")?;
    let image = scene.at(&format!("slow/crane@{}", big.one));
    scene.fresh("big-out")?;
    // crane's `validate` takes no layer that is not compressed; its `pull` checks each digest, too.
    scene.tool("crane", &["pull", "--format", "oci", &image, "big-out"])?;
    scene.fresh("big-out").map(drop)
}
