//! `sealock site resolve-state`

use std::path::PathBuf;

use jiff::Timestamp;
use sealock_trust::Justification;
use sealock_trust::directory::{Mirror, Resolution};
use sealock_trust::resolution::{ResolveError, ResolveState};
use sealock_trust::token::TokenError;
use serde::Serialize;

use super::people::{self, TokenArgs};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys;
use crate::station::Station;
use crate::{files, time};

/// Go on with an older copy of the trust state, once it is known why it was restored
///
/// It takes two people: two approvers of the site, or two keyholders of its root where it has no approvers. One begins with
/// `--reason`, and the other adds a signature to the same file with `--add`; then it is done. The state counts on from behind
/// the mirror that told, and keeps the reason. What was accepted after the copy was made is forgotten: import the newest
/// bundles again before anything else, so that no older one gets in.
#[derive(Debug, clap::Args)]
pub struct ResolveStateArgs {
    /// What the two sign: written, or signed once more if it is there
    token: PathBuf,
    /// Why the older copy is there; kept with the state
    #[arg(long, value_name = "TEXT", required_unless_present = "add", conflicts_with = "add")]
    reason: Option<Justification>,
    #[command(flatten)]
    signing: TokenArgs,
}

#[derive(Serialize)]
struct Outcome {
    /// The generation that the state has come back with.
    found: u64,
    /// The mirror that told.
    mirror: Mirror,
    reason: Justification,
    expires: Timestamp,
    /// What was settled, once two people have signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<Resolution>,
}

pub fn run(args: &ResolveStateArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let Some(mirror) = station.directory.frozen()? else {
        return Err(CommandError::failed(
            "there is nothing to settle: no mirror knows a later trust state than this one",
        )
        .hint("`sealock site state` compares."));
    };
    let passphrases = args.signing.passphrases(context);
    let keys = args.signing.keys(&station.site, &passphrases)?;
    let signers = keys::signers(&keys);
    let token = match &args.reason {
        Some(reason) => begin(args, &station, mirror, reason)?.sign(&signers)?,
        None => ResolveState::add_signatures(&people::read_token(&args.token)?, &signers)?,
    };
    let said = ResolveState::read(&token)?;
    let verdict = ResolveState::verify(&token, &station.site, time::now());
    if let Err(error @ ResolveError::Token(TokenError::TooFewKeys(_))) = verdict {
        return Err(CommandError::from(error).hint("Name the approvers in the site spec, and make the site anew."));
    }
    let is_complete = verdict.is_ok();
    let mut resolution = None;
    if !context.dry_run {
        files::replace(&args.token, &token)?;
        if is_complete {
            context.ui.confirm("Forget what was accepted after this copy of the trust state was made?")?;
            resolution = Some(station.directory.resolve(&token, time::now(), &station.keys(context, &passphrases)?)?);
        }
    }
    let (found, known) = (said.found, said.mirror.generation);
    let text = match (&resolution, is_complete) {
        (Some(_), _) => {
            format!(
                "the trust state counts on from generation {known}, which {} knows; import the newest bundles again",
                said.mirror.place
            )
        }
        (None, true) => format!("would count on from generation {known}, which {} knows", said.mirror.place),
        (None, false) => format!(
            "generation {found} is to count, though {} knows generation {known}: {}; another person has to sign until \
             {}: `--add`",
            said.mirror.place, said.reason, said.expires
        ),
    };
    let outcome = Outcome { found, mirror: said.mirror, reason: said.reason, expires: said.expires, resolution };
    context.ui.result(&outcome, text)
}

fn begin(args: &ResolveStateArgs, station: &Station, mirror: Mirror, reason: &Justification) -> Result<ResolveState> {
    let expires = args.signing.expires();
    let found = station.directory.generation()?;
    Ok(ResolveState::new(station.site.id().clone(), (found, mirror), expires, reason.clone()))
}
