//! What the SBOMs in a bundle say of licences.

use std::collections::BTreeMap;

use sealock_bundle::archive::ArchiveError;
use sealock_bundle::diff::{Readable, Side, Trust};
use sealock_bundle::licences::{self, Licences, Packages};
use sealock_bundle::manifest::Blob;
use sealock_bundle::plain::Plain;
use sealock_bundle::{Archive, Manifest};
use sealock_trust::Digest;

use crate::error::Result;
use crate::ui::Table;

/// Reads the SBOMs of `archive`.
pub fn read(archive: &Archive, manifest: &Manifest) -> Result<Licences> {
    let blobs: BTreeMap<&Digest, &Blob> = manifest.blobs.iter().map(|blob| (&blob.digest, blob)).collect();
    let read = |digest: &Digest, limit: u64| -> Result<Option<Vec<u8>>, ArchiveError> {
        blobs.get(digest).map_or(Ok(None), |blob| archive.small_blob(blob, limit))
    };
    let side = Side::of_bundle("the bundle", manifest, &archive.manifest_digest(), Trust::Read, &[]);
    Ok(licences::of(Readable { side, read: &read })?)
}

/// A table of licences, and what the SBOMs leave open.
pub fn text(licences: &Licences) -> String {
    let mut text = String::new();
    if !licences.licences.is_empty() || licences.unnamed.is_some() {
        let mut table = Table::new(["licence", "packages", "artifacts"]);
        for licence in &licences.licences {
            table.row([licence.licence.to_string(), licence.of.count.to_string(), artifacts(&licence.of)]);
        }
        if let Some(unnamed) = &licences.unnamed {
            table.row(["(none named)".to_owned(), unnamed.count.to_string(), artifacts(unnamed)]);
        }
        text.push_str(&table.to_string());
    }
    let without = licences.without_sbom.iter().map(|name| format!("no SBOM: {name}\n"));
    let notes = licences.notes.iter().map(|note| format!("note: {note}\n"));
    text.extend(without.chain(notes));
    text
}

/// The first artifacts by name, and how many more.
fn artifacts(packages: &Packages) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = packages.artifacts.iter().take(SHOWN).map(Plain::as_str).collect();
    match packages.artifacts.len().saturating_sub(SHOWN) {
        0 => shown.join(" "),
        more => format!("{} and {more} more", shown.join(" ")),
    }
}
