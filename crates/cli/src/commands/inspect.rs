//! `sealock inspect`

use std::path::PathBuf;

use sealock_bundle::Manifest;
use sealock_bundle::lock::ReferenceKind;
use sealock_bundle::parameters::ParameterValue;
use sealock_bundle::plain::Plain;
use sealock_trust::tuf::MetadataSet;
use sealock_trust::{Digest, KeyId};
use serde::Serialize;

use super::source;
use crate::context::Context;
use crate::error::Result;
use crate::ui::{Table, bytes, facts, short};

/// Show what a bundle says it holds, without believing it
///
/// Reads the header only, so it takes no longer for a large bundle. `sealock verify` checks every byte.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// The bundle
    bundle: PathBuf,
    /// List every artifact with its digest
    #[arg(short, long)]
    long: bool,
}

#[derive(Serialize)]
struct Inspection {
    /// Always false: `sealock verify` verifies.
    verified: bool,
    /// The digest of the manifest, which names the bundle.
    digest: Digest,
    /// Bytes of the file.
    size: u64,
    /// Keys by which it says that it is signed.
    claimed_signers: Vec<KeyId>,
    manifest: Manifest,
}

pub fn run(args: &InspectArgs, context: &Context) -> Result<()> {
    let archive = source::open(&args.bundle)?;
    let claimed_signers = match archive.metadata() {
        [] => Vec::new(),
        files => MetadataSet::from_files(files.iter().cloned())?.claimed_signers()?,
    };
    let inspection = Inspection {
        verified: false,
        digest: archive.manifest_digest(),
        size: archive.length(),
        claimed_signers,
        manifest: archive.unverified_manifest()?,
    };
    context.ui.note("nothing of this is verified: `sealock verify` does that");
    context.ui.result(&inspection, text(&inspection, args.long))
}

fn text(inspection: &Inspection, long: bool) -> String {
    let manifest = &inspection.manifest;
    let sites: Vec<String> = manifest.audience.sites.iter().map(ToString::to_string).collect();
    let platforms: Vec<String> = manifest.platforms.iter().map(ToString::to_string).collect();
    let signers = match inspection.claimed_signers.as_slice() {
        [] => "nobody yet".to_owned(),
        ids => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    let mut lines = vec![
        ("bundle", manifest.name.to_string()),
        ("stream", format!("{}, sequence {}", manifest.stream, manifest.sequence)),
        ("manifest", inspection.digest.to_string()),
        ("for the sites", sites.join(" ")),
        ("platforms", platforms.join(" ")),
        ("issued", manifest.issued.to_string()),
        ("ages from", manifest.soft_expiry.to_string()),
        ("expires", manifest.expires.to_string()),
        ("signed by", signers),
        ("size", size(inspection)),
        ("artifacts", contents(manifest)),
    ];
    let own: Vec<&str> = manifest
        .references
        .iter()
        .filter(|reference| reference.kind == ReferenceKind::Sealock)
        .map(|reference| reference.name.as_str())
        .collect();
    if !own.is_empty() {
        lines.push(("brings Sealock", own.join(" ")));
    }
    if !manifest.parameters.is_empty() {
        lines.push(("parameters", parameters(manifest)));
    }
    let mut text = facts(lines);
    if long {
        text.push('\n');
        text.push_str(&artifacts(manifest).to_string());
    }
    text
}

/// What the parameters of the spec were.
fn parameters(manifest: &Manifest) -> String {
    let each = |(name, value): (&String, &ParameterValue)| format!("{}={}", Plain::of(name), Plain::of(value));
    manifest.parameters.iter().map(each).collect::<Vec<_>>().join(" ")
}

/// The size of the file; of a delta also what the whole bundle holds, and what has to be at the site.
fn size(inspection: &Inspection) -> String {
    let manifest = &inspection.manifest;
    let Some(base) = &manifest.base else {
        return format!("{} in {} blobs", bytes(inspection.size), manifest.blobs.len());
    };
    let carried = manifest.blobs.len() as u64 - base.blobs;
    let (file, whole, expected) = (bytes(inspection.size), bytes(manifest.limits.bytes), bytes(base.bytes));
    let parts = format!("{file} in {carried} blobs, a delta of {whole} in {} blobs", manifest.blobs.len());
    format!("{parts}; {} ({expected}) have to be at the site {}", base.blobs, base.site)
}

/// How many artifacts there are of each kind that there are any of.
fn contents(manifest: &Manifest) -> String {
    let count = |kind| manifest.references.iter().filter(|reference| reference.kind == kind).count();
    let kinds = [
        (ReferenceKind::Image, "image"),
        (ReferenceKind::Chart, "chart"),
        (ReferenceKind::Manifest, "manifest"),
        (ReferenceKind::File, "file"),
        (ReferenceKind::Referrer, "referrer"),
        (ReferenceKind::Attestation, "attestation"),
        (ReferenceKind::Sealock, "own binary"),
    ];
    let in_words = |(kind, name): (ReferenceKind, &str)| match count(kind) {
        0 => None,
        1 => Some(format!("1 {name}")),
        several if name.ends_with('y') => Some(format!("{several} {}ies", name.trim_end_matches('y'))),
        several => Some(format!("{several} {name}s")),
    };
    kinds.into_iter().filter_map(in_words).collect::<Vec<_>>().join(", ")
}

/// Every artifact of a manifest.
fn artifacts(manifest: &Manifest) -> Table {
    let mut table = Table::new(["name", "kind", "digest", "origin"]);
    for reference in &manifest.references {
        let (kind, origin) = (format!("{:?}", reference.kind), format!("{:?}", reference.verdict.rule));
        let digest = short(&reference.digest.to_string());
        table.row([reference.name.to_string(), kind.to_lowercase(), digest, origin.to_lowercase()]);
    }
    table
}
