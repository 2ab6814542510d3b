//! `sealock store status`

use sealock_store::status::Status;

use super::gc::amount;
use super::plan;
use crate::context::Context;
use crate::error::Result;
use crate::station::Station;
use crate::time;
use crate::ui::{bytes, count, facts};

/// Show how full the store is, what could go, and whether anything has rotted
#[derive(Debug, clap::Args)]
pub struct StatusArgs {}

pub fn run(_args: &StatusArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let status = station.store.status(&plan(&station, context)?, time::now())?;
    context.ui.result(&status, text(&status))
}

fn text(status: &Status) -> String {
    let or_never = |at: Option<jiff::Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let list = |digests: &[sealock_trust::Digest]| match digests {
        [] => "nothing".to_owned(),
        digests => digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    let mut shown = vec![
        ("blobs", amount(status.blobs)),
        ("reclaimable", amount(status.reclaimable)),
        ("headroom", format!("{} free of {}", bytes(status.free), bytes(status.capacity))),
        ("last scrub", or_never(status.last_scrub)),
        ("never hashed", amount(status.never_verified)),
        ("quarantined", list(&status.quarantined)),
        ("missing", list(&status.missing)),
    ];
    if status.lent.bundles > 0 {
        let by = count(status.lent.bundles, "bundle");
        shown.insert(
            1,
            ("lent", format!("{}, by {by}, until `serve` or `store migrate` has copied it", amount(status.lent.blobs))),
        );
    }
    if !status.staging.is_empty() {
        shown.push(("unfinished imports", status.staging.join(" ")));
    }
    let doubts: String = status.doubts.iter().map(|doubt| format!("in doubt: {doubt}\n")).collect();
    format!("{}{doubts}", facts(shown))
}
