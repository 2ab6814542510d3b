//! What is known at the station, outside of the trust folder, of the newest trust state: receipts that were given out, and
//! what was left with the nodes of clusters.

use std::path::{Path, PathBuf};
use std::{fs, io};

use sealock_cluster::Inventory;
use sealock_trust::Receipt;
use sealock_trust::directory::{DirectoryError, Mirror};

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;
use crate::station::Station;

/// What `cluster apply` leaves in the cluster's folder, as it does on each node.
const OF_CLUSTER: &str = "trust-mirror.json";

/// No receipt and no mirror is longer than this; in bytes.
const MAX_MIRROR: u64 = 4 << 20;

/// Holds the trust state against everything that is known at the station, which freezes imports where it is an older copy.
///
/// # Errors
/// `STATE_REGRESSION`; a folder that cannot be read.
pub fn check(station: &Station, context: &Context) -> Result<()> {
    for path in entries(&context.paths.receipts())? {
        let receipt = Receipt::verify(&files::read(&path, MAX_MIRROR)?, station.site.site_keys());
        let Some(receipt) = read(receipt, &path, context) else { continue };
        if let Some(generation) = receipt.generation {
            let place = format!("the receipt for {} {}", receipt.stream, receipt.sequence);
            compare(station, &Mirror::of(place, generation))?;
        }
    }
    for folder in entries(&context.paths.clusters())? {
        let path = folder.join(OF_CLUSTER);
        if !path.exists() {
            continue;
        }
        let cluster = folder.file_name().unwrap_or_default().to_string_lossy();
        let place = format!("what was left with the cluster {cluster}");
        let mirror = Mirror::signed(place, &files::read(&path, MAX_MIRROR)?, &station.site);
        if let Some(mirror) = read(mirror, &path, context) {
            compare(station, &mirror)?;
        }
    }
    Ok(())
}

/// Holds the trust state against what the nodes were left with. What a node makes up itself bears no signature of the site,
/// and is passed over.
///
/// # Errors
/// `STATE_REGRESSION`.
pub fn check_nodes(station: &Station, inventory: &Inventory, context: &Context) -> Result<()> {
    for (name, observation) in &inventory.hosts {
        let Some(kept) = &observation.facts.trust_mirror else { continue };
        match Mirror::signed(format!("the node {name}"), kept.as_bytes(), &station.site) {
            Ok(mirror) => compare(station, &mirror)?,
            Err(error) => {
                context.ui.warn(format_args!(
                    "what the node {name} keeps of the trust state is not the site's word: {error}"
                ));
            }
        }
    }
    Ok(())
}

/// Keeps the receipt that is given out.
///
/// # Errors
/// It cannot be written.
pub fn keep_receipt(receipt: &[u8], station: &Station, context: &Context) -> Result<()> {
    let known = Receipt::verify(receipt, station.site.site_keys())?;
    let folder = context.paths.receipts();
    let making = |error: io::Error| CommandError::from(error).context(format!("making {}", folder.display()));
    fs::create_dir_all(&folder).map_err(making)?;
    files::replace(&folder.join(format!("{}.json", known.stream.as_str().replace('/', "_"))), receipt)
}

/// Holds the trust state against `mirror`, which freezes imports where it is an older copy.
///
/// # Errors
/// `STATE_REGRESSION`, with what to do.
pub fn compare(station: &Station, mirror: &Mirror) -> Result<()> {
    let advise = |error: DirectoryError| {
        let is_regression = matches!(error, DirectoryError::Regression { .. });
        let error = CommandError::from(error);
        match is_regression {
            true => {
                error.hint("Find out who restored what, before two people settle it with `sealock site resolve-state`.")
            }
            false => error,
        }
    };
    station.directory.compare(mirror).map_err(advise)
}

/// What is damaged tells nothing, and keeps nobody from working.
fn read<T, E: std::fmt::Display>(found: Result<T, E>, path: &Path, context: &Context) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(error) => {
            context.ui.warn(format_args!("{} is not the site's word, and is passed over: {error}", path.display()));
            None
        }
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let reading = |error: io::Error| CommandError::from(error).context(format!("reading {}", folder.display()));
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(reading)?,
    };
    let mut paths = entries.map(|entry| Ok(entry.map_err(reading)?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
