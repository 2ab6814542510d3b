//! `cargo xtask tidy`: the rules of the house that the compiler does not check.
//!
//! Each rule is one file with one function that returns what it found; nothing is repaired here.

mod clocks;
mod files;
mod generated;
mod imports;
mod inside;
mod links;
mod words;

use std::path::Path;

use anyhow::{Result, bail};

use crate::repo;

/// Something that breaks a rule: where, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

type Rule = fn(&Path) -> Result<Vec<Finding>>;

const RULES: &[(&str, Rule)] = &[
    ("crates import only what the table allows", imports::check),
    ("the inside build links no upstream client", inside::check),
    ("no wait goes by the clock on the wall", clocks::check),
    ("every file has a home and a house size", files::check),
    ("links in the docs lead somewhere", links::check),
    ("no registry host, machine path or forbidden word", words::check),
    ("generated docs are what the binary says", generated::check),
];

/// Runs every rule, prints what it found, and fails if anything was found.
pub fn command() -> Result<()> {
    let root = repo::root()?;
    let mut count = 0;
    for (name, rule) in RULES {
        let mut findings = rule(&root)?;
        findings.sort();
        println!("{} {name}", if findings.is_empty() { "ok  " } else { "FAIL" });
        for finding in &findings {
            println!("     {}: {}", finding.place, finding.what);
        }
        count += findings.len();
    }
    if count > 0 {
        bail!("tidy found {count} thing(s) to mend");
    }
    Ok(())
}
