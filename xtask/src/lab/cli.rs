//! `cargo xtask lab …`.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};

use super::network::has_namespace;
use super::{Lab, Upstream, become_root, hole, nspawn, outside, parts};

/// Arguments of `cargo xtask lab`.
#[derive(Args)]
pub struct LabArgs {
    /// Which lab: several can run side by side
    #[arg(long, global = true, default_value = "0")]
    id: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build what is missing and start what is not running
    Up {
        /// The nodes beside the station: cp1 to cp3, w1 to w3
        #[arg(long, value_delimiter = ',', default_value = "cp1,w1")]
        nodes: Vec<String>,
    },
    /// End and remove everything, and check that nothing is left
    Down,
    /// Tell what runs
    Status,
    /// Run a command in a machine, or in the network of the outside
    Exec {
        /// station, cp1, w1, … or outside
        machine: String,
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// A root shell in a machine, or in the network of the outside
    Shell {
        /// station, cp1, w1, … or outside
        machine: String,
    },
    /// Only build or download the parts
    Parts,
    /// Publish the Debian packages of the outside's archive in this version, like 2.0
    Publish { version: String },
    /// Make a way out on purpose, or close it again
    Hole { state: HoleState },
    /// Take a machine's power away
    Kill { machine: String },
    /// Boot a machine whose power was taken
    Boot { machine: String },
}

#[derive(Clone, Copy, ValueEnum)]
enum HoleState {
    Open,
    Close,
}

/// Runs `cargo xtask lab`.
///
/// # Errors
/// What the verb could not do.
pub fn command(args: LabArgs) -> Result<()> {
    let lab = Lab::open(&args.id)?;
    match args.verb {
        Verb::Up { nodes } => lab.up(&nodes.iter().map(String::as_str).collect::<Vec<_>>()),
        Verb::Down => lab.down(),
        Verb::Status => status(&lab),
        Verb::Exec { machine, command } => become_command(&lab, &machine, &command),
        Verb::Shell { machine } => {
            become_command(&lab, &machine, &["bash".to_owned(), "-i".to_owned(), "-l".to_owned()])
        }
        Verb::Parts => parts::build(Upstream::default()).map(drop),
        Verb::Publish { version } => lab.publish_packages(&version),
        Verb::Hole { state: HoleState::Open } => lab.open_hole(),
        Verb::Hole { state: HoleState::Close } => lab.close_hole(),
        Verb::Kill { machine } => lab.kill_machine(&machine),
        Verb::Boot { machine } => lab.boot_machine(&machine),
    }
}

/// Becomes the command, so that signals, input and exit code are its own.
fn become_command(lab: &Lab, machine: &str, argv: &[String]) -> Result<()> {
    become_root()?;
    let mut command: Command = lab.exec(machine, &argv.iter().map(String::as_str).collect::<Vec<_>>());
    Err(command.exec()).with_context(|| format!("{} cannot be started", command.get_program().to_string_lossy()))
}

fn status(lab: &Lab) -> Result<()> {
    become_root()?;
    let mut out = std::io::stdout().lock();
    if !lab.dir().exists() && !has_namespace(&lab.namespace("site")) {
        writeln!(out, "lab {}: not there", lab.id())?;
        return Ok(());
    }
    writeln!(out, "lab {}: {}", lab.id(), lab.dir().display())?;
    let servers = outside::servers(lab)?;
    let running = |name: &str| servers.iter().any(|(program, _)| program == name);
    for name in ["nginx", "registry", "coredns"] {
        writeln!(out, "  outside   {:<12} {}", name, if running(name) { "running" } else { "stopped" })?;
    }
    for machine in lab.machines()? {
        let state = nspawn::leader(lab, machine.name)
            .map_or_else(|| "stopped".to_owned(), |pid| format!("running, process {pid}"));
        writeln!(out, "  {:<9} {:<12} {state}", machine.name, machine.address())?;
    }
    writeln!(out, "  hole      {}", if hole::is_open(lab) { "OPEN" } else { "closed" })?;
    Ok(())
}
