//! A backup of a cluster: its table of contents, and what is encrypted behind it.

use std::io::Read;
use std::path::Path;

use sealock_trust::Digest;
use sealock_trust::site::{SiteKeys, SiteRoot};

use super::container::{Container, Draft};
use super::manifest::{Content, Manifest};
use super::whole::Whole;
use super::{BackupError, Identities, payload};

impl Draft {
    /// Signs `manifest`, whose payload is [`Draft::payload`], and gives the file its name. Durable when it returns; the digest is that
    /// of the signed table, and names the backup.
    ///
    /// # Errors
    /// The site's key does not sign, or the file cannot be written.
    pub fn finish(self, manifest: &Manifest, keys: &SiteKeys) -> Result<Digest, BackupError> {
        self.finish_with(&manifest.sign(keys)?)
    }
}

/// A backup that was looked at: its site has signed it, and the file is what was signed.
#[derive(Debug)]
pub struct Backup {
    container: Container,
    manifest: Manifest,
}

impl Backup {
    /// Reads the file at `path`, all of it. What is encrypted stays so.
    ///
    /// # Errors
    /// It is not `site`'s, is damaged, or is no backup.
    pub fn open(path: &Path, site: &SiteRoot) -> Result<Self, BackupError> {
        Self::of(&mut Whole::open(path)?, site)
    }

    /// The same of a file that is open.
    pub(super) fn of(whole: &mut Whole, site: &SiteRoot) -> Result<Self, BackupError> {
        let (manifest, container) = Container::of(whole, |envelope| {
            let manifest = Manifest::open(envelope, site)?;
            manifest.state.check()?;
            let payload = manifest.payload.clone();
            Ok((manifest, payload))
        })?;
        Ok(Self { container, manifest })
    }

    /// Its table of contents.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The digest of its signed table of contents: what names it.
    pub fn digest(&self) -> &Digest {
        self.container.digest()
    }

    /// Gives each file of the content to `take`, opened with `identities`.
    ///
    /// # Errors
    /// No identity opens it, or it does not hold what the table of contents says.
    pub fn read(
        &self,
        identities: &Identities,
        take: impl FnMut(&Content, &mut dyn Read) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        payload::read(&self.manifest.state.contents, self.decrypted(identities)?, take)
    }

    /// The content, opened with `identities`: a tar.
    ///
    /// # Errors
    /// No identity opens it.
    pub fn decrypted(&self, identities: &Identities) -> Result<impl Read + Send + use<>, BackupError> {
        self.container.decrypted(identities)
    }
}
