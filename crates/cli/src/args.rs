//! What a person types: the flags every command takes, and the tree of commands.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

use crate::commands;

/// Brings Kubernetes, and all that runs on it, across an air gap
///
#[cfg_attr(feature = "outside", doc = "Outside: `init`, `lock`, `build`, `send`. Carry the bundle. Inside:")]
#[cfg_attr(not(feature = "outside"), doc = "Bundles are made outside, by a build that can fetch. Inside:")]
/// `site init`, `trust enroll`, `import`, `serve`, `cluster plan`, `cluster apply`, `app apply`, `gap check`.
///
/// Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 usage, 3 refused
/// (untrusted or invalid: retrying does not help), 4 environment (retrying may help), 5 internal (a defect of Sealock).
#[derive(Debug, Parser)]
#[command(name = "sealock", version, propagate_version = false, disable_help_subcommand = true)]
#[command(arg_required_else_help = true, subcommand_required = true, max_term_width = 110)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// How results are written to standard output
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,
    /// Show what would be done, and change nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice for what libraries say
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Read settings from this file, and from no other [env: SEALOCK_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the station keeps store, trust and keys [default: /var/lib/sealock] [env: SEALOCK_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// The form of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    #[cfg(feature = "outside")]
    Init(commands::init::InitArgs),
    #[cfg(feature = "outside")]
    Lock(commands::lock::LockArgs),
    #[cfg(feature = "outside")]
    Build(commands::build::BuildArgs),
    #[cfg(feature = "outside")]
    Convert(commands::convert::ConvertArgs),
    Inspect(commands::inspect::InspectArgs),
    Verify(commands::verify::VerifyArgs),
    Diff(commands::diff::DiffArgs),
    Send(commands::send::SendArgs),
    Repair(commands::repair::RepairArgs),
    Explain(commands::explain::ExplainArgs),
    /// Which publishers this site believes
    #[command(subcommand)]
    Trust(commands::trust::TrustCommand),
    /// This installation inside the gap: its name, keys and registry
    #[command(subcommand)]
    Site(commands::site::SiteCommand),
    Import(commands::import::ImportArgs),
    /// What the site serves
    #[command(subcommand)]
    Release(commands::release::ReleaseCommand),
    /// The bytes behind what the site serves
    #[command(subcommand)]
    Store(commands::store::StoreCommand),
    Serve(commands::serve::ServeArgs),
    /// Who may do what at the site's registry
    #[command(subcommand)]
    Registry(commands::registry::RegistryCommand),
    /// Kubernetes clusters of this site
    #[command(subcommand)]
    Cluster(commands::cluster::ClusterCommand),
    /// etcd on this machine, and the cluster it belongs to
    #[command(subcommand)]
    Etcd(commands::etcd::EtcdCommand),
    /// This machine by itself, without a station: what kubeadm needs
    #[command(subcommand)]
    Node(commands::node::NodeCommand),
    /// Applications on a cluster
    #[command(subcommand)]
    App(commands::app::AppCommand),
    /// Whether anything gets out
    #[command(subcommand)]
    Gap(commands::gap::GapCommand),
    Completion(commands::completion::CompletionArgs),
    Version(commands::version::VersionArgs),
    #[command(hide = true)]
    Docs(commands::docs::DocsArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_consistent() {
        super::Args::command().debug_assert();
    }
}
