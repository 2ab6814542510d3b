//! What a machine is prepared from: flags that `prepare` and `upgrade` share.

use std::net::IpAddr;
use std::path::PathBuf;

use sealock_cluster::machine::{MachineError, Supply};
use sealock_node::host::Host;
use sealock_trust::Digest;

use crate::error::Result;
use crate::files;

#[derive(Debug, clap::Args)]
pub struct SupplyArgs {
    /// A copy of the site's store to fetch from, like one on a USB stick [default: the site registry]
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// Where the site registry is, if this machine reaches it at another address than the site root says
    #[arg(long, value_name = "ADDRESS")]
    registry_address: Option<IpAddr>,
    /// The site root, as it was brought by hand
    #[arg(long, value_name = "FILE")]
    site_root: PathBuf,
    /// The digest of the site root, as `sealock site show` prints it at the station; needed while this machine knows no site yet
    #[arg(long, value_name = "DIGEST")]
    site_root_digest: Option<Digest>,
    /// The signed release [default: the current one of --from]
    #[arg(long, value_name = "FILE", required_unless_present = "from")]
    release: Option<PathBuf>,
}

/// No site root is near this long.
const MAX_SITE_ROOT: u64 = 1 << 20;

impl SupplyArgs {
    /// # Errors
    /// The site root is none, or the release is not signed by the site.
    pub fn open(&self) -> Result<Supply> {
        let site_root = files::read_carried(&self.site_root, MAX_SITE_ROOT)?;
        let mut supply = Supply::open(&site_root, self.release.as_deref(), self.from.as_deref())?;
        if let Some(address) = self.registry_address {
            supply.registry.address = address.to_string();
        }
        Ok(supply)
    }

    /// Whether the site root is the site's own.
    ///
    /// # Errors
    /// It is another one; or nothing tells.
    pub fn check_site(&self, supply: &Supply, host: &dyn Host) -> std::result::Result<(), MachineError> {
        supply.check_site(host, self.site_root_digest.as_ref())
    }
}
