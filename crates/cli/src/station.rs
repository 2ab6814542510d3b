//! The station as commands find it: site, trust and store below the state folder.

use sealock_store::{Published, Store};
use sealock_trust::directory::TrustDirectory;
use sealock_trust::site::{SiteKeys, SiteRoot};

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::keys::{self, KeyName, Passphrases};

/// The site's own key below the keys folder: `site.pem`, or `site.uri` where it is in a token.
pub const SITE_KEY: &str = "site";
/// The key under which the site root may be replaced, likewise.
pub const ROOT_KEY: &str = "root";

/// A station that has been initialised.
#[derive(Debug)]
pub struct Station {
    pub directory: TrustDirectory,
    pub site: SiteRoot,
    pub store: Store,
}

impl Station {
    /// The station on this machine.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(context: &Context) -> Result<Self> {
        let found = Self::find(context)?;
        found.ok_or_else(|| missing(context))
    }

    /// The station on this machine, if it is one. Makes nothing.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn find(context: &Context) -> Result<Option<Self>> {
        if !context.paths.trust().exists() {
            return Ok(None);
        }
        let directory = TrustDirectory::open(&context.paths.trust())?;
        let Some(site) = directory.site_root()? else {
            return Ok(None);
        };
        let store = Store::open(&context.paths.store())?;
        Ok(Some(Self { directory, site, store }))
    }

    /// The release that the site serves now, its signature checked.
    ///
    /// # Errors
    /// There is none yet, or it is not the site's.
    pub fn current_release(&self) -> Result<Published> {
        let release = self.store.current_release(self.site.site_keys())?;
        release.ok_or_else(|| {
            CommandError::failed("the site has no release yet").hint("`sealock import BUNDLE` publishes the first one.")
        })
    }

    /// The site's own key, to sign with.
    ///
    /// # Errors
    /// The key cannot be read, or is not the site's.
    pub fn keys(&self, context: &Context, passphrases: &Passphrases<'_>) -> Result<SiteKeys> {
        Ok(SiteKeys::new(self.site.clone(), passphrases.load(&key_name(context, SITE_KEY))?)?)
    }
}

/// The name of one of the station's keys: [`SITE_KEY`] or [`ROOT_KEY`].
pub fn key_name(context: &Context, stem: &str) -> KeyName {
    keys::usual(&context.paths.keys(), stem)
}

fn missing(context: &Context) -> CommandError {
    let state = &context.settings.state_dir;
    CommandError::failed(format!("this machine is not a station: there is no site in {}", state.value.display()))
        .hint("`sealock site init` makes it one.")
        .hint(format!("The folder comes from: {}.", state.origin))
}
