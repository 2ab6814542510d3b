//! `sealock version`

use serde::Serialize;

use crate::context::Context;
use crate::error::Result;
use crate::identity;
use crate::ui::facts;

/// Show the version of this program
#[derive(Debug, clap::Args)]
pub struct VersionArgs {}

/// What this binary is.
#[derive(Serialize)]
struct Version {
    version: &'static str,
    /// `outside`: can fetch from upstreams. `inside`: holds no code for it.
    build: &'static str,
    architecture: &'static str,
}

pub fn run(_args: &VersionArgs, context: &Context) -> Result<()> {
    let version =
        Version { version: identity::version(), build: identity::build(), architecture: std::env::consts::ARCH };
    let text = facts([
        ("version", version.version.to_owned()),
        ("build", version.build.to_owned()),
        ("architecture", version.architecture.to_owned()),
    ]);
    context.ui.result(&version, text)
}
