//! `sealock trust show`

use std::path::PathBuf;

use sealock_trust::directory::{Enrolment, TrustDirectory};
use sealock_trust::tuf::StreamState;
use serde::Serialize;

use super::show_root;
use crate::context::Context;
use crate::error::Result;
use crate::station::Station;
use crate::ui::Table;

/// Show what this station believes, or roots and drafts in files
///
/// Without a file: the enrolled roots, and the newest bundle accepted of each stream. With files: keys, thresholds, expiry and
/// signers of each root, and what changes from one file to the next.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Roots or root drafts, oldest first
    #[arg(value_name = "ROOT")]
    roots: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Trust {
    enrolled: Vec<Enrolment>,
    accepted: Vec<StreamState>,
}

pub fn run(args: &ShowArgs, context: &Context) -> Result<()> {
    if !args.roots.is_empty() {
        return show_root::show(&args.roots, context);
    }
    let trust = read(context)?;
    if trust.enrolled.is_empty() {
        context.ui.note("no publisher is enrolled yet: `sealock trust enroll ROOT --fingerprint SHA256`");
    }
    let mut roots = Table::new(["streams", "root"]);
    for enrolment in &trust.enrolled {
        roots.row([enrolment.prefix.to_string(), enrolment.fingerprint.to_string()]);
    }
    let mut streams = Table::new(["stream", "sequence", "issued", "root version"]);
    for state in &trust.accepted {
        let (sequence, version) = (state.sequence.to_string(), state.root_version.to_string());
        streams.row([state.stream.to_string(), sequence, state.issued.to_string(), version]);
    }
    let text = if trust.accepted.is_empty() { roots.to_string() } else { format!("{roots}\n{streams}") };
    context.ui.result(&trust, text)
}

fn read(context: &Context) -> Result<Trust> {
    if !context.paths.trust().exists() {
        return Ok(Trust { enrolled: Vec::new(), accepted: Vec::new() });
    }
    let directory = TrustDirectory::open(&context.paths.trust())?;
    let enrolled = directory.enrolments()?;
    let mut accepted = Vec::new();
    for stream in accepted_streams(context)? {
        if let Ok(stream) = stream.parse() {
            accepted.extend(directory.stream_state(&stream)?);
        }
    }
    Ok(Trust { enrolled, accepted })
}

fn accepted_streams(context: &Context) -> Result<Vec<String>> {
    let Some(station) = Station::find(context)? else {
        return Ok(Vec::new());
    };
    let release = station.store.current_release(station.site.site_keys())?;
    let streams = release.map(|published| published.release.streams).unwrap_or_default();
    Ok(streams.into_iter().map(|selection| selection.stream).collect())
}
