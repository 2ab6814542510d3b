//! The project's own tasks. `cargo xtask --help` lists them.

mod bench;
mod ci;
mod clients;
mod codegen;
mod conformance;
mod demo;
mod e2e;
mod environment;
mod faults;
mod fuzz;
mod hsm;
mod interop;
mod lab;
mod registries;
mod repo;
mod soak;
mod story;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that CI checks, stage by stage
    Ci,
    /// The rules of the house that the compiler does not check
    Tidy,
    /// Write the generated docs: CLI reference, man pages, reason codes, JSON Schemas
    Codegen,
    /// Build sealock-hsm, which talks to PKCS#11 tokens, and say where it is
    Hsm(hsm::HsmArgs),
    /// The sealed lab: real machines, real parts, no way out
    Lab(lab::LabArgs),
    /// The main job, told step by step; leaves its lab up
    Demo(demo::DemoArgs),
    /// End-to-end scenarios, each in a lab of its own
    E2e(e2e::Selection),
    /// Every fault of the table on real nodes, or the test that sets it
    Faults(faults::FaultsArgs),
    /// Build, import and the registry beside the peers, in one run
    Bench(bench::BenchArgs),
    /// The official conformance suite of the distribution specification, both profiles
    Conformance(conformance::ConformanceArgs),
    /// Push, mount, HEAD, delete and pull while garbage is collected
    Soak(soak::SoakArgs),
    /// Other people's programs against what we make: a table
    Interop(interop::InteropArgs),
    /// Other people's clients that push to a registry and pull from it: a table
    Clients(clients::ClientsArgs),
    /// Run the fuzz targets, each for a while
    Fuzz(fuzz::FuzzArgs),
}

fn main() -> ExitCode {
    match run(Args::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Ci => ci::command(),
        Task::Tidy => tidy::command(),
        Task::Codegen => codegen::command(),
        Task::Hsm(args) => hsm::command(&args),
        Task::Lab(args) => lab::command(args),
        Task::Demo(args) => demo::command(&args),
        Task::E2e(selection) => e2e::command(&selection),
        Task::Faults(args) => faults::command(&args),
        Task::Bench(args) => bench::command(&args),
        Task::Conformance(args) => conformance::command(&args),
        Task::Soak(args) => soak::command(&args),
        Task::Interop(args) => interop::command(&args),
        Task::Clients(args) => clients::command(&args),
        Task::Fuzz(args) => fuzz::command(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_flags_of_every_task_fit_together() {
        super::Args::command().debug_assert();
    }
}
