//! Which member, and how its cluster is reached.

use std::path::PathBuf;

use sealock_cluster::etcd::machine::{self, Known, Observed};
use sealock_cluster::etcd::{Credentials, Endpoint, Endpoints, Etcd, external};
use sealock_node::Local;

use crate::error::{CommandError, Result};
use crate::files;

/// Where etcd keeps its data where nothing else is said.
pub const DATA: &str = "/var/lib/etcd";

/// Where etcd's configuration is where nothing else is said.
pub const CONFIG: &str = "/etc/etcd/etcd.yaml";

/// The flag that names this machine's member.
#[derive(Debug, clap::Args)]
pub struct HereArgs {
    /// etcd's configuration on this machine, which says all else
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub etcd_config: String,
}

/// How a cluster is reached.
#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    #[command(flatten)]
    pub here: HereArgs,
    /// Where a member answers, like 10.0.0.1:2379; may be given several times [default: this machine's member]
    #[arg(long = "endpoint", value_name = "URL")]
    endpoints: Vec<String>,
    /// The authority that issued the members' certificates [default: this machine's]
    #[arg(long, value_name = "FILE", requires = "cert")]
    cacert: Option<PathBuf>,
    /// The certificate to show
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", requires = "cacert")]
    key: Option<PathBuf>,
    /// The etcd that the API server of this control plane host writes to, whoever runs it
    #[arg(long, hide = true, conflicts_with_all = ["endpoints", "cacert"])]
    of_control_plane: bool,
}

impl HereArgs {
    /// What stands on this machine.
    ///
    /// # Errors
    /// The configuration file is not understood.
    pub fn observe(&self) -> Result<Observed> {
        Ok(machine::observe(&Local::new(), &self.etcd_config, DATA)?)
    }

    /// The same, where there must be a member.
    ///
    /// # Errors
    /// There is none.
    pub fn known(&self) -> Result<(Observed, Known)> {
        let observed = self.observe()?;
        let missing = || machine::MachineError::NoMember(self.etcd_config.clone());
        let known = observed.known.clone().ok_or_else(missing)?;
        Ok((observed, known))
    }
}

impl ClusterArgs {
    /// The cluster, from the flags, or else from this machine's member.
    ///
    /// # Errors
    /// Neither says how it is reached.
    pub fn etcd(&self) -> Result<Etcd> {
        if self.of_control_plane {
            return Ok(Etcd::new(&external::of_control_plane(&Local::new())?)?);
        }
        let (seeds, credentials) = match self.given()? {
            Some(credentials) if !self.endpoints.is_empty() => (self.seeds()?, Some(credentials)),
            Some(_) => return Err(CommandError::usage("certificates were given, and no --endpoint")),
            None if self.endpoints.iter().any(|endpoint| endpoint.starts_with("http://")) => (self.seeds()?, None),
            None => {
                let (_, known) = self.here.known()?;
                let own = vec![known.client_url.parse()?];
                let seeds = if self.endpoints.is_empty() { own } else { self.seeds()? };
                (seeds, Some(machine::credentials(&Local::new(), &known.pki)?))
            }
        };
        Ok(Etcd::new(&Endpoints { seeds, credentials })?)
    }

    fn seeds(&self) -> Result<Vec<Endpoint>> {
        Ok(self.endpoints.iter().map(|endpoint| endpoint.parse()).collect::<std::result::Result<_, _>>()?)
    }

    fn given(&self) -> Result<Option<Credentials>> {
        let (Some(ca), Some(certificate), Some(key)) = (&self.cacert, &self.cert, &self.key) else { return Ok(None) };
        Ok(Some(Credentials {
            ca: files::read_text(ca)?,
            certificate: files::read_text(certificate)?,
            key: files::read_text(key)?.into(),
        }))
    }
}

/// Now, as it stands in the names of what is set aside.
pub fn date() -> String {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%SZ");
    now.to_string()
}
