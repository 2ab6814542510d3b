//! `cargo xtask bench`: build and import beside the peers, in one run, on a corpus of real layers.

mod corpus;
mod measure;

use anyhow::Result;

/// Runs every row and prints the table.
pub fn command() -> Result<()> {
    let corpus = corpus::ensure(&crate::tools::cache()?)?;
    println!("{} images, {:.2} GB in {}", corpus.tags.len(), corpus.bytes as f64 / 1e9, corpus.layout.display());
    Ok(())
}
