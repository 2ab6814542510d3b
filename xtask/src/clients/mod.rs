//! `cargo xtask clients`: other people's programs that push to and pull from a registry over TLS that asks who they are.
//!
//! Any registry can be asked: `--registry HOST:PORT --ca FILE --user NAME --password-file FILE`. Without these, our own is started;
//! with `--peer`, distribution 3 over TLS and with htpasswd, which shows that the rows themselves work.

mod containerd;
mod cosign;
mod cut;
mod docker;
mod engines;
mod gotools;
mod helm;
mod layout;
mod relay;
mod scene;
mod skopeo;
mod slow;
mod version;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::scene::Scene;
use crate::registries::{Build, Endpoint, Kind, Login, Options, Registry};
use crate::tools::Judges;
use crate::{repo, tools};

/// Clients that are not here, and why.
const ABSENT: &[(&str, &str)] = &[
    (
        "docker",
        "its engine is packaged, but changes the machine's network: its requests are made as own requests instead",
    ),
    ("containerd", "1.7 is no longer published as a part of its own: its requests are those of 2.x with --local"),
    ("kubelet", "through CRI in the lab's scenarios, where there is a whole node"),
];

/// Which registry, and which rows.
#[derive(Debug, clap::Args)]
pub struct ClientsArgs {
    /// Ask this registry
    #[arg(long, value_name = "HOST:PORT", requires_all = ["ca", "user", "password_file"])]
    registry: Option<String>,
    /// The authority of its certificate, PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Who pushes
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The file whose first line is the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Ask distribution 3, to see that the rows themselves work
    #[arg(long, conflicts_with = "registry")]
    peer: bool,
    /// Also the rows that move gigabytes
    #[arg(long)]
    slow: bool,
    /// Only rows whose tool or description contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// One program doing one thing.
struct Row {
    tool: &'static str,
    /// What it does, as a sentence that is true where the row passes.
    what: &'static str,
    /// Whether it moves gigabytes.
    slow: bool,
    run: fn(&Scene) -> Result<()>,
}

const fn row(tool: &'static str, what: &'static str, run: fn(&Scene) -> Result<()>) -> Row {
    Row { tool, what, slow: false, run }
}

fn rows() -> impl Iterator<Item = &'static Row> {
    let tables = [
        skopeo::ROWS,
        gotools::ROWS,
        helm::ROWS,
        cosign::ROWS,
        engines::ROWS,
        containerd::ROWS,
        docker::ROWS,
        cut::ROWS,
    ];
    tables.into_iter().flatten().chain(slow::ROWS)
}

/// Runs every row and prints the table.
pub fn command(args: &ClientsArgs) -> Result<()> {
    let root = repo::root()?;
    let folder = root.join("target/clients");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let started = start(args, &root, &folder)?;
    let endpoint = match &started {
        Some(registry) => registry.endpoint.clone(),
        None => given(args)?,
    };
    let mut programs = tools::judges(&root, Judges::All)?;
    for part in ["helm", "containerd", "runc"] {
        programs.push(tools::part(&root, part)?);
    }
    let scene = Scene::new(&folder.join("scene"), endpoint, programs)?;
    ask(args, &scene)
}

fn ask(args: &ClientsArgs, scene: &Scene) -> Result<()> {
    let mut failures = Vec::new();
    println!("{:<11} {:<14} {:<80} verdict", "tool", "version", "what it did");
    for row in rows() {
        let wanted =
            args.only.as_ref().is_none_or(|text| row.tool.contains(text.as_str()) || row.what.contains(text.as_str()));
        if !wanted || (row.slow && !args.slow) {
            continue;
        }
        let outcome = (row.run)(scene);
        let verdict = if outcome.is_ok() { "works" } else { "FAILS" };
        println!("{:<11} {:<14} {:<80} {verdict}", row.tool, version::of(scene, row.tool), row.what);
        failures.extend(outcome.err().map(|error| format!("{} {}:\n{error:#}", row.tool, row.what)));
    }
    for (tool, why) in ABSENT {
        println!("{tool:<11} {:<14} not run: {why}", "");
    }
    if !args.slow {
        println!("rows that move gigabytes: --slow");
    }
    ensure!(failures.is_empty(), "clients that do not work:\n\n{}", failures.join("\n\n"));
    Ok(())
}

fn start(args: &ClientsArgs, root: &Path, folder: &Path) -> Result<Option<Registry>> {
    if args.registry.is_some() {
        return Ok(None);
    }
    let kind = if args.peer {
        Kind::Distribution
    } else {
        Kind::Sealock { program: Build::Debug.program(root)?, state: None }
    };
    let options = Options { tls: true, login: true, bearer: true, ..Options::default() };
    Registry::start(root, kind, &folder.join("registry"), options).map(Some)
}

fn given(args: &ClientsArgs) -> Result<Endpoint> {
    let file = args.password_file.as_deref().context("--password-file is missing")?;
    let password = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Endpoint {
        address: args.registry.clone().context("--registry is missing")?,
        ca: args.ca.clone(),
        login: Some(Login {
            user: args.user.clone().context("--user is missing")?,
            password: password.lines().next().unwrap_or_default().to_owned(),
        }),
    })
}
