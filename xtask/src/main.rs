//! The project's own tasks. `cargo xtask --help` lists them.

mod codegen;
mod lab;
mod repo;
mod tidy;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The rules of the house that the compiler does not check
    Tidy,
    /// Write the generated docs: CLI reference, man pages, reason codes, JSON Schemas
    Codegen,
    /// The sealed lab: real machines, real parts, no way out
    Lab(lab::LabArgs),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Tidy => tidy::command(),
        Task::Codegen => codegen::command(),
        Task::Lab(args) => lab::command(args),
    }
}
