//! `sealock inspect`

mod licences;

use std::path::PathBuf;

use jiff::Timestamp;
use sealock_bundle::Manifest;
use sealock_bundle::licences::Licences;
use sealock_bundle::lock::ReferenceKind;
use sealock_bundle::manifest::{Patching, Reference};
use sealock_bundle::parameters::ParameterValue;
use sealock_bundle::plain::Plain;
use sealock_trust::revocation::{Entry, RevocationList};
use sealock_trust::tuf::{DelegatedRole, MetadataSet};
use sealock_trust::{Digest, KeyId, RoleName};
use serde::Serialize;

use super::source;
use crate::context::Context;
use crate::error::Result;
use crate::ui::{Table, bytes, facts, patches_in_words, short};

/// Show what a bundle says it holds, without believing it
///
/// Reads the header only, so it takes no longer for a large bundle; `--licences` reads the SBOMs too. `sealock verify`
/// checks every byte.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// The bundle
    bundle: PathBuf,
    /// List every artifact with its digest, and what its revocation list names
    #[arg(short, long)]
    long: bool,
    /// Sum up the licences that the SBOMs in the bundle name
    #[arg(long)]
    licences: bool,
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
    /// What its SBOMs say of licences, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    licences: Option<Licences>,
    /// The vendors whom names are delegated to, as it says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vendors: Vec<Vendor>,
    /// In a delta: what patches save.
    #[serde(skip_serializing_if = "Option::is_none")]
    patches: Option<Patching>,
    /// The publisher's revocation list that it carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    revocations: Option<CarriedList>,
    manifest: Manifest,
}

/// A revocation list in a bundle.
#[derive(Serialize)]
pub struct CarriedList {
    version: u64,
    issued: Timestamp,
    /// From then on a newer one is due.
    expires: Timestamp,
    /// What it revokes.
    entries: Vec<Entry>,
}

impl CarriedList {
    pub fn of(list: &RevocationList) -> Self {
        let (issued, expires) = (list.issued(), list.expires());
        Self { version: list.version(), issued, expires, entries: list.entries().to_vec() }
    }

    /// `list 3, 12 revoked, a newer one due by …`.
    pub fn text(&self) -> String {
        format!("list {}, {} revoked, a newer one due by {}", self.version, self.entries.len(), self.expires)
    }

    /// Each entry on a line.
    pub fn table(&self) -> Table {
        let mut table = Table::new(["revoked", "since", "reason"]);
        for Entry { subject, reason, revoked } in &self.entries {
            table.row([subject.to_string(), revoked.to_string(), reason.to_string()]);
        }
        table
    }
}

/// A vendor who has to vouch for artifacts of the bundle, as the bundle says.
#[derive(Serialize)]
struct Vendor {
    name: RoleName,
    threshold: u32,
    /// Keys by which its file says that it is signed.
    claimed_signers: Vec<KeyId>,
    /// How many artifacts are its own.
    artifacts: usize,
}

pub fn run(args: &InspectArgs, context: &Context) -> Result<()> {
    let archive = source::open(&args.bundle)?;
    let set = match archive.metadata() {
        [] => None,
        files => Some(MetadataSet::from_files(files.iter().cloned())?),
    };
    let manifest = archive.unverified_manifest()?;
    let licences = args.licences.then(|| licences::read(&archive, &manifest)).transpose();
    let inspection = Inspection {
        verified: false,
        digest: archive.manifest_digest(),
        size: archive.length(),
        revocations: archive.revocations().map(RevocationList::read).transpose()?.as_ref().map(CarriedList::of),
        licences: licences.map_err(|error| error.context(format!("reading {}", args.bundle.display())))?,
        claimed_signers: set.as_ref().map(MetadataSet::claimed_signers).transpose()?.unwrap_or_default(),
        vendors: vendors(&manifest, set.as_ref())?,
        patches: Some(manifest.patching()).filter(|patching| patching.layers > 0),
        manifest,
    };
    context.ui.note("nothing of this is verified: `sealock verify` does that");
    context.ui.result(&inspection, text(&inspection, args.long))
}

fn vendors(manifest: &Manifest, set: Option<&MetadataSet>) -> Result<Vec<Vendor>> {
    let Some(delegations) = &manifest.delegations else { return Ok(Vec::new()) };
    let of = |reference: &Reference, role: &RoleName| {
        delegations.asked_for(reference.name.as_str()).is_some_and(|asked| asked.name == *role)
    };
    let vendor = |role: &DelegatedRole| -> Result<Vendor> {
        let signatures = set.filter(|set| set.delegated.contains_key(&role.name));
        let signatures = signatures.map(|set| set.vendor_signatures(&role.name)).transpose()?.unwrap_or_default();
        Ok(Vendor {
            name: role.name.clone(),
            threshold: role.threshold,
            claimed_signers: signatures.signers().cloned().collect(),
            artifacts: manifest.references.iter().filter(|reference| of(reference, &role.name)).count(),
        })
    };
    delegations.roles.iter().map(vendor).collect()
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
    ];
    lines.extend(inspection.vendors.iter().map(|vendor| ("vendor", vendor_text(vendor))));
    lines.push(("size", size(inspection)));
    lines.extend(inspection.patches.map(|patches| ("patches", patches_in_words(&patches))));
    lines.push(("artifacts", contents(manifest)));
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
    lines.extend(inspection.revocations.as_ref().map(|list| ("revocations", list.text())));
    let mut text = facts(lines);
    if long {
        let revoked = inspection.revocations.as_ref().filter(|list| !list.entries.is_empty()).map(CarriedList::table);
        for table in std::iter::once(artifacts(manifest)).chain(revoked) {
            text.push('\n');
            text.push_str(&table.to_string());
        }
    }
    if let Some(licences) = &inspection.licences {
        text.push('\n');
        text.push_str(&licences::text(licences));
    }
    text
}

fn vendor_text(vendor: &Vendor) -> String {
    let Vendor { name, threshold, claimed_signers, artifacts } = vendor;
    let ids: Vec<&str> = claimed_signers.iter().map(KeyId::as_str).collect();
    let by = if ids.is_empty() { "nobody yet".to_owned() } else { ids.join(" ") };
    let things = if *artifacts == 1 { "artifact" } else { "artifacts" };
    format!("{name} for {artifacts} {things}, signed by {by} ({threshold} needed)")
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
        (ReferenceKind::OsPackages, "OS package set"),
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
    let row = |reference: &Reference| {
        let (kind, origin) = (format!("{:?}", reference.kind), format!("{:?}", reference.verdict.rule));
        let digest = short(&reference.digest.to_string());
        [reference.name.to_string(), kind.to_lowercase(), digest, origin.to_lowercase()]
    };
    let Some(delegations) = &manifest.delegations else {
        let mut table = Table::new(["name", "kind", "digest", "origin"]);
        manifest.references.iter().for_each(|reference| table.row(row(reference)));
        return table;
    };
    let mut table = Table::new(["name", "kind", "digest", "origin", "vendor"]);
    for reference in &manifest.references {
        let [name, kind, digest, origin] = row(reference);
        let vendor = delegations.asked_for(reference.name.as_str()).map_or("-", |role| role.name.as_str());
        table.row([name, kind, digest, origin, vendor.to_owned()]);
    }
    table
}
