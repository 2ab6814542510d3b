//! `sealock store scrub`

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use sealock_bundle::archive::Archive;
use sealock_bundle::heal::{self, Healed};
use sealock_server::upkeep::Pace;
use sealock_store::StoreLock;
use sealock_store::scrub::{Scrub, Scrubbed};
use sealock_trust::Digest;
use serde::Serialize;

use super::gc::amount;
use crate::amounts::{Bytes, Span};
use crate::commands::import::tell_server;
use crate::commands::source::Source;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;
use crate::time;
use crate::ui::{Table, count};

/// Hash what is in the store, and take out what has rotted
///
/// The blob comes first that was hashed longest ago. It is read past the page cache, so that the disk's word counts. What is
/// not what its name says is moved into quarantine, and the registry answers 404 for it. With --heal, what was taken out, or
/// is missing, is read again from a bundle that is still at hand, however old: only bytes with the right digest are taken.
#[derive(Debug, clap::Args)]
pub struct ScrubArgs {
    /// Bytes that are read in a second at most, like 512K, 8M or 1G [default: no limit]
    #[arg(long, value_name = "BYTES")]
    rate: Option<Bytes>,
    /// Only what was not hashed for so long, like 12h or 30d
    #[arg(long, value_name = "SPAN")]
    older_than: Option<Span>,
    /// Bring back what was found earlier from this bundle, or its volumes, instead of looking for more
    #[arg(long, value_name = "BUNDLE", num_args = 1.., conflicts_with_all = ["rate", "older_than"])]
    heal: Vec<PathBuf>,
}

/// What healing came to.
#[derive(Serialize)]
struct Brought {
    /// What is back.
    healed: Vec<Digest>,
    /// What is still missing, or in quarantine.
    left: Vec<Digest>,
    /// What is wrong with the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
}

pub fn run(args: &ScrubArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    if !args.heal.is_empty() {
        return heal(&args.heal, &station, context);
    }
    if context.dry_run {
        let problem = "a scrub reads everything, and moves what has rotted: it has no --dry-run";
        return Err(CommandError::usage(problem).hint("`sealock store check --deep` hashes, and changes nothing."));
    }
    let scrubbed = scrub(args, &station, context)?;
    context.ui.result(&scrubbed, text(&scrubbed))?;
    match scrubbed.rotten.len() {
        0 => Ok(()),
        rotten => Err(CommandError::failed(format!("rotten: {}", count(rotten as u64, "blob")))
            .hint("`sealock store scrub --heal BUNDLE` brings them back from a bundle that is still at hand.")),
    }
}

fn scrub(args: &ScrubArgs, station: &Station, context: &Context) -> Result<Scrubbed> {
    let before = args.older_than.map(|Span(span)| SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX));
    let before = before.and_then(|span| time::now().checked_sub(span).ok());
    let progress = context.ui.progress();
    let mut total = 0;
    station.store.each_blob(&mut |_, size| total += size)?;
    progress.begin("hashing what is in the store", total);
    let started = Instant::now();
    let (mut pace, mut done) = (args.rate.map(|Bytes(rate)| Pace::new(rate)), 0);
    let mut wait = |bytes: u64| {
        done += bytes;
        progress.at(done);
        if let Some(pace) = &mut pace {
            rest(pace.due(bytes, started.elapsed()));
        }
        ControlFlow::Continue(())
    };
    let scrub = Scrub { store: &station.store, guard: None, clock: &time::now, before, pace: &mut wait };
    let scrubbed = scrub.run();
    progress.end();
    Ok(scrubbed?)
}

#[expect(clippy::disallowed_methods, reason = "nothing is waited for: reading slowly is what was asked for")]
fn rest(span: Duration) {
    std::thread::sleep(span);
}

