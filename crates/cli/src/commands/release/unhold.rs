//! `sealock release unhold`

use std::path::PathBuf;

use sealock_store::Release;
use sealock_trust::StreamName;

use super::list::streams;
use super::rollback::{Outcome, check_revoked, publish};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;
use crate::time;

/// Let newer bundles of a stream in again
///
/// Publishes a new release that selects the newest bundle of the stream that was accepted and is still live, as if the site
/// had never gone back.
#[derive(Debug, clap::Args)]
pub struct UnholdArgs {
    /// The stream
    stream: StreamName,
    /// File whose first line is the passphrase of the site's keys, or the PIN of their token
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub fn run(args: &UnholdArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let current = station.current_release()?;
    let stream = args.stream.as_str();
    match current.release.selection(stream) {
        None => {
            let problem = format!("release {} selects nothing of the stream {stream}", current.release.number);
            return Err(CommandError::failed(problem).hint("`sealock release show` lists the streams."));
        }
        Some(selection) if !selection.held => {
            let outcome =
                Outcome { changed: false, release: current.release.number, streams: streams(&current.release) };
            return context.ui.result(&outcome, format!("nothing to do: {stream} is not held"));
        }
        Some(_) => {}
    }
    let newest = station.store.newest_of_stream(stream, station.site.site_keys())?;
    let (from, selection) = newest.ok_or_else(|| CommandError::internal(format!("{stream} is in no live release")))?;
    check_revoked(&station, &from, Some(stream), context)?;
    let next = Release::without_hold(&current, &from.release, &selection, time::now())?;
    station.store.check_whole(&next)?;
    let question = format!("Serve {stream} {}, and let newer bundles in?", selection.sequence);
    publish(&station, (&current, next), &question, args.passphrase_file.as_deref(), context)
}
