//! `sealock release list`

use sealock_store::release::Cause;
use sealock_store::{Published, Release};
use serde::Serialize;

use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::Result;
use crate::station::Station;
use crate::ui::Table;

/// List the releases, the newest first
#[derive(Debug, clap::Args)]
pub struct ListArgs {}

#[derive(Serialize)]
struct Line {
    number: u64,
    current: bool,
    issued: String,
    cause: String,
    streams: Vec<String>,
    references: usize,
    /// How many of them were revoked since.
    revoked: usize,
    digest: String,
}

impl Line {
    fn new(published: &Published, newest: u64, revoked: usize) -> Self {
        let release = &published.release;
        Self {
            number: release.number,
            current: release.number == newest,
            issued: release.issued.to_string(),
            cause: describe_cause(&release.cause),
            streams: streams(release),
            references: release.references.len(),
            revoked,
            digest: published.digest.to_string(),
        }
    }
}

pub fn run(_args: &ListArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let releases = station.store.releases(station.site.site_keys())?;
    let newest = releases.first().map_or(0, |published| published.release.number);
    let line = |published: &Published| -> Result<Line> {
        let revoked = revocations::of_release(&station, published, context)?.len();
        Ok(Line::new(published, newest, revoked))
    };
    let lines: Vec<Line> = releases.iter().map(line).collect::<Result<_>>()?;
    let mut table = Table::new(["release", "issued", "cause", "streams", "artifacts"]);
    for line in &lines {
        let number = format!("{}{}", line.number, if line.current { " *" } else { "" });
        let cells = [number, line.issued.clone(), line.cause.clone(), line.streams.join(" ")];
        let [number, issued, cause, streams] = cells;
        let artifacts = match line.revoked {
            0 => line.references.to_string(),
            revoked => format!("{}, {revoked} revoked", line.references),
        };
        table.row([number, issued, cause, streams, artifacts]);
    }
    if lines.is_empty() {
        context.ui.note("there is no release yet: `sealock import BUNDLE` publishes the first one");
    }
    context.ui.result(&lines, table)
}

/// Why a release was published, in words.
pub fn describe_cause(cause: &Cause) -> String {
    match cause {
        Cause::Import { stream, sequence } => format!("import of {stream} {sequence}"),
        Cause::Rollback { to } => format!("rollback to {to}"),
        other => format!("{other:?}"),
    }
}

/// The streams with their sequences: `base 7`.
pub fn streams(release: &Release) -> Vec<String> {
    let describe = |selection: &sealock_store::release::Selection| {
        format!("{} {}{}", selection.stream, selection.sequence, if selection.held { " (held)" } else { "" })
    };
    release.streams.iter().map(describe).collect()
}
