//! `sealock docs`: the reference, made from the same tables the program runs by.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use sealock_bundle::schema;
use sealock_cluster::apps::AppDocument;
use sealock_cluster::spec::ClusterDocument;
use sealock_server::access::document::RegistryDocument;

use crate::args::Args;
use crate::commands::explain;
use crate::context::Context;
use crate::environment;
use crate::error::{CommandError, Result};
use crate::settings;

/// Write the reference pages and man pages
#[derive(Debug, clap::Args)]
pub struct DocsArgs {
    /// Folder to write into: cli.md, reason-codes.md, settings.md, schemas/, man/
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: &DocsArgs, _context: &Context) -> Result<()> {
    write(&args.out.join("cli.md"), commands_page().as_bytes())?;
    write(&args.out.join("reason-codes.md"), explain::reference().as_bytes())?;
    write(&args.out.join("settings.md"), settings_page().as_bytes())?;
    schemas(&args.out.join("schemas"))?;
    manual(&args.out.join("man"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| CommandError::from(error).context(format!("writing {}", path.display()));
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
    std::fs::write(path, bytes).map_err(failed)
}

/// The tree as it is written down: the same on every terminal.
fn reproducible() -> Command {
    Args::command().term_width(100)
}

fn built() -> Command {
    let mut command = reproducible();
    command.build();
    command
}

fn commands_page() -> String {
    let mut page = String::from(
        "# Command line\n\n<!-- Made from crates/cli/src/args.rs and commands/ by `cargo xtask codegen`. -->\n",
    );
    describe(&mut page, &built(), "sealock");
    page
}

fn describe(page: &mut String, command: &Command, name: &str) {
    let help = command.clone().term_width(100).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    for child in visible(command) {
        describe(page, child, &format!("{name} {}", child.get_name()));
    }
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|child| !child.is_hide_set())
}

/// JSON Schemas of everything a person writes, so that editors complete and check it.
fn schemas(folder: &Path) -> Result<()> {
    let mut all = schema::all();
    all.push(("cluster", schema::of::<ClusterDocument>()));
    all.push(("registry", schema::of::<RegistryDocument>()));
    all.push(("app", schema::of::<AppDocument>()));
    for (name, schema) in all {
        let text = serde_json::to_string_pretty(&schema).map_err(std::io::Error::from)? + "\n";
        write(&folder.join(format!("{name}.json")), text.as_bytes())?;
    }
    Ok(())
}

fn manual(folder: &Path) -> Result<()> {
    let failed = |error: std::io::Error| CommandError::from(error).context(format!("writing {}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(reproducible(), folder).map_err(failed)
}

fn settings_page() -> String {
    let mut page = String::from(
        "# Settings\n\n<!-- Made from crates/cli/src/settings.rs and environment.rs by `cargo xtask codegen`. -->\n\n\
         Flags win over environment variables, these over the user's file `~/.config/sealock/config.yaml`, that over the\n\
         station's `/etc/sealock/config.yaml`, and that over defaults. `--config FILE` reads that file and no other.\n\
         Relative paths in a file are relative to the file. Unknown names are refused.\n\n\
         ## In the file\n\n| name | default | meaning |\n|---|---|---|\n",
    );
    for (name, default, meaning) in settings::REFERENCE {
        let _ = writeln!(page, "| `{name}` | {default} | {meaning} |");
    }
    page.push_str("\n## Environment variables\n\n| name | meaning |\n|---|---|\n");
    for variable in environment::ALL {
        let _ = writeln!(page, "| `{}` | {} |", variable.name, variable.meaning);
    }
    page
}
