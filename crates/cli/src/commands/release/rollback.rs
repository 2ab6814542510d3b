//! `sealock release rollback`

use std::path::PathBuf;

use sealock_store::{Published, Release, StoreError};
use sealock_trust::reason::Code;
use serde::Serialize;

use super::list::streams;
use crate::commands::import::tell_server;
use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::Passphrases;
use crate::station::Station;
use crate::time;
use crate::ui::Table;

/// Serve what an older release served
///
/// Publishes a new release with the old selection, in one step. Its streams are held: newer bundles of them are refused as
/// HELD until `release unhold STREAM`. Nothing is deleted. The trust state stays where it is.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// The release whose selection is served again [default: the live one before the current one]
    number: Option<u64>,
    /// File whose first line is the passphrase of the site's keys, or the PIN of their token
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// A release that was published, or would be.
#[derive(Serialize)]
pub struct Outcome {
    /// False where nothing had to be done, or nothing should.
    pub changed: bool,
    pub release: u64,
    pub streams: Vec<String>,
}

pub fn run(args: &RollbackArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let current = station.current_release()?;
    let to = target(args, &station, &current)?;
    check_revoked(&station, &to, None, context)?;
    station.store.check_whole(&to.release)?;
    let next = Release::back_to(&current, &to.release, time::now());
    if next.streams == current.release.streams {
        let outcome = Outcome { changed: false, release: current.release.number, streams: streams(&current.release) };
        return context.ui.result(&outcome, format!("nothing to do: release {} selects this", outcome.release));
    }
    let question = format!("Go back to what release {} selects?", to.release.number);
    publish(&station, (&current, next), &question, args.passphrase_file.as_deref(), context)
}

fn target(args: &RollbackArgs, station: &Station, current: &Published) -> Result<Published> {
    let keys = station.site.site_keys();
    let standing = station.store.standing()?;
    let newest = current.release.number;
    let before = || (1..newest).rev().find(|number| standing.is_live(*number));
    let number =
        args.number.or_else(before).ok_or_else(|| CommandError::failed("there is no older release to go back to"))?;
    if number == 0 || number > newest {
        return Err(StoreError::NoSuchRelease { number, newest }.into());
    }
    if !standing.is_live(number) {
        let retired = CommandError::from(StoreError::Retired { number });
        return Err(retired.hint("Its content may be gone. `sealock release list` shows which releases are live."));
    }
    Ok(station.store.release(number, keys)?)
}

/// What was revoked is not published anew, unless a live cluster uses it.
///
/// # Errors
/// `REVOKED`.
pub fn check_revoked(station: &Station, from: &Published, stream: Option<&str>, context: &Context) -> Result<()> {
    let affected = revocations::of_release(station, from, context)?;
    let is_of_stream = |of: &str| stream.is_none_or(|stream| stream == of);
    match affected.iter().find(|one| one.blocked && is_of_stream(&one.stream)) {
        None => Ok(()),
        Some(one) => {
            let number = from.release.number;
            let problem = format!("{} of release {number} was revoked: {}", one.name, one.reason);
            Err(CommandError::refused(Code::Revoked, problem))
        }
    }
}

/// Shows what changes, asks, and publishes.
///
/// # Errors
/// The answer is no; the store or the key failed.
pub fn publish(
    station: &Station,
    (current, next): (&Published, Release),
    question: &str,
    passphrase_file: Option<&std::path::Path>,
    context: &Context,
) -> Result<()> {
    let changes = changes(&current.release, &next);
    let outcome = |changed, release: &Release| Outcome { changed, release: release.number, streams: streams(release) };
    if context.dry_run {
        context.ui.note("this release would be published; nothing was written");
        return context.ui.result(&outcome(false, &next), changes);
    }
    context.ui.review(&changes);
    context.ui.confirm(question)?;
    let site = station.keys(context, &Passphrases::new(context, passphrase_file))?;
    let published = station.store.lock()?.publish(next, None, site.signer())?;
    tell_server(context);
    let release = &published.release;
    let text = format!("release {} is published: {}", release.number, streams(release).join(", "));
    context.ui.result(&outcome(true, release), text)
}

fn changes(from: &Release, to: &Release) -> Table {
    let mut table = Table::new(["stream", "now", "then"]);
    let mut names: Vec<&str> = from.streams.iter().chain(&to.streams).map(|one| one.stream.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let shown = |release: &Release, name: &str| match release.selection(name) {
        Some(one) if one.held => format!("{}, held", one.sequence),
        Some(one) => one.sequence.to_string(),
        None => "-".to_owned(),
    };
    for name in names {
        table.row([name.to_owned(), shown(from, name), shown(to, name)]);
    }
    table
}
