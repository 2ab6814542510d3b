//! A bundle that was damaged or forged on the way is refused, and the store is what it was.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::import;
use crate::e2e::expect::expect;
use crate::story::{self, Desk};

const DAMAGED: &str = "damaged.tar";

/// Without Sealock at hand, `tar` lists a bundle and `skopeo` reads its images.
pub fn read_by_others(desk: &Desk) -> Result<()> {
    let listing = story::text(Command::new("tar").args(["-tf", "plant-7.tar"]).current_dir(&desk.outside))?;
    for entry in ["oci-layout", "index.json", "tuf/metadata/timestamp.json", "tuf/targets/manifest.json"] {
        ensure!(listing.lines().any(|line| line == entry), "tar lists no {entry}:\n{listing}");
    }
    let image = "oci-archive:plant-7.tar:registry.k8s.io/kube-apiserver:v1.36.3";
    let inspected = story::text(Command::new("skopeo").args(["inspect", image]).current_dir(&desk.outside))?;
    let inspected: Value = serde_json::from_str(&inspected)?;
    ensure!(
        inspected["Layers"].as_array().is_some_and(|layers| !layers.is_empty()),
        "skopeo sees no layers: {inspected}"
    );
    Ok(())
}

/// Cut short by a million bytes.
pub fn truncated(desk: &Desk) -> Result<()> {
    refused(desk, "INCOMPLETE", |file, size| file.set_len(size - 1_000_000))
}

/// One byte in the signed header.
pub fn flipped_in_the_header(desk: &Desk) -> Result<()> {
    let at = offset_of(desk, "tuf/metadata/timestamp.json")? + 40;
    refused(desk, "", move |file, _| flip(file, at))
}

/// One byte in the manifest.
pub fn flipped_in_the_manifest(desk: &Desk) -> Result<()> {
    let at = offset_of(desk, "tuf/targets/manifest.json")? + 100;
    refused(desk, "", move |file, _| flip(file, at))
}

/// One byte in the middle of a blob.
pub fn flipped_in_a_blob(desk: &Desk) -> Result<()> {
    refused(desk, "DIGEST", |file, size| flip(file, size / 2))
}

/// A megabyte behind the end.
pub fn trailing_bytes(desk: &Desk) -> Result<()> {
    refused(desk, "TRAILING", |file, size| file.write_all_at(&[0x5a; 1 << 20], size))
}

fn flip(file: &fs::File, at: u64) -> std::io::Result<()> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 1], at)
}

/// Offset of an entry's data in the tar.
fn offset_of(desk: &Desk, entry: &str) -> Result<u64> {
    // `-R` prints each entry's block number.
    let listing = story::text(Command::new("tar").args(["-tRf", "plant-7.tar"]).current_dir(&desk.outside))?;
    let line =
        listing.lines().find(|line| line.ends_with(entry)).with_context(|| format!("no {entry} in the bundle"))?;
    let block = line.trim_start_matches("block ").split(':').next().context("tar -R prints no block")?;
    Ok((block.trim().parse::<u64>()? + 1) * 512)
}

/// Damages a copy of the bundle, imports it into a site that has nothing yet, and compares that site before and after.
fn refused(desk: &Desk, code: &str, damage: impl FnOnce(&fs::File, u64) -> std::io::Result<()>) -> Result<()> {
    let path = desk.lab.root_of("station").join("root/site").join(DAMAGED);
    fs::copy(desk.outside.join("plant-7.tar"), &path)?;
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    damage(&file, file.metadata()?.len())?;
    drop(file);
    let state = import::fresh_site(desk, "damage", "plant-7", None)?;
    let before = store(desk, &state)?;
    let reason = if code.is_empty() { "error[".to_owned() } else { format!("error[{code}]") };
    let command = ["--state-dir", &state, "import", DAMAGED];
    let outcome = expect(&mut desk.station(&command), 3, &[&reason, DAMAGED]);
    let after = store(desk, &state)?;
    fs::remove_file(&path)?;
    import::remove(desk, &state)?;
    outcome?;
    ensure!(after == before, "the refused bundle changed the site:\nbefore\n{before}\nafter\n{after}");
    Ok(())
}

/// Everything that a site keeps: paths and sizes.
pub fn store(desk: &Desk, state: &str) -> Result<String> {
    let list = format!("cd {state} && find store trust -type f ! -name lock -printf '%p %s\\n' | sort");
    story::text(&mut desk.lab.exec("station", &["sh", "-c", &list]))
}
