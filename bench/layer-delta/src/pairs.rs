//! Real software in two successive versions, and how its files are got by the ordinary client of its registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where software comes from.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Programs of a Go module, built here, static and stripped.
    Go(&'static [&'static str]),
    /// A wheel.
    Pip,
    /// A package, by its name, with its files as published.
    Npm(&'static str),
    /// Binary packages of Debian, as installed.
    Deb,
}

/// One piece of software in two versions.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub name: &'static str,
    pub kind: Kind,
    pub versions: [&'static str; 2],
}

const fn pair(name: &'static str, kind: Kind, old: &'static str, new: &'static str) -> Pair {
    Pair { name, kind, versions: [old, new] }
}

/// What is measured: five pairs of Go programs, the last three as their authors publish them, and five of everything else.
pub const PAIRS: [Pair; 10] = [
    pair("go-httpbin", Kind::Go(&["github.com/mccutchen/go-httpbin/v2/cmd/go-httpbin"]), "v2.25.0", "v2.26.0"),
    pair(
        "cni-plugins",
        Kind::Go(&[
            "github.com/containernetworking/plugins/plugins/main/ptp",
            "github.com/containernetworking/plugins/plugins/ipam/host-local",
        ]),
        "v1.8.0",
        "v1.9.0",
    ),
    pair("esbuild", Kind::Npm("@esbuild/linux-x64"), "0.28.1", "0.28.2"),
    pair("lefthook", Kind::Npm("lefthook-linux-x64"), "2.2.1", "2.2.2"),
    pair("buf", Kind::Npm("@bufbuild/buf-linux-x64"), "1.74.0", "1.75.0"),
    pair("django", Kind::Pip, "5.2.18", "5.2.19"),
    pair("numpy", Kind::Pip, "2.4.5", "2.4.6"),
    pair("typescript", Kind::Npm("typescript"), "5.9.2", "5.9.3"),
    pair("libssl3", Kind::Deb, "3.0.20-1~deb12u2", "3.0.22-1~deb12u2"),
    pair("perl-base", Kind::Deb, "5.36.0-7+deb12u3", "5.36.0-7+deb12u4"),
];

impl Pair {
    /// The folder with the files of version `number`, 0 or 1; got once, below `cache`.
    pub fn files(&self, number: usize, cache: &Path) -> Result<PathBuf> {
        let version = self.versions[number];
        let folder = cache.join(format!("{}-{}", self.name, version.replace(':', "_")));
        if folder.exists() {
            return Ok(folder);
        }
        let partial = cache.join(format!("{}.partial", self.name));
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir_all(&partial)?;
        self.get(version, &partial).with_context(|| format!("{} {version}", self.name))?;
        fs::rename(&partial, &folder)?;
        Ok(folder)
    }

    fn get(&self, version: &str, to: &Path) -> Result<()> {
        match self.kind {
            Kind::Go(programs) => {
                for program in programs {
                    let mut go = Command::new("go");
                    go.args(["install", "-trimpath", "-ldflags=-s -w", &format!("{program}@{version}")]);
                    run(go.env("CGO_ENABLED", "0").env("GOFLAGS", "-p=1").env("GOBIN", to))?;
                }
                Ok(())
            }
            Kind::Pip => {
                let wanted = format!("{}=={version}", self.name);
                let site = to.join("usr/lib/python3/site-packages");
                let mut pip = Command::new("pip");
                pip.args(["install", "--quiet", "--no-deps", "--no-compile", "--only-binary=:all:", "--target"]);
                run(pip.arg(site).arg(wanted))
            }
            Kind::Npm(package) => {
                run(Command::new("npm").args(["pack", "--silent", &format!("{package}@{version}")]).current_dir(to))?;
                let archive = only_file(to)?;
                run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(to))?;
                Ok(fs::remove_file(archive)?)
            }
            Kind::Deb => {
                let wanted = format!("{}={version}", self.name);
                run(Command::new("apt-get").args(["download", "--quiet", &wanted]).current_dir(to))?;
                let archive = only_file(to)?;
                run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(to))?;
                Ok(fs::remove_file(archive)?)
            }
        }
    }

    /// Whether the files' own times are the ones that a layer would have; else every file has its version's time of building.
    pub fn keeps_times(&self) -> bool {
        matches!(self.kind, Kind::Deb)
    }
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    Ok(fs::read_dir(folder)?.next().context("nothing was downloaded")??.path())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
