//! etcd's programs: from a folder that a person names; out of a release that was carried, or is served, and that the site has signed; or from
//! the release of the station that this machine is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealock_cluster::etcd::machine::Program;
use sealock_cluster::etcd::restore;
use sealock_cluster::machine::Supply;
use sealock_cluster::release::{self, ReleaseView};
use sealock_cluster::revoked::Revoked;
use sealock_cluster::tools::Toolbox;
use sealock_node::{Local, host};
use sealock_store::{Published, Store};
use sealock_trust::Digest;
use tempfile::TempDir;

use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;
use crate::station::Station;

const NAMES: [&str; 3] = ["etcd", "etcdctl", "etcdutl"];
/// In the archive that etcd itself publishes.
const ARCHIVED: [(&str, release::Program); 3] =
    [("etcd", release::Program::Etcd), ("etcdctl", release::Program::Etcdctl), ("etcdutl", release::Program::Etcdutl)];

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

/// The flags that say where etcd's programs are.
#[derive(Debug, clap::Args)]
pub struct ProgramArgs {
    /// The folder with etcd, etcdctl and etcdutl, or etcd itself [default: those that are installed, for a restore; else of a release]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["from", "site_root"])]
    binary: Option<PathBuf>,
    /// A copy of the site's store to take the programs from, like one on a USB stick [default: the site registry]
    #[arg(long, value_name = "FOLDER", requires = "site_root")]
    from: Option<PathBuf>,
    /// The site root, as it was brought by hand: the programs come from a release that this site has signed [default: the station's]
    #[arg(long, value_name = "FILE")]
    site_root: Option<PathBuf>,
    /// The digest of the site root, as `sealock site show` prints it at the station; needed while this machine knows no site yet
    #[arg(long, value_name = "DIGEST", requires = "site_root")]
    site_root_digest: Option<Digest>,
    /// The signed release [default: the current one of --from]
    #[arg(long, value_name = "FILE", requires = "site_root")]
    release: Option<PathBuf>,
}

impl ProgramArgs {
    /// Whether it was said where they are.
    pub fn are_named(&self) -> bool {
        self.binary.is_some() || self.site_root.is_some()
    }

    /// The programs; where nothing was said, those of the station's release.
    ///
    /// # Errors
    /// They are not there, or not what the release says.
    pub fn find(&self, context: &Context) -> Result<Programs> {
        match (&self.binary, &self.site_root) {
            (Some(path), _) => Programs::at(path),
            (None, Some(site_root)) => self.of_supply(site_root, context),
            (None, None) => Programs::of_release(context),
        }
    }

    /// Those of a release that the site of `site_root` signed, verified by their digests.
    fn of_supply(&self, site_root: &Path, context: &Context) -> Result<Programs> {
        if self.from.is_none() && self.release.is_none() {
            return Err(CommandError::usage("which release the programs come from must be said")
                .hint("Give --from FOLDER, a copy of the site's store, or --release FILE for the site registry."));
        }
        let site_root = files::read_site_root(site_root)?;
        let supply = Supply::open(&site_root, self.release.as_deref(), self.from.as_deref())?;
        supply.check_site(&Local::new(), self.site_root_digest.as_ref())?;
        let mut taken = Taken::new(context)?;
        if let Some(folder) = &self.from {
            let store = Store::open(folder)?;
            taken.out_of(&store, &supply.release, &Revoked::default())?;
            return taken.programs();
        }
        for (name, program) in ARCHIVED {
            let place = taken.folder.path().join(name);
            supply.program(program, None, &place)?;
            taken.found.push((name, place));
        }
        taken.programs()
    }
}

/// Programs of a release, in a folder that goes with them.
struct Taken {
    folder: TempDir,
    found: Vec<(&'static str, PathBuf)>,
}

impl Taken {
    fn new(context: &Context) -> Result<Self> {
        let state = context.paths.state();
        let made =
            std::fs::create_dir_all(state).and_then(|()| tempfile::Builder::new().prefix("etcd-").tempdir_in(state));
        let folder = made.map_err(|error| CommandError::from(error).context("making a folder for etcd's programs"))?;
        Ok(Self { folder, found: Vec::new() })
    }

    /// Those that a store has.
    fn out_of(&mut self, store: &Store, release: &Published, revoked: &Revoked) -> Result<()> {
        let toolbox = Toolbox::new(store, ReleaseView::new(release), revoked, self.folder.path().to_owned());
        for (name, made) in toolbox.newest_etcd()? {
            let place = self.folder.path().join(name);
            let failed = |error| CommandError::from(error).context(format!("writing {}", place.display()));
            std::fs::rename(made, &place).map_err(failed)?;
            self.found.push((name, place));
        }
        Ok(())
    }

    fn programs(self) -> Result<Programs> {
        let version = version_of(&self.folder.path().join("etcd"))?;
        Ok(Programs { folder: self.folder.path().to_owned(), found: self.found, version, _taken: Some(self.folder) })
    }
}

impl Programs {
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
            return Err(CommandError::usage("where etcd's programs are must be said").hint(
                "Give --binary DIR, or --site-root FILE with --from FOLDER for a copy of the site's store; only on a station nothing has to be said.",
            ));
        };
        let release = station.current_release()?;
        let revoked: Revoked = revocations::facts(&station, &release, context)?;
        let mut taken = Taken::new(context)?;
        taken.out_of(&station.store, &release, &revoked)?;
        taken.programs()
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
