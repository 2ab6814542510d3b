//! `sealock site state`

use std::path::PathBuf;

use jiff::Timestamp;
use sealock_bundle::import::Gate;
use sealock_trust::Receipt;
use sealock_trust::directory::{Mirror, Resolution};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;
use crate::ui::facts;
use crate::{files, mirrors};

/// Show what the site remembers of its own changes, and hold it against what is known elsewhere
///
/// Each change of the trust state counts up its generation, which the newest release and each receipt name, and which
/// `cluster apply` leaves with the nodes. A state with a lower one is an older copy: imports are refused as STATE_REGRESSION
/// until two people settle it with `site resolve-state`.
#[derive(Debug, clap::Args)]
pub struct StateArgs {
    /// A receipt of this site that was kept elsewhere, to hold the state against
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// A generation that was exported and kept elsewhere, or that a node keeps, to hold the state against
    #[arg(long, value_name = "FILE")]
    mirror: Option<PathBuf>,
    /// Write the generation, signed by the site, to this file, to be kept elsewhere
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

#[derive(Serialize)]
struct State {
    generation: u64,
    /// Time never runs behind this.
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<Timestamp>,
    /// Earlier regressions that were settled.
    resolutions: Vec<Resolution>,
}

/// No receipt is longer than this; in bytes.
const MAX_RECEIPT: u64 = 4 << 20;

pub fn run(args: &StateArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    if let Some(path) = &args.receipt {
        let receipt = Receipt::verify(&files::read(path, MAX_RECEIPT)?, station.site.site_keys())?;
        if let Some(generation) = receipt.generation {
            let place = format!("the receipt for {} {}", receipt.stream, receipt.sequence);
            mirrors::compare(&station, &Mirror::of(place, generation))?;
        }
    }
    if let Some(path) = &args.mirror {
        let mirror = Mirror::signed(path.display().to_string(), &files::read(path, MAX_RECEIPT)?, &station.site)?;
        mirrors::compare(&station, &mirror)?;
    }
    mirrors::check(&station, context)?;
    let gate = Gate { store: &station.store, trust: &station.directory, site: &station.site };
    gate.check_generation()?;
    if let (Some(path), false) = (&args.export, context.dry_run) {
        let signed = station.directory.signed_generation()?;
        files::replace(path, &signed.ok_or_else(|| CommandError::failed("the trust state has not been sealed yet"))?)?;
        context.ui.done(format_args!("{} is written: keep it away from this machine", path.display()));
    }
    let state = State {
        generation: station.directory.generation()?,
        floor: station.directory.time_floor()?,
        resolutions: station.directory.resolutions()?,
    };
    let settled =
        state.resolutions.iter().map(|one| format!("{} after {}: {}", one.found, one.mirror.place, one.reason));
    let text = facts([
        ("generation", state.generation.to_string()),
        ("time floor", state.floor.map_or_else(|| "none yet".to_owned(), |floor| floor.to_string())),
        ("settled", settled.reduce(|all, one| format!("{all}; {one}")).unwrap_or_else(|| "nothing".to_owned())),
    ]);
    context.ui.result(&state, text)
}
