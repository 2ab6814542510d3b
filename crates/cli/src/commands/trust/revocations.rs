//! Revocation lists at the station: taking them in, and what they mean for what is served.

use std::path::Path;

use sealock_cluster::revoked::{Fact, Needed, Revoked};
use sealock_server::revoked::{Affected, Revocations, affected};
use sealock_store::Published;
use sealock_trust::Digest;
use sealock_trust::clock::SiteTime;
use sealock_trust::directory;
use sealock_trust::reason::Code;
use sealock_trust::revocation::RevocationList;
use serde::Serialize;

use crate::commands::import::tell_server;
use crate::context::Context;
use crate::error::Result;
use crate::keys::Passphrases;
use crate::station::Station;
use crate::ui::Table;
use crate::{files, time};

/// No revocation list is longer than this; in bytes.
const MAX_LIST: u64 = 4 << 20;

#[derive(Serialize)]
struct Outcome {
    /// False where the list was known already.
    changed: bool,
    /// The fingerprint of the publisher's enrolled root.
    publisher: Digest,
    version: u64,
    /// How many digests and keys are revoked.
    entries: usize,
    /// What of the current release is revoked.
    affected: Vec<Affected>,
}

/// Takes a publisher's revocation list in.
///
/// # Errors
/// It is not believed, or older than the one there is.
pub fn import(path: &Path, passphrase_file: Option<&Path>, station: &Station, context: &Context) -> Result<()> {
    let bytes = files::read(path, MAX_LIST)?;
    let now = SiteTime::new(time::now(), station.directory.time_floor()?).now();
    let kept = if context.dry_run {
        station.directory.check_revocations(&bytes, now)?
    } else {
        station.directory.check_not_frozen()?;
        let site = station.keys(context, &Passphrases::new(context, passphrase_file))?;
        station.directory.keep_revocations(&bytes, now, Some(&site))?
    };
    if kept.changed && !context.dry_run {
        tell_server(context);
    }
    let affected = of_current_release(station, context)?;
    let head = match kept.changed {
        true if context.dry_run => "this list would be kept",
        true => "the list holds from now on",
        false => "nothing to do: the list is known already",
    };
    let list = &kept.list;
    let outcome = Outcome {
        changed: kept.changed,
        publisher: kept.publisher.clone(),
        version: list.version(),
        entries: list.entries().len(),
        affected,
    };
    let text = format!(
        "{head}: revocation list {} of {}, {} revoked{}",
        outcome.version,
        outcome.publisher,
        outcome.entries,
        table(&outcome.affected)
    );
    context.ui.result(&outcome, text)
}

/// Says which lists a bundle brought that were not known `before`, and whether there were any.
///
/// # Errors
/// The trust directory cannot be read.
pub fn tell_kept(before: &directory::Revoked, station: &Station, context: &Context) -> Result<bool> {
    let after = station.directory.revoked()?;
    let known = |publisher: &Digest, list: &RevocationList| {
        before.lists().any(|(other, known)| other == publisher && known.version() == list.version())
    };
    for (publisher, list) in after.lists().filter(|(publisher, list)| !known(publisher, list)) {
        let (version, count) = (list.version(), list.entries().len());
        context.ui.done(format_args!(
            "revocation list {version} of {publisher} came with the bundle, and holds from now on: {count} revoked"
        ));
    }
    Ok(after != *before)
}

/// What of the current release is revoked, or would raise an alarm.
///
/// # Errors
/// Store, trust directory or plans cannot be read.
pub fn of_current_release(station: &Station, context: &Context) -> Result<Vec<Affected>> {
    let keys = station.site.site_keys();
    let Some(release) = station.store.current_release(keys)? else { return Ok(Vec::new()) };
    of_release(station, &release, context)
}

/// What of `release` is revoked, or would raise an alarm.
///
/// # Errors
/// Store, trust directory or plans cannot be read.
pub fn of_release(station: &Station, release: &Published, context: &Context) -> Result<Vec<Affected>> {
    let keys = station.site.site_keys();
    let revocations = Revocations::read(&context.paths.trust(), &context.paths.clusters(), &station.store, keys)?;
    Ok(affected(&station.store, release, &revocations))
}

/// What of `release` is revoked, as planning is told it.
///
/// # Errors
/// Store, trust directory or plans cannot be read.
pub fn facts(station: &Station, release: &Published, context: &Context) -> Result<Revoked> {
    let fact = |one: Affected| {
        let Affected { name, reference, digest, reason, blocked, .. } = one;
        Fact { name, reference, digest, reason, blocked }
    };
    Ok(of_release(station, release, context)?.into_iter().map(fact).collect())
}

/// Warns of what is needed although it was revoked, since a live cluster uses it.
pub fn alarm(needed: &[Needed], context: &Context) {
    for one in needed {
        context
            .ui
            .warn(format_args!("{}: {one}; a live cluster uses it: `sealock trust confirm` blocks it", Code::Revoked));
    }
}

/// One line for each affected reference, behind a line feed; nothing where there is none.
pub fn table(affected: &[Affected]) -> String {
    if affected.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["revoked", "stream", "digest", "pulls", "reason"]);
    for one in affected {
        let pulls = if one.blocked { "blocked" } else { "allowed: a live cluster uses it" };
        table.row([one.name.clone(), one.stream.clone(), one.digest.to_string(), pulls.to_owned(), one.reason.clone()]);
    }
    format!("\n\n{table}")
}
