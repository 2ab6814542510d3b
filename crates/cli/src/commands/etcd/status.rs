//! `sealock etcd status`

use sealock_cluster::etcd::{EtcdError, HashVerdict, MemberState, Survey};
use serde::Serialize;

use super::target::ClusterArgs;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::ui::{Table, bytes};

/// Show each member of the cluster: who leads, who is up, what is stored, and alarms
///
/// Exit code 1 where a member does not serve, has raised an alarm, or has no vote yet, or one that has gone has left its alarm. With --hash the data of all members
/// that answer are compared at one revision; that they differ is an error of its own, `DIGEST`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Compare what the members hold; each that answers reads all of its database
    #[arg(long)]
    hash: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    well: bool,
    #[serde(flatten)]
    survey: Survey,
    #[serde(skip_serializing_if = "Option::is_none")]
    hashes: Option<HashVerdict>,
}

pub fn run(args: &StatusArgs, context: &Context) -> Result<()> {
    let etcd = args.cluster.etcd()?;
    let (survey, hashes) = context.runtime()?.block_on(async {
        let survey = etcd.survey().await?;
        let hashes = if args.hash { Some(etcd.check_hashes().await?) } else { None };
        Ok::<_, EtcdError>((survey, hashes))
    })?;
    let outcome = Outcome { well: survey.is_well(), survey, hashes };
    context.ui.result(&outcome, text(&outcome))?;
    // Behind the table: who asks for JSON reads who holds what, whatever the exit code says besides.
    outcome.hashes.as_ref().map_or(Ok(()), HashVerdict::check)?;
    if outcome.well {
        return Ok(());
    }
    Err(CommandError::failed("the cluster is not well").hint("The last column says what is wrong with each member."))
}

fn text(outcome: &Outcome) -> String {
    let survey = &outcome.survey;
    let mut table = Table::new(["member", "id", "is", "version", "database", "revision", "state"]);
    for member in &survey.membership.members {
        let state = survey.state_of(member.id);
        let status = state.and_then(|state| state.status.as_ref());
        let is = match (member.learner, survey.leader == Some(member.id)) {
            (true, _) => "learner",
            (_, true) => "leader",
            _ => "follower",
        };
        let name = if member.has_started() { member.name.clone() } else { "-".to_owned() };
        let version = status.map_or("-".to_owned(), |status| status.version.clone());
        let size = status.map_or("-".to_owned(), |status| {
            let size = |bytes_of: i64| bytes(u64::try_from(bytes_of).unwrap_or(0));
            format!("{} of {}", size(status.db_in_use), size(status.db_size))
        });
        let revision = status.map_or("-".to_owned(), |status| status.revision.to_string());
        let words = state.map_or_else(String::new, words);
        table.row([name, member.id.to_string(), is.to_owned(), version, size, revision, words]);
    }
    let agreed = if survey.agreed { "" } else { ", as one member remembers it: there is no quorum" };
    let mut text = format!("cluster {}{agreed}\n\n{table}", survey.membership.cluster);
    for alarm in &survey.stray_alarms {
        let (kind, id) = (alarm.kind, alarm.member);
        text.push_str(&format!(
            "\nalarm {kind} of {id}, which is no member any more: `sealock etcd remove {id}` takes it back\n"
        ));
    }
    if let Some(target) = survey.downgrade() {
        text.push_str(&format!("\nthe cluster is going back to etcd {target}\n"));
    }
    if let Some(hashes) = outcome.hashes.as_ref().filter(|hashes| hashes.agree) {
        text.push_str(&format!(
            "\n{} hold the same at revision {}\n",
            compared(hashes.checks.len(), survey.membership.members.len()),
            hashes.revision
        ));
    }
    text
}

fn compared(answer: usize, members: usize) -> String {
    if answer == members { format!("all {members} members") } else { format!("{answer} of {members} members") }
}

fn words(state: &MemberState) -> String {
    let alarms = state.alarms.iter().map(|alarm| format!("alarm {alarm}"));
    let words: Vec<String> = state.problem.iter().cloned().chain(alarms).collect();
    if words.is_empty() { "serves".to_owned() } else { words.join("; ") }
}
