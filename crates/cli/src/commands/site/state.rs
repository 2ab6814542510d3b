//! `sealock site state`

use std::path::PathBuf;

use jiff::Timestamp;
use sealock_bundle::import::Gate;
use sealock_trust::Receipt;
use sealock_trust::directory::{DirectoryError, Mirror, Resolution};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;
use crate::station::Station;
use crate::ui::facts;

/// Show what the site remembers of its own changes, and hold it against what is known elsewhere
///
/// Each change of the trust state counts up its generation, which the newest release and each receipt name. A state with a
/// lower one is an older copy: imports are refused as STATE_REGRESSION until `site resolve-state` settles it.
#[derive(Debug, clap::Args)]
pub struct StateArgs {
    /// A receipt of this site that was kept elsewhere, to hold the state against
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
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
            station.directory.compare(&Mirror { place, generation }).map_err(advise)?;
        }
    }
    let gate = Gate { store: &station.store, trust: &station.directory, site: &station.site };
    gate.check_generation()?;
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

fn advise(error: DirectoryError) -> CommandError {
    CommandError::from(error).hint("Find out who restored what, before `sealock site resolve-state --reason TEXT`.")
}
