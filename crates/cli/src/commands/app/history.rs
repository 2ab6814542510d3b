//! `sealock app history`

use sealock_cluster::apps::{Cause, Revision, State};
use serde::Serialize;

use super::known::NameArgs;
use crate::context::Context;
use crate::error::Result;
use crate::ui::Table;

/// List what an application was, the newest first
///
/// Each apply and each rollback is a revision; the last ten are kept. The cluster is not asked.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    name: NameArgs,
}

/// A revision, without the objects that it was.
#[derive(Serialize)]
struct Line<'a> {
    revision: u64,
    begun: String,
    cause: String,
    state: &'static str,
    /// The site's release that its content is from.
    release: u64,
    charts: Vec<&'a str>,
    manifests: usize,
    images: usize,
}

impl<'a> Line<'a> {
    fn new(revision: &'a Revision) -> Self {
        Self {
            revision: revision.number,
            begun: revision.begun.to_string(),
            cause: cause(revision.cause),
            state: state(revision.state),
            release: revision.release,
            charts: revision.charts.iter().map(|chart| chart.chart.name.as_str()).collect(),
            manifests: revision.manifests.len(),
            images: revision.images.len(),
        }
    }
}

pub fn run(args: &HistoryArgs, context: &Context) -> Result<()> {
    let revisions = args.name.find(context)?.needed_revisions(context)?;
    let lines: Vec<Line<'_>> = revisions.revisions.iter().rev().map(Line::new).collect();
    context.ui.result(&lines, table(&lines))
}

fn table(lines: &[Line<'_>]) -> Table {
    let mut table = Table::new(["revision", "begun", "cause", "state", "release", "charts", "manifests"]);
    for line in lines {
        let charts: Vec<&str> = line.charts.iter().map(|name| name.rsplit('/').next().unwrap_or(name)).collect();
        table.row([
            line.revision.to_string(),
            line.begun.clone(),
            line.cause.clone(),
            line.state.to_owned(),
            line.release.to_string(),
            charts.join(" "),
            line.manifests.to_string(),
        ]);
    }
    table
}

fn cause(cause: Cause) -> String {
    match cause {
        Cause::Apply => "apply".to_owned(),
        Cause::Rollback(to) => format!("rollback to {to}"),
    }
}

/// How far a revision came, in a word.
pub fn state(state: State) -> &'static str {
    match state {
        State::Begun => "not ended",
        State::Failed => "failed",
        State::Ready => "ready",
    }
}
