//! Which cluster, and what the station brings to it.

use std::path::{Path, PathBuf};

use sealock_cluster::Cluster;
use sealock_cluster::execute::{Binary, SshSettings};
use sealock_cluster::operator::{Operator, Planned};
use sealock_cluster::revoked::Revoked;
use sealock_cluster::spec::LoadError;
use sealock_store::Published;
use sealock_trust::site::{SiteKeys, SiteRoot};
use tempfile::TempDir;

use crate::commands::trust::revocations;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::Passphrases;
use crate::station::Station;
use crate::{files, identity, mirrors};

/// The flags that name a cluster.
#[derive(Debug, clap::Args)]
pub struct TargetArgs {
    /// The cluster spec (kind: Cluster)
    #[arg(short, long, value_name = "FILE", default_value = "cluster.yaml")]
    pub file: PathBuf,
    /// The private key for SSH, where the spec names none [default: what ssh takes by itself]
    #[arg(short, long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

/// A cluster and the station it belongs to.
#[derive(Debug)]
pub struct Target {
    pub cluster: Cluster,
    station: Station,
    release: Published,
    revoked: Revoked,
    trust_mirror: Option<Vec<u8>>,
    binary: Binary,
    ssh: SshSettings,
    folder: PathBuf,
    /// Holds the sockets of SSH for as long as the command runs.
    _runtime: TempDir,
}

impl Target {
    /// # Errors
    /// The spec is not understood, this is no station, or it has no release yet.
    pub fn open(args: &TargetArgs, context: &Context) -> Result<Self> {
        let cluster = load(&args.file)?;
        let station = Station::open(context)?;
        let release = station.current_release()?;
        let revoked = revocations::facts(&station, &release, context)?;
        let trust_mirror = station.directory.signed_generation()?;
        let (runtime, ssh) = ssh(args)?;
        let binary = Binary::read(Path::new("/proc/self/exe"), identity::version())?;
        let folder = context.paths.cluster(cluster.name().as_str());
        Ok(Self { cluster, station, release, revoked, trust_mirror, binary, ssh, folder, _runtime: runtime })
    }

    /// What works on the cluster.
    pub fn operator(&self) -> Operator<'_> {
        Operator {
            store: &self.station.store,
            release: &self.release,
            revoked: self.revoked.clone(),
            trust_mirror: self.trust_mirror.as_deref(),
            site: &self.station.site,
            binary: self.binary.clone(),
            ssh: self.ssh.clone(),
            folder: self.folder.clone(),
        }
    }

    /// The station it belongs to.
    pub fn station(&self) -> &Station {
        &self.station
    }

    /// Who the site is.
    pub fn site(&self) -> &SiteRoot {
        &self.station.site
    }

    /// The site's own key, to sign with.
    ///
    /// # Errors
    /// As [`Station::keys`].
    pub fn site_keys(&self, context: &Context, passphrases: &Passphrases<'_>) -> Result<SiteKeys> {
        self.station.keys(context, passphrases)
    }

    /// Holds the trust state against what the hosts keep of it.
    ///
    /// # Errors
    /// `STATE_REGRESSION`.
    pub fn check_mirrors(&self, planned: &Planned, context: &Context) -> Result<()> {
        mirrors::check(&self.station, context)?;
        mirrors::check_nodes(&self.station, &planned.inventory, context)
    }

    /// What works on the cluster, and knows what was revoked while somebody reviewed a plan.
    ///
    /// # Errors
    /// Store, trust directory or plans cannot be read.
    pub fn operator_now(&self, context: &Context) -> Result<Operator<'_>> {
        let revoked = revocations::facts(&self.station, &self.release, context)?;
        Ok(Operator { revoked, ..self.operator() })
    }
}

/// How hosts are reached, and the folder for the sockets of SSH, whose paths must be short.
///
/// # Errors
/// The folder cannot be made.
pub fn ssh(args: &TargetArgs) -> Result<(TempDir, SshSettings)> {
    let folder = tempfile::Builder::new().prefix("sealock-").tempdir();
    let folder =
        folder.map_err(|error| CommandError::from(error).context("making a temporary folder for SSH's sockets"))?;
    let mut ssh = SshSettings::new(folder.path().to_owned());
    ssh.identity_file.clone_from(&args.identity);
    Ok((folder, ssh))
}

/// # Errors
/// The spec cannot be read, or is not understood.
pub fn load(file: &Path) -> Result<Cluster> {
    let text = files::read_text(file).map_err(|error| error.hint("`--file FILE` names the cluster spec."))?;
    Cluster::load(file, &text).map_err(misread)
}

/// A spec that is not understood, with its place first.
pub fn misread(error: LoadError) -> CommandError {
    match error {
        LoadError::Document(document) => document.into(),
        other => other.into(),
    }
}
