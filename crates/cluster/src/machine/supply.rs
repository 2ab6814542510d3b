//! What a machine is prepared from: the site root, a release that the site signed, and where its bytes are.

use std::path::{Path, PathBuf};

use sealock_node::admission;
use sealock_node::host::Host;
use sealock_node::pull::Client;
use sealock_node::request::Registry;
use sealock_node::source::{Source, StoreCopy};
use sealock_store::Published;
use sealock_trust::Digest;
use sealock_trust::site::SiteRoot;

use super::error::MachineError;

/// What a machine is prepared from. The release is believed because the site has signed it; the bytes are believed by their digests.
#[derive(Debug)]
pub struct Supply {
    /// Who the site is.
    pub site: SiteRoot,
    /// What it serves.
    pub release: Published,
    /// The release's file.
    pub file: Vec<u8>,
    /// A copy of the site's store; without it the site registry is asked.
    pub store: Option<PathBuf>,
    /// Where the site registry is.
    pub registry: Registry,
}

impl Supply {
    /// What the site of `site_root` signed: the release in the file `release`, or the current one of `store`.
    ///
    /// # Errors
    /// The site root is none, or the release is not signed by the site.
    pub fn open(site_root: &[u8], release: Option<&Path>, store: Option<&Path>) -> Result<Self, MachineError> {
        let site = SiteRoot::open(site_root)?;
        let path = match (release, store) {
            (Some(path), _) => path.to_owned(),
            (None, Some(folder)) => {
                // A link in the store itself; a copy may have made a file of it.
                let current = folder.join("current");
                if !current.exists() {
                    return Err(MachineError::NoRelease(folder.to_owned()));
                }
                current
            }
            (None, None) => return Err(MachineError::NoRelease(PathBuf::from("(none)"))),
        };
        let (release, file) = Published::open(&path, site.site_keys())?;
        let registry = registry_of(&site);
        Ok(Self { site, release, file, store: store.map(Path::to_owned), registry })
    }

    /// Makes sure that the site root is the site's own, before anything that it vouches for is used: by the one that the machine keeps, or
    /// where it keeps none by `named`, the digest that was written down. Nothing is changed.
    ///
    /// # Errors
    /// It is another one; or nothing tells.
    pub fn check_site(&self, host: &dyn Host, named: Option<&Digest>) -> Result<(), MachineError> {
        let found = self.site.fingerprint();
        if let Some(named) = named.filter(|named| **named != found) {
            return Err(MachineError::OtherSiteRoot { named: named.clone(), found });
        }
        if !admission::is_known(host, self.site.as_bytes())? && named.is_none() {
            return Err(MachineError::UnnamedSiteRoot { site: self.site.id().to_string(), found });
        }
        Ok(())
    }

    /// Where bytes come from.
    ///
    /// # Errors
    /// There is no store, or the registry's address or CA is none.
    pub fn source(&self) -> Result<Source, MachineError> {
        Ok(match &self.store {
            Some(folder) => Source::Store(StoreCopy::open(folder)?),
            None => Source::Registry(Client::new(&self.registry)?),
        })
    }
}

/// The site registry as nodes reach it, by the site root.
pub(crate) fn registry_of(site: &SiteRoot) -> Registry {
    let registry = site.registry();
    let address = registry.address.parse::<std::net::SocketAddr>();
    let address = address.map_or_else(|_| registry.address.clone(), |address| address.ip().to_string());
    Registry { name: registry.name.clone(), address, ca: registry.ca.clone() }
}
