//! Looking at bundles of 1, 5 and 20 GB: the cost must not follow the size.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::measure::{self, Cost};
use super::sealock::Sealock;

/// In bytes, and as the table calls them.
const SIZES: [(u64, &str); 3] =
    [(1_000_000_000, "sealock inspect, 1 GB"), (5_000_000_000, "… 5 GB"), (20_000_000_000, "… 20 GB")];

/// Any byte that decides what `inspect` says stands in the first part of a bundle; in bytes.
const HEADER: u64 = 16 << 20;

/// `sealock inspect` of the bundle with a sparse tail that makes it as long as each size says.
pub fn ours(ours: &Sealock) -> Result<Vec<(&'static str, Cost)>> {
    let sparse = ours.bundle().with_file_name("sparse.tar");
    let file = File::create(&sparse)?;
    let mut header = Vec::new();
    File::open(ours.bundle())?.take(HEADER).read_to_end(&mut header)?;
    file.write_all_at(&header, 0)?;
    let mut rows = Vec::new();
    for (size, name) in SIZES {
        file.set_len(size)?;
        rows.push((name, ours.run(&["inspect", "sparse.tar"])?));
    }
    std::fs::remove_file(sparse)?;
    Ok(rows)
}

/// What a peer does who has no table of contents in front: it reads the whole archive.
pub fn tar(bundle: &Path) -> Result<Cost> {
    let mut command = Command::new("tar");
    command.arg("-tf").arg(bundle).stdout(Stdio::null());
    measure::run(&mut command)
}

/// `skopeo inspect` of one image in the archive; it unpacks everything first.
pub fn skopeo(bundle: &Path) -> Result<Cost> {
    let name = first_name(bundle)?;
    let mut command = Command::new("skopeo");
    command.arg("inspect").arg(format!("oci-archive:{}:{name}", bundle.display())).stdout(Stdio::null());
    measure::run(&mut command).context("is skopeo installed?")
}

/// The first name in `index.json` that is of an image: what vouches for it is none.
fn first_name(bundle: &Path) -> Result<String> {
    let output = Command::new("tar").arg("-xOf").arg(bundle).args(["--occurrence", "index.json"]).output()?;
    let index: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(io::Error::from)?;
    let entries = index["manifests"].as_array().context("index.json lists nothing")?;
    let names = entries.iter().filter_map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].as_str());
    let name = names.into_iter().find(|name| !name.starts_with("attestations/"));
    Ok(name.context("index.json names no image")?.to_owned())
}
