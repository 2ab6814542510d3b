//! `sealock trust show`

use std::path::PathBuf;

use jiff::Timestamp;
use sealock_server::revoked::Affected;
use sealock_trust::directory::{Enrolment, TrustDirectory};
use sealock_trust::revocation::Entry;
use sealock_trust::tuf::StreamState;
use sealock_trust::{Digest, NamePrefix};
use serde::Serialize;

use super::{revocations, show_root};
use crate::context::Context;
use crate::error::Result;
use crate::station::Station;
use crate::time;
use crate::ui::Table;

/// Show what this station believes, or roots and drafts in files
///
/// Without a file: the enrolled roots, the newest bundle accepted of each stream, and what was revoked. With files: keys,
/// thresholds, expiry and signers of each root, and what changes from one file to the next.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Roots or root drafts, oldest first
    #[arg(value_name = "ROOT")]
    roots: Vec<PathBuf>,
}

#[derive(Default, Serialize)]
struct Trust {
    enrolled: Vec<Enrolment>,
    accepted: Vec<StreamState>,
    revocations: Vec<List>,
    /// What of the current release is revoked.
    affected: Vec<Affected>,
}

/// The newest revocation list of a publisher.
#[derive(Serialize)]
struct List {
    /// The fingerprint of the enrolled root.
    publisher: Digest,
    version: u64,
    expires: Timestamp,
    entries: Vec<Entry>,
}

pub fn run(args: &ShowArgs, context: &Context) -> Result<()> {
    if !args.roots.is_empty() {
        return show_root::show(&args.roots, context);
    }
    let trust = read(context)?;
    if trust.enrolled.is_empty() {
        context.ui.note("no publisher is enrolled yet: `sealock trust enroll ROOT --fingerprint SHA256`");
    }
    for list in trust.revocations.iter().filter(|list| list.expires <= time::now()) {
        let List { publisher, expires, .. } = list;
        context
            .ui
            .warn(format_args!("EXPIRED: the revocation list of {publisher} expired at {expires}: a newer one is due"));
    }
    let text = [roots(&trust), streams(&trust), revoked(&trust)].into_iter().flatten().collect::<Vec<_>>().join("\n");
    context.ui.result(&trust, format!("{text}{}", revocations::table(&trust.affected)))
}

fn roots(trust: &Trust) -> Option<String> {
    let mut table = Table::new(["streams", "names", "root"]);
    for enrolment in &trust.enrolled {
        let names: Vec<&str> = enrolment.names.iter().map(NamePrefix::as_str).collect();
        let names = if names.is_empty() { "*".to_owned() } else { names.join(" ") };
        table.row([enrolment.prefix.to_string(), names, enrolment.fingerprint.to_string()]);
    }
    Some(table.to_string())
}

fn streams(trust: &Trust) -> Option<String> {
    let mut table = Table::new(["stream", "sequence", "issued", "root version"]);
    for state in &trust.accepted {
        let (sequence, version) = (state.sequence.to_string(), state.root_version.to_string());
        table.row([state.stream.to_string(), sequence, state.issued.to_string(), version]);
    }
    (!trust.accepted.is_empty()).then(|| table.to_string())
}

fn revoked(trust: &Trust) -> Option<String> {
    let mut table = Table::new(["revoked", "since", "list", "reason"]);
    for list in &trust.revocations {
        for entry in &list.entries {
            let version = list.version.to_string();
            table.row([entry.subject.to_string(), entry.revoked.to_string(), version, entry.reason.to_string()]);
        }
    }
    trust.revocations.iter().any(|list| !list.entries.is_empty()).then(|| table.to_string())
}

fn read(context: &Context) -> Result<Trust> {
    if !context.paths.trust().exists() {
        return Ok(Trust::default());
    }
    let directory = TrustDirectory::open(&context.paths.trust())?;
    let list = |(publisher, list): (&Digest, &sealock_trust::revocation::RevocationList)| List {
        publisher: publisher.clone(),
        version: list.version(),
        expires: list.expires(),
        entries: list.entries().to_vec(),
    };
    let affected = match Station::find(context)? {
        Some(station) => revocations::of_current_release(&station, context)?,
        None => Vec::new(),
    };
    Ok(Trust {
        enrolled: directory.enrolments()?,
        accepted: directory.accepted_streams()?,
        revocations: directory.revoked()?.lists().map(list).collect(),
        affected,
    })
}
