//! `sealock verify`

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_bundle::import::{Gate, Judged, Terms};
use sealock_bundle::manifest::{Base, Patching};
use sealock_bundle::verify::{self, Against, Recipient, VerifiedHeader};
use sealock_bundle::volumes::{Damage, Verdict, VolumeSet, VolumeState};
use sealock_bundle::{Archive, Manifest};
use sealock_trust::reason::Code;
use sealock_trust::tuf::{Rules, StreamState};
use sealock_trust::{Digest, KeyId, NamePrefix, RoleName, SiteId, StreamName};
use serde::Serialize;

use super::import;
use super::inspect::CarriedList;
use super::source::{self, Source};
use super::trust::enroll::parse_fingerprint;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;
use crate::ui::{Table, bytes, facts, patches_in_words};
use crate::{files, time};

/// Check every byte of a bundle
///
/// Against the publisher's root given here; or at a station as an import would, against the enrolled root and what was
/// accepted. With `--at` the question is what held at that time, whatever came since: for auditors. Writes nothing and
/// remembers nothing. Volumes are recognised by their content, whatever they are called and wherever they lie; those that
/// are missing or damaged are named, and whether `sealock repair` can rebuild them.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The bundle; or its volumes, or folders with them
    #[arg(required = true, value_name = "BUNDLE")]
    bundle: Vec<PathBuf>,
    /// The publisher's root [default: the one enrolled for the bundle's stream]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// SHA-256 that the root must have, as it came out of band
    #[arg(long, value_name = "SHA256", requires = "root")]
    fingerprint: Option<String>,
    /// The site it must be for [default: this station's site, if it is one]
    #[arg(long, value_name = "ID")]
    site: Option<SiteId>,
    /// The classification of that site
    #[arg(long, value_name = "TEXT", requires = "site")]
    classification: Option<String>,
    /// Judge expiry as of this time, like 2026-11-23T12:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

/// What a verification came to.
#[derive(Serialize)]
pub struct Verification {
    verified: bool,
    /// The digest of the manifest, which names the bundle.
    digest: Digest,
    stream: String,
    sequence: u64,
    signers: Vec<KeyId>,
    /// The vendors whom names are delegated to, with their signatures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vendors: Vec<VendorSigned>,
    /// Its soft expiry has passed.
    stale: bool,
    /// Bytes of the payload that were checked.
    payload: u64,
    /// In a delta: what has to be at the site. Whether it is, the import finds out.
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<Base>,
    /// In a delta: what comes as patches.
    #[serde(skip_serializing_if = "Option::is_none")]
    patches: Option<Patches>,
    /// The publisher's revocation list that it carries, signed as it must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    revocations: Option<CarriedList>,
}

/// What comes as patches: they are whole, but what they make shows only where their bases are.
#[derive(Serialize)]
struct Patches {
    #[serde(flatten)]
    all: Patching,
    /// Layers that were made of the bases in this station's store, and have their digests.
    proven: u64,
}

impl Patches {
    fn text(&self) -> String {
        let Patching { layers, .. } = self.all;
        match layers - self.proven {
            0 => format!("patches: {}; each was worked out here, and makes its layer\n", patches_in_words(&self.all)),
            open => format!(
                "patches: {}; not proven here: the digests of {open} of these layers, since only a station that holds \
                 their bases can make them; `import` does\n",
                patches_in_words(&self.all)
            ),
        }
    }
}

/// A vendor who vouches for artifacts of the bundle.
#[derive(Serialize)]
struct VendorSigned {
    vendor: RoleName,
    signers: Vec<KeyId>,
    /// The version of its file.
    version: u64,
    expires: Timestamp,
    /// How many artifacts of the bundle it vouches for.
    artifacts: usize,
}

impl VendorSigned {
    fn all(header: &VerifiedHeader) -> Vec<Self> {
        let references = &header.manifest().references;
        let count = |vendor: &RoleName| {
            references.iter().filter(|reference| header.vendor_of(reference.name.as_str()) == Some(vendor)).count()
        };
        let vendors = header.trust().vendors().into_iter().map(|vendor| Self {
            vendor: vendor.name.clone(),
            signers: vendor.signers.clone(),
            version: vendor.version,
            expires: vendor.expires(),
            artifacts: count(&vendor.name),
        });
        vendors.collect()
    }

    fn text(&self) -> String {
        let signers: Vec<&str> = self.signers.iter().map(KeyId::as_str).collect();
        let things = if self.artifacts == 1 { "artifact" } else { "artifacts" };
        format!("{} for {} {things}, until {}, by {}", self.vendor, self.artifacts, self.expires, signers.join(" "))
    }
}

