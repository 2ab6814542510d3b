//! `sealock site resolve-state`

use std::path::PathBuf;

use sealock_trust::Justification;

use crate::context::Context;
use crate::error::Result;
use crate::keys::Passphrases;
use crate::station::Station;

/// Go on with an older copy of the trust state, once it is known why it was restored
///
/// The state counts on from behind the mirror that told, and keeps the reason. What was accepted after the copy was made is
/// forgotten: import the newest bundles again before anything else, so that no older one gets in.
#[derive(Debug, clap::Args)]
pub struct ResolveStateArgs {
    /// Why the older copy is there; kept with the state
    #[arg(long, value_name = "TEXT")]
    reason: Justification,
    /// File whose first line is the passphrase of the site's keys, or the PIN of their token
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub fn run(args: &ResolveStateArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    if context.dry_run {
        let mirror = station.directory.frozen()?;
        let text = mirror.as_ref().map_or_else(
            || "there is nothing to settle".to_owned(),
            |mirror| format!("would count on from generation {}, which {} knows", mirror.generation, mirror.place),
        );
        return context.ui.result(&mirror, text);
    }
    if station.directory.frozen()?.is_some() {
        context.ui.confirm("Forget what was accepted after this copy of the trust state was made?")?;
    }
    let site = station.keys(context, &Passphrases::new(context, args.passphrase_file.as_deref()))?;
    let resolution = station.directory.resolve(&args.reason, &site)?;
    let text = format!(
        "the trust state counts on from generation {}, which {} knows; import the newest bundles again",
        resolution.mirror.generation, resolution.mirror.place
    );
    context.ui.result(&resolution, text)
}
