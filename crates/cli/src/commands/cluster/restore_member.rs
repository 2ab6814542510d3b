//! `sealock cluster restore --member HOST`

use std::time::Instant;

use serde::Serialize;

use super::super::etcd::date;
use super::carry_out::{Outcome, carry_out, review};
use super::plan::show;
use super::target::Target;
use crate::context::Context;
use crate::error::Result;
use crate::ui::took;

/// The member was well.
#[derive(Serialize)]
struct Well {
    cluster: String,
    /// Steps that changed something.
    changed: usize,
}

/// Brings the member of etcd on the control plane `host` back, while the others live.
///
/// # Errors
/// It cannot be had, the answer is no, or the first step that failed.
pub fn run(target: &Target, host: &str, even_if_well: bool, context: &Context) -> Result<()> {
    let when = date();
    let operator = target.operator();
    let found = context.runtime()?.block_on(operator.plan_member(&target.cluster, (host, &when), even_if_well))?;
    let Some(planned) = found else {
        // Else whatever comes next would ask for it to be finished.
        let is_ended = !context.dry_run && operator.close_member(host)?;
        let well = Well { cluster: target.cluster.name().to_string(), changed: 0 };
        let ended = if is_ended { "; what was begun to bring it back is ended" } else { "" };
        let text = format!(
            "nothing to do: the member of etcd on {host} serves, votes, and has raised no alarm{ended}; --force brings it anew all the same"
        );
        return context.ui.result(&well, text);
    };
    target.check_mirrors(&planned, context)?;
    if context.dry_run {
        return show(&planned, context);
    }
    let question = format!("Take the member on {host} out of etcd, move its data aside, and have it join anew?");
    review(&planned, &question, context)?;
    let started = Instant::now();
    let applied = carry_out(&target.operator_now(context)?, &planned, context)?;
    let outcome = Outcome::new(&planned, &applied)?;
    let text = format!("the member on {host} votes, and holds what the others hold, in {}", took(started.elapsed()));
    context.ui.result(&outcome, text)
}
