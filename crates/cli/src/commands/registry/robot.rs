//! `sealock registry robot`

use std::fmt::Write as _;

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use sealock_server::access::Action;
use sealock_server::access::credentials::ROBOT_PREFIX;
use sealock_server::access::document::{Allowed, Robot};
use sealock_server::access::glob::Glob;
use sealock_server::access::identity::is_label;
use sealock_server::access::robot::new_secret;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::time;

/// Days after which no robot is let in, whatever was asked for.
const MOST_DAYS: i64 = 3660;

/// Make a secret for a robot account, and what to write into the registry's file
///
/// The secret is shown once and kept nowhere: the file holds its digest. The account is there when `serve` has read the file again.
#[derive(Debug, clap::Args)]
pub struct RobotArgs {
    /// What it is called: a DNS label
    #[arg(value_name = "NAME")]
    name: String,
    /// Where it may do something: `team/app`, `team/*` or `team/**`
    #[arg(long, required = true, value_name = "GLOB")]
    repository: Vec<Glob>,
    /// What it may do there
    #[arg(long, value_enum, value_delimiter = ',', default_value = "pull", value_name = "ACTION")]
    action: Vec<Doing>,
    /// When its secret expires
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(1..=MOST_DAYS))]
    expires_in: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Doing {
    Pull,
    Push,
    Delete,
    Catalog,
}

impl From<Doing> for Action {
    fn from(doing: Doing) -> Self {
        match doing {
            Doing::Pull => Self::Pull,
            Doing::Push => Self::Push,
            Doing::Delete => Self::Delete,
            Doing::Catalog => Self::Catalog,
        }
    }
}

#[derive(Serialize)]
struct Outcome {
    /// The name to log in with.
    login: String,
    /// The password: shown here and nowhere else.
    secret: String,
    /// An entry of `spec.robots`.
    robot: Robot,
}

pub fn run(args: &RobotArgs, context: &Context) -> Result<()> {
    if !is_label(&args.name) {
        let problem = format!("a robot is called by a DNS label, and `{}` is none", args.name);
        return Err(CommandError::usage(problem).hint("Lower-case letters, digits and hyphens, like `ci-team`."));
    }
    let (secret, digest) = new_secret()?;
    let robot = Robot {
        name: args.name.clone(),
        secret: digest,
        expires: expiry(args.expires_in),
        grants: vec![Allowed {
            repositories: args.repository.clone(),
            actions: args.action.iter().copied().map(Into::into).collect(),
        }],
    };
    let outcome = Outcome { login: format!("{ROBOT_PREFIX}{}", args.name), secret, robot };
    context.ui.result(&outcome, text(&outcome))?;
    context.ui.note("the secret is shown this once; the lines go below `robots:` in the registry's file");
    Ok(())
}

fn expiry(days: i64) -> Timestamp {
    time::now().saturating_add(SignedDuration::from_hours(days * 24)).unwrap_or(Timestamp::MAX)
}

fn text(outcome: &Outcome) -> String {
    let Outcome { login, secret, robot } = outcome;
    let mut text = format!("login:  {login}\nsecret: {secret}\n\n");
    let _ = write!(
        text,
        "    - name: {}\n      secret: {}\n      expires: {}\n      grants:\n",
        robot.name, robot.secret, robot.expires
    );
    for Allowed { repositories, actions } in &robot.grants {
        let quoted: Vec<_> =
            repositories.iter().map(|glob| format!("'{}'", glob.as_str().replace('\'', "''"))).collect();
        let actions: Vec<_> = actions.iter().map(ToString::to_string).collect();
        let _ =
            writeln!(text, "        - {{repositories: [{}], actions: [{}]}}", quoted.join(", "), actions.join(", "));
    }
    text
}
