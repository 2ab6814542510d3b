//! `sealock etcd downgrade`

use sealock_cluster::etcd::MinorVersion;
use serde::Serialize;

use super::target::ClusterArgs;
use crate::context::Context;
use crate::error::Result;

/// Have the members go back by one minor version, or end that
///
/// Members of an older version are let in only after etcd was told: it then writes nothing that they could not read, and brings the
/// data to their form. All members must serve. Take a snapshot first; then replace the programs one member after the other; when the
/// last is done, etcd ends the downgrade by itself. With --dry-run etcd is asked whether it could, and nothing is changed.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct DowngradeArgs {
    /// The minor version to go back to, like 3.5
    #[arg(long, value_name = "VERSION", group = "what")]
    to: Option<MinorVersion>,
    /// Go back no further
    #[arg(long, group = "what")]
    cancel: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    /// The minor version, like `3.5`; none where the downgrade was ended.
    to: Option<String>,
    /// Whether there was anything to do.
    changed: bool,
}

pub fn run(args: &DowngradeArgs, context: &Context) -> Result<()> {
    let etcd = args.cluster.etcd()?;
    let runtime = context.runtime()?;
    let Some(target) = args.to else {
        if context.dry_run {
            let survey = runtime.block_on(etcd.survey())?;
            let would =
                survey.downgrade().map_or("nothing to do: the cluster is not going back".to_owned(), |target| {
                    format!("would end the downgrade to etcd {target}")
                });
            context.ui.note(would);
            return Ok(());
        }
        let changed = runtime.block_on(etcd.cancel_downgrade())?;
        let text = match changed {
            true => "the cluster goes back no further",
            false => "nothing to do: the cluster is not going back",
        };
        return context.ui.result(&Outcome { to: None, changed }, text);
    };
    runtime.block_on(etcd.may_downgrade(target))?;
    if context.dry_run {
        context.ui.note(format_args!("the members could go back to etcd {target}; nothing was changed"));
        return Ok(());
    }
    context.ui.confirm(&format!("Go back to etcd {target}?"))?;
    let changed = runtime.block_on(etcd.downgrade(target))?;
    let begun = if changed { "" } else { "nothing to do: " };
    let text = format!(
        "{begun}the cluster is going back to etcd {target}: replace the members' programs, one after the other\n\
         `sealock etcd status` shows how far it is; etcd ends it by itself when the last member is done"
    );
    context.ui.result(&Outcome { to: Some(target.to_string()), changed }, text)
}
