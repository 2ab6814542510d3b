//! `sealock registry check`

use std::path::PathBuf;

use sealock_server::access::{Summary, summary};

use crate::context::Context;
use crate::error::Result;
use crate::paths::ACCESS;
use crate::ui::facts;

/// Read a registry's file, and all that it names, as `serve` will
///
/// Says what the file comes to, and changes nothing. A running server takes a changed file at SIGHUP, and keeps the one before
/// where the new one is refused.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// A file of the kind `Registry`
    #[arg(value_name = "FILE", default_value = ACCESS)]
    file: PathBuf,
}

pub fn run(args: &CheckArgs, context: &Context) -> Result<()> {
    let summary = summary(&args.file)?;
    context.ui.result(&summary, text(&summary))
}

fn text(summary: &Summary) -> String {
    let pull = match summary.anonymous.pull.as_slice() {
        [] => "nothing".to_owned(),
        globs => globs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let robots = summary.robots.iter().map(|(name, expires)| format!("{name} until {expires}"));
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    facts([
        ("service", summary.service.clone()),
        ("pulled by anybody", pull),
        ("listed by anybody", if summary.anonymous.catalog { "yes" } else { "no" }.to_owned()),
        ("people", summary.users.to_string()),
        ("robots", or_none(robots.collect::<Vec<_>>().join(", "))),
        ("issuers of tokens", or_none(summary.issuers.join(", "))),
        ("client certificates", if summary.client_certificates { "asked for" } else { "not asked for" }.to_owned()),
        ("grants", summary.grants.to_string()),
        ("rules for pushes", summary.rules.to_string()),
        ("epoch of the rules", summary.epoch.clone()),
    ])
}
