//! `sealock release show`

use sealock_server::revoked::Affected;
use sealock_store::{Published, Release};
use serde::Serialize;

use super::list::{describe_cause, streams};
use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::Result;
use crate::station::Station;
use crate::ui::{Table, facts, short};

/// Show one release: its streams and everything it names
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
    context.ui.result(&shown, format!("{}{}", text(&published), revocations::table(&affected)))
}

fn text(published: &Published) -> String {
    let release = &published.release;
    let head = facts([
        ("release", release.number.to_string()),
        ("digest", published.digest.to_string()),
        ("issued", release.issued.to_string()),
        ("cause", describe_cause(&release.cause)),
        ("streams", streams(release).join(" ")),
    ]);
    let mut table = Table::new(["name", "kind", "digest", "stream"]);
    for reference in &release.references {
        let kind = format!("{:?}", reference.kind).to_lowercase();
        table.row([reference.name.clone(), kind, short(&reference.digest.to_string()), reference.stream.clone()]);
    }
    format!("{head}\n{table}")
}
