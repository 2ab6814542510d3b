//! `sealock release list`

use sealock_store::release::Cause;
use sealock_store::{Bound, Published, Release, Standing};
use serde::Serialize;

use crate::commands::store::bound_releases;
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
    /// Whether it is kept.
    live: bool,
    /// Whether it is kept whatever retention says.
    pinned: bool,
    /// The clusters and applications that were made from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    needed_by: Vec<String>,
    issued: String,
    cause: String,
    streams: Vec<String>,
    references: usize,
    /// How many of them were revoked since.
    revoked: usize,
    digest: String,
}

impl Line {
    fn new(published: &Published, newest: u64, (standing, bound): (&Standing, &Bound), revoked: usize) -> Self {
        let release = &published.release;
        Self {
            number: release.number,
            current: release.number == newest,
            live: standing.is_live(release.number),
            pinned: standing.pinned.contains(&release.number),
            needed_by: bound.get(&release.number).into_iter().flatten().cloned().collect(),
            issued: release.issued.to_string(),
            cause: describe_cause(release),
            streams: streams(release),
            references: release.references.len(),
            revoked,
            digest: published.digest.to_string(),
        }
    }

    /// Why it stays, in few words.
    fn stays(&self) -> String {
        if !self.live {
            return "retired".to_owned();
        }
        let words = [("pinned", self.pinned), ("in use", !self.needed_by.is_empty())];
        let words: Vec<_> = words.into_iter().filter(|(_, is)| *is).map(|(word, _)| word).collect();
        if words.is_empty() { "live".to_owned() } else { words.join(", ") }
    }
}

pub fn run(_args: &ListArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let releases = station.store.releases(station.site.site_keys())?;
    let (standing, bound) = (station.store.standing()?, bound_releases(context)?);
    let newest = releases.first().map_or(0, |published| published.release.number);
    let line = |published: &Published| -> Result<Line> {
        // What is retired is not served, and need not be there any more.
        let is_live = standing.is_live(published.release.number);
        let revoked = if is_live { revocations::of_release(&station, published, context)?.len() } else { 0 };
        Ok(Line::new(published, newest, (&standing, &bound), revoked))
    };
    let lines: Vec<Line> = releases.iter().map(line).collect::<Result<_>>()?;
    let mut table = Table::new(["release", "issued", "cause", "streams", "artifacts", "stays"]);
    for line in &lines {
        let number = format!("{}{}", line.number, if line.current { " *" } else { "" });
        let cells = [number, line.issued.clone(), line.cause.clone(), line.streams.join(" ")];
        let [number, issued, cause, streams] = cells;
        let artifacts = match line.revoked {
            0 => line.references.to_string(),
            revoked => format!("{}, {revoked} revoked", line.references),
        };
        table.row([number, issued, cause, streams, artifacts, line.stays()]);
    }
    if lines.is_empty() {
        context.ui.note("there is no release yet: `sealock import BUNDLE` publishes the first one");
    }
    context.ui.result(&lines, table)
}

/// Why a release was published, in words.
pub fn describe_cause(release: &Release) -> String {
    match &release.cause {
        Cause::Import { stream, sequence } if release.unheld().is_some() => {
            format!("{stream} {sequence} held no more")
        }
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
