//! A backup of a station as a file.

use std::io::Read;
use std::path::Path;

use sealock_trust::Digest;
use sealock_trust::site::{SiteKeys, SiteRoot};

use super::manifest::StationManifest;
use super::place::lay;
use super::unpack::{self, Entry};
use crate::backup::container::{Container, Draft};
use crate::backup::whole::Whole;
use crate::backup::{BackupError, Identities};

impl Draft {
    /// Signs `manifest`, the table of contents of a station's backup, whose payload is [`Draft::payload`], and gives the file its name. Durable
    /// when it returns; the digest is that of the signed table, and names the backup.
    ///
    /// # Errors
    /// The site's key does not sign, or the file cannot be written.
    pub fn finish_station(self, manifest: &StationManifest, keys: &SiteKeys) -> Result<Digest, BackupError> {
        let envelope = manifest.sign(keys)?;
        // What is longer than a reader takes is found out now.
        StationManifest::open(&envelope, keys.root())?;
        self.finish_with(&envelope)
    }
}

/// A backup of a station that was looked at: the file is what its table of contents says.
#[derive(Debug)]
pub struct StationBackup {
    container: Container,
    manifest: StationManifest,
    envelope: Vec<u8>,
}

impl StationBackup {
    /// Reads the file at `path`, all of it. What is encrypted stays so.
    ///
    /// # Errors
    /// It is not `site`'s, is damaged, or is no backup of a station.
    pub fn open(path: &Path, site: &SiteRoot) -> Result<Self, BackupError> {
        Self::of(&mut Whole::open(path)?, site)
    }

    /// The same of a file that is open.
    pub(in crate::backup) fn of(whole: &mut Whole, site: &SiteRoot) -> Result<Self, BackupError> {
        Self::judged(whole, |envelope| StationManifest::open(envelope, site))
    }

    /// Reads the file at `path`, which is known by its digest, on a machine that knows no site. Who has signed it is found out by
    /// [`StationBackup::check_signature`], once the site root that is in it is at hand.
    ///
    /// # Errors
    /// It has another digest, is damaged, or is no backup of a station.
    pub fn named(path: &Path, digest: &Digest) -> Result<Self, BackupError> {
        Self::judged(&mut Whole::open(path)?, |envelope| {
            let found = Digest::sha256(envelope);
            if found != *digest {
                return Err(BackupError::Digest { what: "the backup".into(), found, wanted: digest.clone() });
            }
            StationManifest::unverified(envelope)
        })
    }

    fn judged(
        whole: &mut Whole,
        read: impl FnOnce(&[u8]) -> Result<StationManifest, BackupError>,
    ) -> Result<Self, BackupError> {
        let ((manifest, envelope), container) = Container::of(whole, |envelope| {
            let manifest = read(envelope)?;
            let payload = manifest.payload.clone();
            Ok(((manifest, envelope.to_vec()), payload))
        })?;
        Ok(Self { container, manifest, envelope })
    }

    /// Whether `site` has signed it.
    ///
    /// # Errors
    /// It has not.
    pub fn check_signature(&self, site: &SiteRoot) -> Result<(), BackupError> {
        StationManifest::open(&self.envelope, site).map(drop)
    }

    /// Its table of contents.
    pub fn manifest(&self) -> &StationManifest {
        &self.manifest
    }

    /// The digest of its signed table of contents: what names it.
    pub fn digest(&self) -> &Digest {
        self.container.digest()
    }

    /// Opens it with `identities`, and reads all of it.
    ///
    /// # Errors
    /// No identity opens it, or it holds what no backup of a station holds.
    pub fn read(&self, identities: &Identities) -> Result<(), BackupError> {
        self.each(identities, |_, _| Ok(()))
    }

    /// Opens it with `identities`, lays it out in `folder` and judges it there, as a restore does. The folder is the caller's to remove.
    ///
    /// # Errors
    /// No identity opens it; it is not what its site has signed; it does not fit this machine.
    pub(in crate::backup) fn rehearse(&self, identities: &Identities, folder: &Path) -> Result<(), BackupError> {
        lay(self, identities, &folder.join("station"))
    }

    /// Gives each file of the content to `take`, opened with `identities`.
    pub(super) fn each(
        &self,
        identities: &Identities,
        take: impl FnMut(&Entry, &mut dyn Read) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        unpack::each(&self.manifest, self.container.decrypted(identities)?, take)
    }
}
