//! `sealock release show`

use sealock_server::revoked::Affected;
use sealock_store::release::{Reference, Selection};
use sealock_store::{Published, Release};
use serde::Serialize;

use super::list::{describe_cause, streams};
use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::Result;
use crate::station::Station;
use crate::ui::{Table, facts, short};

/// Show one release: its streams and everything it names, with a mark at what was revoked
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The release [default: the current one]
    number: Option<u64>,
}

/// A release with what is known against it now.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    release: &'a Release,
    /// What of it is revoked.
    #[serde(skip_serializing_if = "<[Affected]>::is_empty")]
    revoked: &'a [Affected],
}

pub fn run(args: &ShowArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let published = match args.number {
        Some(number) => station.store.release(number, station.site.site_keys())?,
        None => station.current_release()?,
    };
    let affected = revocations::of_release(&station, &published, context)?;
    let shown = Shown { release: &published.release, revoked: &affected };
    context.ui.result(&shown, format!("{}{}", text(&published, &affected), revocations::table(&affected)))
}

fn text(published: &Published, affected: &[Affected]) -> String {
    let release = &published.release;
    let head = facts([
        ("release", release.number.to_string()),
        ("digest", published.digest.to_string()),
        ("issued", release.issued.to_string()),
        ("cause", describe_cause(release)),
        ("streams", streams(release).join(" ")),
    ]);
    let mut table = Table::new(["name", "kind", "digest", "stream", "vouched for by"]);
    for reference in &release.references {
        let kind = format!("{:?}", reference.kind).to_lowercase();
        let of = |one: &&Affected| one.name == reference.name && one.reference == reference.digest;
        let mark =
            affected.iter().find(of).map_or("", |one| if one.blocked { " [revoked]" } else { " [revoked, in use]" });
        let name = format!("{}{mark}", reference.name);
        let (digest, by) = (short(&reference.digest.to_string()), vouched_by(release, reference));
        table.row([name, kind, digest, reference.stream.clone(), by]);
    }
    format!("{head}\n{}\n{table}", publishers(release))
}

/// The streams, and the root under which each was accepted.
fn publishers(release: &Release) -> Table {
    let mut table = Table::new(["stream", "sequence", "publisher's root"]);
    for selection in &release.streams {
        let publisher = selection.publisher.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        table.row([selection.stream.clone(), selection.sequence.to_string(), publisher]);
    }
    table
}

/// The vendor whom the name is delegated to; else the publisher of the stream.
fn vouched_by(release: &Release, reference: &Reference) -> String {
    match (&reference.vendor, release.selection(&reference.stream)) {
        (Some(vendor), _) => format!("vendor {vendor}"),
        (None, Some(Selection { publisher: Some(publisher), .. })) => short(&publisher.to_string()),
        (None, _) => "publisher".to_owned(),
    }
}