impl Verification {
    pub fn text(&self) -> String {
        let signers: Vec<String> = self.signers.iter().map(ToString::to_string).collect();
        let mut lines = vec![
            ("verified", self.digest.to_string()),
            ("stream", format!("{}, sequence {}", self.stream, self.sequence)),
            ("signed by", signers.join(" ")),
        ];
        lines.extend(self.vendors.iter().map(|vendor| ("vendor", vendor.text())));
        lines.push(("checked", format!("every byte of {}", bytes(self.payload))));
        lines.extend(self.revocations.as_ref().map(|list| ("revocations", list.text())));
        let text = facts(lines);
        let Some(Base { site, blobs, bytes: expected, .. }) = &self.base else { return text };
        let patches = self.patches.as_ref().map(Patches::text).unwrap_or_default();
        let base =
            format!("a delta: {blobs} blobs ({}) have to be at the site {site}; `import` looks\n", bytes(*expected));
        format!("{text}{base}{patches}")
    }
}

/// What a bundle is held against.
struct Standard {
    root: Vec<u8>,
    /// What the names of its artifacts have to begin with; empty where they are free.
    names: Vec<NamePrefix>,
    state: Option<StreamState>,
    recipient: Option<(SiteId, Option<String>)>,
}

pub fn run(args: &VerifyArgs, context: &Context) -> Result<()> {
    let source = Source::find(&args.bundle, context)?;
    let verified = verify(args, &source, context);
    let Some(set) = source.volumes() else {
        let verification = verified?;
        return context.ui.result(&verification, verification.text());
    };
    match verified {
        Ok(verification) => {
            // The data is genuine; what is left to look at is what could have rebuilt it.
            let parity = source::scan(set, set.index().geometry().data_volumes(), context);
            if *parity.verdict() != Verdict::Whole {
                let lost = source::blocks(parity.lost_blocks());
                context.ui.warn(format_args!("{lost} of parity damaged or missing; the bundle itself is whole"));
            }
            context.ui.result(&verification, verification.text())
        }
        Err(error) if error.code().is_some_and(source::may_be_damage) => {
            let damage = source::scan(set, 0, context);
            show_damage(set, &damage, context)?;
            Err(source::explain(error, &damage))
        }
        Err(error) => Err(error),
    }
}

fn verify(args: &VerifyArgs, source: &Source, context: &Context) -> Result<Verification> {
    let archive = source.open()?;
    let station = Station::find(context)?;
    if let (Some(station), None, None, None) = (&station, &args.root, &args.site, args.at) {
        let terms = Terms::at(time::now());
        return as_judged(judge(archive, station, &terms)?, &source.name(), &terms, station, context);
    }
    let standard = standard(args, &archive, station.as_ref(), context)?;
    let now = args.at.unwrap_or_else(time::now);
    let against = Against {
        root: &standard.root,
        now,
        state: standard.state.as_ref(),
        accept_gap: None,
        recipient: standard.recipient.as_ref().map(recipient),
        rules: Rules { names: (!standard.names.is_empty()).then_some(standard.names.as_slice()), ..Rules::default() },
    };
    check(archive, &source.name(), &against, station.as_ref(), context)
}

/// What volumes came to that are not whole.
#[derive(Serialize)]
struct Lost {
    verified: bool,
    /// The digest of the manifest, as the index has it.
    set: Digest,
    /// `whole`, `repairable` or `beyond-repair`.
    verdict: &'static str,
    volumes: Vec<LostVolume>,
}

#[derive(Serialize)]
struct LostVolume {
    name: String,
    path: Option<PathBuf>,
    parity: bool,
    /// Blocks of 1 MiB that it should have.
    blocks: u64,
    /// Those that are damaged or missing, first and last.
    lost: Vec<(u64, u64)>,
    /// Bytes that it has too many.
    excess: u64,
}

/// Shows the state of each volume.
pub fn show_damage(set: &VolumeSet, damage: &Damage, context: &Context) -> Result<()> {
    let verdict = match damage.verdict() {
        Verdict::Whole => "whole",
        Verdict::Repairable => "repairable",
        Verdict::BeyondRepair(_) => "beyond-repair",
    };
    let volume = |state: &VolumeState| LostVolume {
        name: state.name.clone(),
        path: state.path.clone(),
        parity: state.is_parity,
        blocks: state.blocks,
        lost: state.lost.iter().map(|extent| (extent.first, extent.last)).collect(),
        excess: state.excess,
    };
    let volumes = damage.volumes().iter().map(volume).collect();
    let lost = Lost { verified: false, set: set.index().set().clone(), verdict, volumes };
    let mut table = Table::new(["volume", "file", "state"]);
    for state in damage.volumes() {
        let path = state.path.as_ref().map_or_else(|| "-".to_owned(), |path| path.display().to_string());
        table.row([state.name.clone(), path, state_in_words(state)]);
    }
    let repair = match damage.verdict() {
        Verdict::Whole => "not needed",
        Verdict::Repairable => "suffices",
        Verdict::BeyondRepair(_) => "does not suffice",
    };
    context.ui.result(&lost, format!("{table}\nrepair {repair}"))
}

fn state_in_words(state: &VolumeState) -> String {
    if state.path.is_none() {
        return "missing".to_owned();
    }
    match state.lost.as_slice() {
        [] if state.excess > 0 => format!("{} bytes too long", state.excess),
        [] => "whole".to_owned(),
        extents => {
            let extents: Vec<String> = extents.iter().map(ToString::to_string).collect();
            format!("{} of {} blocks damaged: {}", state.lost_blocks(), state.blocks, extents.join(", "))
        }
    }
}

