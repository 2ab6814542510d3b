//! `sealock completion`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::context::Context;
use crate::error::Result;

/// Write a completion script for a shell to standard output
///
/// For bash: `sealock completion bash > /etc/bash_completion.d/sealock`
#[derive(Debug, clap::Args)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: &CompletionArgs, context: &Context) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "sealock", &mut script);
    context.ui.text(String::from_utf8_lossy(&script))
}
