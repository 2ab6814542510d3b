//! What a person says about a new member.

use std::net::IpAddr;

use sealock_cluster::etcd::machine::{Settings, Supervisor};

use super::programs::{ProgramArgs, Programs};
use super::target::{DATA, HereArgs};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;

const MANIFESTS: &str = "/etc/kubernetes/manifests";

/// Who starts etcd, and starts it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RunBy {
    /// systemd, by etcd.service
    Systemd,
    /// kubelet, by a static pod's manifest
    StaticPod,
    /// Somebody else: the command line is shown, and waited for
    Other,
}

/// The flags that `init` and `join` share.
#[derive(Debug, clap::Args)]
pub struct MemberArgs {
    #[command(flatten)]
    pub here: HereArgs,
    /// The member's name, which no other has [default: this machine's host name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The address at which peers and clients reach this member
    #[arg(long, value_name = "IP")]
    address: IpAddr,
    /// The port for clients
    #[arg(long, value_name = "PORT", default_value_t = 2379)]
    client_port: u16,
    /// The port for peers
    #[arg(long, value_name = "PORT", default_value_t = 2380)]
    peer_port: u16,
    /// The port on loopback for health and metrics
    #[arg(long, value_name = "PORT", default_value_t = 2381)]
    metrics_port: u16,
    /// A further host name or address for the certificates
    #[arg(long = "san", value_name = "NAME")]
    names: Vec<String>,
    /// The data directory
    #[arg(long, value_name = "DIR", default_value = DATA)]
    data_dir: String,
    /// Certificates and keys; `ca.crt` and `ca.key` in it are used where they are
    #[arg(long, value_name = "DIR", default_value = "/etc/etcd/pki")]
    certs_dir: String,
    /// How many days certificates hold
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    cert_days: u32,
    /// Where the programs are linked
    #[arg(long, value_name = "DIR", default_value = "/usr/local/bin")]
    install_dir: String,
    #[command(flatten)]
    programs: ProgramArgs,
    /// Who starts etcd
    #[arg(long, value_enum, default_value = "systemd")]
    run_by: RunBy,
    /// The image of the static pod
    #[arg(long, value_name = "IMAGE", required_if_eq("run_by", "static-pod"))]
    image: Option<String>,
    /// kubelet's folder of manifests
    #[arg(long, value_name = "DIR", default_value = MANIFESTS)]
    manifest_dir: String,
    /// Bytes that the database may grow to [default: etcd's own, 2 GiB]
    #[arg(long, value_name = "BYTES")]
    quota: Option<u64>,
    /// Move data that is in the way aside, with the date in its name
    #[arg(long)]
    pub set_data_aside: bool,
}

impl MemberArgs {
    /// The programs that the member needs, where it needs any or one is asked for.
    ///
    /// # Errors
    /// They are not found.
    pub fn programs(&self, context: &Context) -> Result<Option<Programs>> {
        if self.run_by == RunBy::StaticPod && !self.programs.are_named() {
            return Ok(None);
        }
        self.programs.find(context).map(Some)
    }

    /// The settings, with `token` for a new cluster.
    ///
    /// # Errors
    /// A path that is not absolute; no host name.
    pub fn settings(&self, programs: Option<&Programs>, token: &str) -> Result<Settings> {
        for path in [&self.data_dir, &self.certs_dir, &self.install_dir, &self.here.etcd_config, &self.manifest_dir] {
            if !path.starts_with('/') {
                return Err(CommandError::usage(format!("{path} is no absolute path")));
            }
        }
        let supervisor = match (self.run_by, &self.image) {
            (RunBy::Systemd, _) => Supervisor::Systemd,
            (RunBy::StaticPod, Some(image)) => {
                Supervisor::StaticPod { image: image.clone(), manifests: self.manifest_dir.clone() }
            }
            (RunBy::StaticPod, None) => return Err(CommandError::usage("a static pod needs --image")),
            (RunBy::Other, _) => Supervisor::Other,
        };
        let installed = programs.filter(|_| self.run_by != RunBy::StaticPod);
        Ok(Settings {
            name: self.name()?,
            address: self.address,
            client_port: self.client_port,
            peer_port: self.peer_port,
            metrics_port: self.metrics_port,
            data: self.data_dir.clone(),
            config: self.here.etcd_config.clone(),
            pki: self.certs_dir.clone(),
            bin: self.install_dir.clone(),
            supervisor,
            version: programs.map(|programs| programs.version.clone()).unwrap_or_default(),
            programs: installed.map(Programs::all).transpose()?.unwrap_or_default(),
            names: self.names.clone(),
            quota: self.quota,
            token: token.to_owned(),
            days: self.cert_days,
        })
    }

    fn name(&self) -> Result<String> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => files::read_text("/proc/sys/kernel/hostname".as_ref())?.trim().to_owned(),
        };
        let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_');
        if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
            let problem = format!("{name:?} is no name for a member: letters, digits, `-`, `.` and `_`, at most 63");
            return Err(CommandError::usage(problem).hint("Give one: --name."));
        }
        Ok(name)
    }
}