/// Judges the header as an import does, and writes nothing.
pub fn judge(archive: Archive, station: &Station, terms: &Terms) -> Result<Judged> {
    let stream = stream_of(&archive)?;
    let root = station.directory.root_for(&stream)?;
    let gate = Gate { store: &station.store, trust: &station.directory, site: &station.site };
    Ok(gate.judge(archive, &stream, &root, terms)?)
}

/// Verifies the payload of a bundle whose header was judged.
pub fn as_judged(
    judged: Judged,
    name: &str,
    terms: &Terms,
    station: &Station,
    context: &Context,
) -> Result<Verification> {
    import::warn(&judged.notices, context);
    check_payload(judged.header, name, terms.now, Some(station), context)
}

/// Verifies header and payload, and says how far it is.
fn check(
    archive: Archive,
    name: &str,
    against: &Against<'_>,
    station: Option<&Station>,
    context: &Context,
) -> Result<Verification> {
    let header = verify::header(archive, against)?;
    warn_if_stale(&header, against.now, context);
    check_payload(header, name, against.now, station, context)
}

fn check_payload(
    header: VerifiedHeader,
    name: &str,
    now: Timestamp,
    station: Option<&Station>,
    context: &Context,
) -> Result<Verification> {
    let progress = context.ui.progress();
    let payload = header.payload_size();
    progress.begin(&format!("checking {name}"), payload);
    let verified = header.check_payload(&mut |done| progress.at(done));
    progress.end();
    let verified = verified?;
    let header = verified.header();
    let all = header.manifest().patching();
    let unproven = match station {
        Some(station) if all.layers > 0 => {
            let progress = context.ui.progress();
            progress.begin("making layers of their patches", all.instead_of);
            let unproven = verified.prove_patches(&station.store);
            progress.end();
            unproven?
        }
        _ => all,
    };
    let proven = all.layers - unproven.layers;
    Ok(Verification {
        patches: (all.layers > 0).then_some(Patches { all, proven }),
        verified: true,
        digest: header.digest().clone(),
        stream: header.manifest().stream.to_string(),
        sequence: header.manifest().sequence,
        signers: header.signers().to_vec(),
        vendors: VendorSigned::all(header),
        stale: header.is_stale(now),
        payload,
        base: header.manifest().base.clone(),
        revocations: header.revocations().map(|list| CarriedList::of(list.list())),
    })
}

fn warn_if_stale(header: &VerifiedHeader, now: Timestamp, context: &Context) {
    if header.is_stale(now) {
        let Manifest { soft_expiry, expires, .. } = header.manifest();
        context
            .ui
            .warn(format_args!("the bundle is old: newer ones were due by {soft_expiry}, and it expires at {expires}"));
    }
}

fn recipient((site, classification): &(SiteId, Option<String>)) -> Recipient<'_> {
    Recipient { site, classification: classification.as_deref() }
}

fn standard(args: &VerifyArgs, archive: &Archive, station: Option<&Station>, context: &Context) -> Result<Standard> {
    let of_station = || {
        let site = &station?.site;
        Some((site.id().clone(), site.classification().map(str::to_owned)))
    };
    let recipient = args.site.clone().map(|site| (site, args.classification.clone())).or_else(of_station);
    if let Some(path) = &args.root {
        let root = read_root(path, args.fingerprint.as_deref(), context)?;
        return Ok(Standard { root, names: Vec::new(), state: None, recipient });
    }
    let Some(station) = station else {
        return Err(CommandError::usage("this is no station, so it has no enrolled root to verify against")
            .hint("Give the publisher's root: --root FILE --fingerprint SHA256."));
    };
    let stream: StreamName = stream_of(archive)?;
    let root = station.directory.root_for(&stream)?;
    // What was accepted since says nothing about that time.
    let state = if args.at.is_none() { station.directory.stream_state(&stream)? } else { None };
    Ok(Standard { root: root.bytes, names: root.enrolment.names, state, recipient })
}

/// The stream a bundle claims: enough to choose the root that it is verified under.
pub fn stream_of(archive: &Archive) -> Result<StreamName> {
    verify::metadata(archive)?;
    Ok(archive.unverified_manifest()?.stream)
}

/// The root in the file `path`, held against the fingerprint where one was given.
pub fn read_root(path: &Path, fingerprint: Option<&str>, context: &Context) -> Result<Vec<u8>> {
    let root = files::read(path, 1 << 20)?;
    let found = Digest::sha256(&root);
    match fingerprint.map(parse_fingerprint).transpose()? {
        Some(wanted) if wanted != found => {
            let problem = format!("{} has the fingerprint {found}, and {wanted} was given", path.display());
            Err(CommandError::refused(Code::Fingerprint, problem))
        }
        Some(_) => Ok(root),
        None => {
            context.ui.warn(format_args!("believing {} without a fingerprint: its SHA-256 is {found}", path.display()));
            Ok(root)
        }
    }
}
