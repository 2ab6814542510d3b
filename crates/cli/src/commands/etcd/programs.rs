//! etcd's programs: from a folder that a person names, or from the release of the station that this machine is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealock_cluster::etcd::machine::Program;
use sealock_cluster::etcd::restore;
use sealock_cluster::release::{self, ReleaseView};
use sealock_cluster::revoked::Revoked;
use sealock_cluster::tools::Toolbox;
use sealock_node::{Local, host};
use tempfile::TempDir;

use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;

const NAMES: [&str; 3] = ["etcd", "etcdctl", "etcdutl"];

/// etcd's programs, ready to run.
#[derive(Debug)]
pub struct Programs {
    folder: PathBuf,
    /// Paths by name.
    found: Vec<(&'static str, PathBuf)>,
    /// Like `v3.6.8`.
    pub version: String,
    /// Where programs of the release lie for as long as the command runs.
    _taken: Option<TempDir>,
}

impl Programs {
    /// Those at `path`, a folder or etcd itself; without it those of the station's release.
    ///
    /// # Errors
    /// They are not there.
    pub fn find(path: Option<&Path>, context: &Context) -> Result<Self> {
        match path {
            Some(path) => Self::at(path),
            None => Self::of_release(context),
        }
    }

    /// All of them, with their digests, to be installed.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn all(&self) -> Result<Vec<Program>> {
        let program = |(name, path): &(&str, PathBuf)| {
            let source = path.to_string_lossy().into_owned();
            let digest = host::digest(&Local::new(), &source)?;
            Ok(Program { name: (*name).to_owned(), source, digest })
        };
        self.found.iter().map(program).collect()
    }

    /// What a rehearsal needs.
    ///
    /// # Errors
    /// There is no `etcdutl`.
    pub fn for_restore(&self) -> Result<restore::Programs> {
        Ok(restore::Programs { etcd: self.named("etcd")?, etcdutl: self.named("etcdutl")? })
    }

    fn named(&self, name: &str) -> Result<PathBuf> {
        let found = self.found.iter().find(|(known, _)| *known == name);
        let missing = || CommandError::failed(format!("{name} is not beside etcd in {}", self.folder.display()));
        found.map(|(_, path)| path.clone()).ok_or_else(missing)
    }

    fn at(path: &Path) -> Result<Self> {
        let failed =
            |error: std::io::Error| CommandError::from(error).context(format!("looking for {}", path.display()));
        let path = path.canonicalize().map_err(failed)?;
        let folder = if path.is_dir() { path.clone() } else { path.with_file_name("") };
        let places = NAMES.map(|name| (name, folder.join(name)));
        let found: Vec<_> = places.into_iter().filter(|(_, place)| place.is_file()).collect();
        let Some((_, etcd)) = found.iter().find(|(name, _)| *name == "etcd") else {
            return Err(CommandError::failed(format!("there is no etcd in {}", folder.display()))
                .hint("Name the folder that etcd's archive unpacks to, or etcd in it."));
        };
        let version = version_of(etcd)?;
        Ok(Self { folder, found, version, _taken: None })
    }

    fn of_release(context: &Context) -> Result<Self> {
        let Some(station) = Station::find(context)? else {
            return Err(CommandError::usage("where etcd's programs are must be said")
                .hint("Give --binary DIR; only on a station they come from the release."));
        };
        let release = station.current_release()?;
        let revoked: Revoked = revocations::facts(&station, &release, context)?;
        let folder = tempfile::Builder::new().prefix("etcd-").tempdir_in(context.paths.state());
        let folder =
            folder.map_err(|error| CommandError::from(error).context("making a folder for etcd's programs"))?;
        let view = ReleaseView::new(&release);
        let toolbox = Toolbox::new(&station.store, view, &revoked, folder.path().to_owned());
        let wanted = [release::Program::Etcd, release::Program::Etcdctl, release::Program::Etcdutl];
        let mut found = Vec::new();
        for (name, program) in NAMES.into_iter().zip(wanted) {
            found.push((name, toolbox.program(program, None)?));
        }
        let version = version_of(&found[0].1)?;
        Ok(Self { folder: folder.path().to_owned(), found, version, _taken: Some(folder) })
    }
}

/// What etcd calls itself: `v3.6.8`.
fn version_of(etcd: &Path) -> Result<String> {
    let failed = |error: std::io::Error| CommandError::from(error).context(format!("running {}", etcd.display()));
    let output = Command::new(etcd).arg("--version").env_clear().stdin(Stdio::null()).output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().find_map(|line| line.strip_prefix("etcd Version: ")).map(str::trim);
    let plain = |version: &&str| {
        version.len() < 40
            && version.chars().all(|character| character.is_ascii_alphanumeric() || ".-+".contains(character))
    };
    let version = version.filter(plain).filter(|version| !version.is_empty());
    let missing = || CommandError::failed(format!("{} does not say which version of etcd it is", etcd.display()));
    version.map(|version| format!("v{version}")).ok_or_else(missing)
}