fn text(scrubbed: &Scrubbed) -> String {
    let head = format!("whole: {}", amount(scrubbed.verified));
    if scrubbed.rotten.is_empty() {
        return head;
    }
    let mut table = Table::new(["rotten", "what is wrong", "where it is"]);
    for rotten in &scrubbed.rotten {
        let place = if rotten.quarantined { "in quarantine" } else { "still in the store: an import is at work" };
        table.row([rotten.digest.to_string(), rotten.problem.clone(), place.to_owned()]);
    }
    format!("{head}\n\n{table}")
}

fn heal(paths: &[PathBuf], station: &Station, context: &Context) -> Result<()> {
    let source = Source::find(paths, context)?;
    let archive = source.open()?;
    let looked_for = wanted(station)?;
    if looked_for.is_empty() {
        let nothing = Brought { healed: Vec::new(), left: Vec::new(), damage: None };
        return context.ui.result(&nothing, "nothing to do: nothing is missing, and nothing is in quarantine");
    }
    if context.dry_run {
        let has = in_bundle(&archive, station)?.len();
        context.ui.note(format_args!("{} would be read from {}", count(has as u64, "blob"), source.name()));
        return Ok(());
    }
    let lock = station.store.lock()?;
    let Healed { blobs, damage } = heal_all(&archive, &source.name(), &lock, station, context)?;
    drop(lock);
    if !blobs.is_empty() {
        // A manifest that is back can be served again.
        tell_server(context);
    }
    let left: Vec<Digest> = wanted(station)?.into_iter().collect();
    let damage = damage.map(|damage| CommandError::from(damage).chain().join(": "));
    let text = format!("back: {}; still missing: {}", count(blobs.len() as u64, "blob"), left.len());
    if let Some(damage) = &damage {
        context.ui.warn(format_args!("{} is damaged itself: {damage}", source.name()));
    }
    let is_whole = left.is_empty();
    context.ui.result(&Brought { healed: blobs, left, damage }, text)?;
    if is_whole {
        return Ok(());
    }
    Err(CommandError::failed(format!("{} does not have all that is missing", source.name()))
        .hint("Try another bundle: `sealock store check` names what is missing, and which release needs it."))
}

/// What live releases need and the store lacks, as far as it can know that, and what is in quarantine.
fn wanted(station: &Station) -> Result<BTreeSet<Digest>> {
    let mut wanted = station.store.wanted(station.site.site_keys())?;
    wanted.extend(station.store.quarantined()?);
    Ok(wanted)
}

/// Of that, what the bundle has; and all that it has and the store lacks, where the release that is served is made of it: what an image
/// consists of is not known as long as its manifest is missing.
fn in_bundle(archive: &Archive, station: &Station) -> Result<BTreeSet<Digest>> {
    let (wanted, manifest) = (wanted(station)?, archive.manifest_digest());
    let release = station.store.current_release(station.site.site_keys())?;
    let is_served = release.is_some_and(|published| published.release.selects(&manifest));
    let mut found = BTreeSet::new();
    let listed = archive.unverified_manifest()?.blobs.into_iter().map(|blob| blob.digest);
    for digest in listed.chain([manifest]) {
        if wanted.contains(&digest) || is_served && !station.store.has_blob(&digest)? {
            found.insert(digest);
        }
    }
    Ok(found)
}

/// Reads the bundle until nothing more of what is missing comes from it: a manifest that is back may tell of more.
fn heal_all(archive: &Archive, name: &str, lock: &StoreLock, station: &Station, context: &Context) -> Result<Healed> {
    let mut all = Healed { blobs: Vec::new(), damage: None };
    loop {
        let looked_for = in_bundle(archive, station)?;
        if looked_for.is_empty() {
            break;
        }
        let progress = context.ui.progress();
        progress.begin(&format!("reading {name}"), archive.length());
        let healed = heal::heal(archive, lock, &looked_for, time::now(), &mut |done| progress.at(done));
        progress.end();
        let Healed { blobs, damage } = healed?;
        let is_all = blobs.is_empty() || damage.is_some();
        all.blobs.extend(blobs);
        all.damage = damage;
        if is_all {
            break;
        }
    }
    all.blobs.sort();
    Ok(all)
}
