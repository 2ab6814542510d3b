//! Images that change on containerd's disk after they were fetched and verified.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::broken::flip;
use super::{JOINER, again, shell, with_a_cluster};
use crate::e2e::expect;
use crate::faults::journal::At::Intent;
use crate::faults::journal::Since;
use crate::story::Desk;

/// A bit flips in the largest blob, which is a layer, and the smallest one is cut: both are named, and fetched again.
pub(in crate::faults) fn images(desk: &Desk) -> Result<()> {
    with_a_cluster(desk)?;
    let mut blobs = blobs(desk)?;
    blobs.sort_by_key(|(length, _)| *length);
    let ((_, smallest), (_, largest)) = (&blobs[0], blobs.last().context("no blobs")?);
    flip(largest)?;
    OpenOptions::new().write(true).open(smallest)?.set_len(1)?;
    let told = expect(&mut desk.station(&["cluster", "diff"]), 1, &["is damaged in containerd", "cluster apply"])?;
    let is_told = |blob: &PathBuf| {
        let name = name(blob);
        told.contains(&format!("blobs/sha256/{name} is not sha256:{name} any more"))
    };
    // That of the first image that is damaged; both may be of one.
    ensure!(is_told(smallest) || is_told(largest), "neither file is named with its digest:\n{told}");
    let since = Since::now(desk, JOINER)?;
    again(desk)?;
    ensure!(since.has(Intent("images"))?, "the images were not fetched again, though they were damaged");
    ensure!(!since.has(Intent("component/containerd"))?, "what was whole was done again");
    for blob in [smallest, largest] {
        let found = shell(desk, JOINER, &format!("sha256sum /{}", inside(desk, blob)))?;
        ensure!(found.starts_with(&name(blob)), "{} is still not what its name says: {found}", blob.display());
    }
    expect(&mut desk.station(&["cluster", "diff"]), 0, &["is what its spec says"]).map(drop)
}

/// What containerd keeps on the joiner's disk, of images that the cluster needs.
fn blobs(desk: &Desk) -> Result<Vec<(u64, PathBuf)>> {
    let folder = desk.lab.root_of(JOINER).join("var/lib/containerd/io.containerd.content.v1.content/blobs/sha256");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let one = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok((entry.metadata()?.len(), entry.path()))
    };
    entries.map(one).collect()
}

fn name(blob: &std::path::Path) -> String {
    blob.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn inside(desk: &Desk, blob: &std::path::Path) -> String {
    blob.strip_prefix(desk.lab.root_of(JOINER)).unwrap_or(blob).display().to_string()
}
