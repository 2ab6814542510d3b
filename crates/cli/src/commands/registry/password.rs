//! `sealock registry password`

use std::path::PathBuf;

use sealock_server::access::htpasswd::check_name;
use sealock_server::access::robot::hash_password;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CommandError, Result};

/// Hash a person's password, as a line for the registry's htpasswd file
///
/// The same as `htpasswd -nB NAME`, where there is no `htpasswd`.
#[derive(Debug, clap::Args)]
pub struct PasswordArgs {
    /// Whose it is
    #[arg(value_name = "NAME")]
    name: String,
    /// File whose first line is the password [default: it is asked for]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Outcome {
    name: String,
    hash: String,
}

pub fn run(args: &PasswordArgs, context: &Context) -> Result<()> {
    check_name(&args.name).map_err(|problem| CommandError::usage(format!("`{}`: {problem}", args.name)))?;
    let hash = hash_password(&password(args, context)?)?;
    let line = format!("{}:{hash}", args.name);
    context.ui.result(&Outcome { name: args.name.clone(), hash }, line)
}

fn password(args: &PasswordArgs, context: &Context) -> Result<String> {
    if let Some(file) = &args.password_file {
        let failed = |error| CommandError::from(error).context(format!("reading {}", file.display()));
        let text = std::fs::read_to_string(file).map_err(failed)?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    let password = context.ui.ask_password(&format!("Password of {}", args.name))?;
    if context.ui.ask_password("The same once more")? != password {
        return Err(CommandError::usage("the two passwords differ"));
    }
    Ok(password)
}
