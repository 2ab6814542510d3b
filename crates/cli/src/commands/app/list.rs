//! `sealock app list`

use sealock_cluster::apps::Revisions;
use serde::Serialize;

use super::history::state;
use super::known::{self, Known};
use crate::context::Context;
use crate::error::Result;
use crate::ui::Table;

/// List the applications that this station has brought to its clusters
///
/// With the newest revision of each. The cluster is not asked: `app diff NAME` compares.
#[derive(Debug, clap::Args)]
pub struct ListArgs {}

#[derive(Serialize)]
struct Line {
    app: String,
    cluster: String,
    /// Its newest revision; nothing where none was written down yet.
    revision: Option<u64>,
    state: Option<&'static str>,
    release: Option<u64>,
    begun: Option<String>,
}

impl Line {
    fn new(known: Known, revisions: Option<&Revisions>) -> Self {
        let newest = revisions.and_then(Revisions::newest);
        Self {
            app: known.app,
            cluster: known.cluster,
            revision: newest.map(|newest| newest.number),
            state: newest.map(|newest| state(newest.state)),
            release: newest.map(|newest| newest.release),
            begun: newest.map(|newest| newest.begun.to_string()),
        }
    }
}

pub fn run(_args: &ListArgs, context: &Context) -> Result<()> {
    let mut lines = Vec::new();
    for known in known::all(context)? {
        let revisions = known.revisions(context)?;
        lines.push(Line::new(known, revisions.as_ref()));
    }
    if lines.is_empty() {
        context.ui.note("there is no application yet: `sealock app apply` brings the first one");
    }
    let mut table = Table::new(["app", "cluster", "revision", "state", "release", "begun"]);
    for line in &lines {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        table.row([
            line.app.clone(),
            line.cluster.clone(),
            number(line.revision),
            line.state.unwrap_or("-").to_owned(),
            number(line.release),
            line.begun.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    context.ui.result(&lines, table)
}
