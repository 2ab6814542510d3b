//! `cargo xtask codegen`: writes what is generated from the source: the CLI reference, man pages, reason codes and
//! JSON Schemas, all of them as the built binary renders them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::repo;

/// Where the generated pages live.
const FOLDER: &str = "docs/reference";

/// Writes every generated page.
pub fn command() -> Result<()> {
    let root = repo::root()?;
    for (path, content) in render(&root)? {
        let path = root.join(path);
        fs::create_dir_all(path.with_file_name(""))?;
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Every generated page, by its path from the top.
pub fn render(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let out = root.join("target/codegen");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    let out_text = out.to_str().context("the repository's path is not UTF-8")?;
    let args = ["run", "--quiet", "--package", "sealock-cli", "--", "docs", "--out", out_text];
    repo::stdout(root, "cargo", &args)?;
    let mut pages = BTreeMap::new();
    collect(&out, Path::new(FOLDER), &mut pages)?;
    ensure!(!pages.is_empty(), "`sealock docs` wrote nothing");
    Ok(pages)
}

fn collect(from: &Path, to: &Path, pages: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &target, pages)?;
        } else {
            pages.insert(target, fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}
