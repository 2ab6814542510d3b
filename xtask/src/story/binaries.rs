//! The two builds of `sealock` that the story needs.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::environment;

/// The outside build and the inside build.
pub struct Binaries {
    /// With everything: lock and build, too.
    pub outside: PathBuf,
    /// Without any way to fetch: what travels to the site.
    pub inside: PathBuf,
}

impl Binaries {
    /// Builds both into folders of their own. Behind sudo, what the person who called has built is taken.
    pub fn build(root: &Path) -> Result<Self> {
        Self::built(root, ["outside", "inside"], &[])
    }

    /// The same as it is released: for what is measured.
    pub fn optimised(root: &Path) -> Result<Self> {
        Self::built(root, ["outside-optimised", "inside-optimised"], &["--release"])
    }

    fn built(root: &Path, [outside, inside]: [&str; 2], profile: &[&str]) -> Result<Self> {
        if rustix::process::geteuid().is_root() && environment::variable("SUDO_UID").is_some() {
            let built = |name: &str| root.join("target/story").join(name).join("sealock");
            return Ok(Self { outside: built(outside), inside: built(inside) });
        }
        let without_fetching = [profile, &["--no-default-features"]].concat();
        Ok(Self { outside: build(root, outside, profile)?, inside: build(root, inside, &without_fetching)? })
    }
}

fn build(root: &Path, name: &str, flags: &[&str]) -> Result<PathBuf> {
    println!("      building sealock, the {name} build (minutes the first time)");
    let mut args = vec!["build", "--package", "sealock-cli", "--message-format", "json-render-diagnostics"];
    // Cargo's progress bar for a person; 300 lines of crate names are no use in a log.
    if !std::io::stderr().is_terminal() {
        args.push("--quiet");
    }
    args.extend_from_slice(flags);
    let output = Command::new("cargo")
        .args(args)
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "the {name} build of sealock fails");
    let built = executable(&String::from_utf8(output.stdout)?).context("cargo built no executable")?;
    let copy = root.join("target/story").join(name).join("sealock");
    std::fs::create_dir_all(copy.with_file_name(""))?;
    // Each build overwrites the other's: keep a copy, without the debugging information that only slows the copies.
    let status = Command::new("strip").arg("-o").arg(&copy).arg(&built).status().context("cannot run strip")?;
    ensure!(status.success(), "cannot strip {built}");
    Ok(copy)
}

/// The path of the executable in cargo's JSON messages.
pub fn executable(messages: &str) -> Option<String> {
    let values = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    values.filter_map(|value| Some(value.get("executable")?.as_str()?.to_owned())).next_back()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_executable_is_found_among_the_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/x/sealock\"}\n{\"reason\":\"build-finished\"}\n";
        assert_eq!(super::executable(messages).as_deref(), Some("/x/sealock"));
    }
}
