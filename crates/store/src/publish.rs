//! Publishing a release, and reading the published ones.

use std::path::Path;

use sealock_trust::Digest;
use sealock_trust::dsse::Envelope;
use sealock_trust::format;
use sealock_trust::json::{Limits, jcs};
use sealock_trust::role::KeySet;
use sealock_trust::signer::Signer;

use crate::current::{current_number, read_bounded, release_link};
use crate::durable::{replace_file, replace_link};
use crate::error::StoreError;
use crate::lock::StoreLock;
use crate::operations::Operation;
use crate::release::{PAYLOAD_TYPE, Published, Release};
use crate::staging::Staging;
use crate::store::Store;

impl StoreLock {
    /// Publishes `release`: moves what is staged into the store, then makes the release current in one step.
    ///
    /// Cut off anywhere, the store serves either the old release or the new one, and the same call finishes the work.
    ///
    /// # Errors
    /// [`StoreError::StaleRelease`], [`StoreError::MissingBlob`], [`StoreError::Conflict`]: nothing was changed.
    /// [`StoreError::Sign`], [`StoreError::DiskFull`], [`StoreError::Io`]: the old release is current.
    pub fn publish(
        &self,
        release: Release,
        staging: Option<Staging>,
        signer: &dyn Signer,
    ) -> Result<Published, StoreError> {
        self.check_base(&release)?;
        check_format(&release, &self.layout().release(release.number))?;
        release.check_conflicts()?;
        release.check_limits()?;
        staging.as_ref().map_or(Ok(()), Staging::check_adopted)?;
        check_blobs(self.store(), &release, staging.as_ref())?;
        let file = sign(&release, signer)?;
        let digest = Digest::sha256(&file);

        let number = release.number;
        let manifest = staging.as_ref().map(|staging| staging.manifest().clone());
        self.record(release.issued, Operation::Publish { release: number, digest: digest.clone() })?;
        if let Some(staging) = staging {
            staging.promote(false)?;
        }
        replace_file(&self.layout().release(number), &file, 0o444)?;
        replace_link(&self.layout().current(), &release_link(number))?;
        self.record(release.issued, Operation::Published { release: number })?;
        if let Some(manifest) = manifest {
            self.release_hold(&manifest)?;
        }
        Ok(Published { release, digest })
    }

    fn check_base(&self, release: &Release) -> Result<(), StoreError> {
        let number = current_number(self.layout())?;
        let path = |number| self.layout().release(number);
        let current = number.map(|number| read_bounded(&path(number))).transpose()?.map(|file| Digest::sha256(&file));
        if release.previous == current && release.number == number.map_or(1, |number| number + 1) {
            return Ok(());
        }
        Err(StoreError::StaleRelease { number: release.number, previous: release.previous.clone(), current })
    }
}

impl Store {
    /// The number of the current release, without a look at its signature; none before the first.
    ///
    /// # Errors
    /// [`StoreError::BadCurrent`], [`StoreError::Io`].
    pub fn current_number(&self) -> Result<Option<u64>, StoreError> {
        current_number(&self.layout)
    }

    /// The current release, if there is one, signed by the site's `keys`.
    ///
    /// # Errors
    /// [`StoreError::ReleaseSignature`], [`StoreError::ReleaseFormat`], [`StoreError::BadCurrent`], [`StoreError::Io`].
    pub fn current_release(&self, keys: &KeySet) -> Result<Option<Published>, StoreError> {
        self.current_number()?.map(|number| self.release(number, keys)).transpose()
    }

    /// The release `number`, signed by the site's `keys`.
    ///
    /// # Errors
    /// As [`Store::current_release`].
    pub fn release(&self, number: u64, keys: &KeySet) -> Result<Published, StoreError> {
        let path = self.layout.release(number);
        let file = read_bounded(&path)?;
        let release = parse(&path, &file, keys)?;
        if release.number != number {
            let problem = format!("it calls itself release {}", release.number);
            return Err(StoreError::ReleaseFormat { path, problem });
        }
        Ok(Published { release, digest: Digest::sha256(&file) })
    }

    /// Every published release, newest first.
    ///
    /// # Errors
    /// As [`Store::current_release`].
    pub fn releases(&self, keys: &KeySet) -> Result<Vec<Published>, StoreError> {
        let newest = self.current_number()?.unwrap_or(0);
        (1..=newest).rev().map(|number| self.release(number, keys)).collect()
    }
}

impl Published {
    /// The release whose file is `path`, wherever it lies, signed by the site's `keys`; and the file's bytes.
    ///
    /// # Errors
    /// As [`Store::current_release`].
    pub fn open(path: &Path, keys: &KeySet) -> Result<(Self, Vec<u8>), StoreError> {
        let file = read_bounded(path)?;
        let release = parse(path, &file, keys)?;
        Ok((Self { release, digest: Digest::sha256(&file) }, file))
    }
}

fn sign(release: &Release, signer: &dyn Signer) -> Result<Vec<u8>, StoreError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Sign { number: release.number, source };
    let payload = jcs::to_vec(release).map_err(|error| failed(error.into()))?;
    let envelope = Envelope::sign(PAYLOAD_TYPE, &payload, &[signer]).map_err(|error| failed(error.into()))?;
    envelope.to_json().map_err(|error| failed(error.into()))
}

fn parse(path: &Path, file: &[u8], keys: &KeySet) -> Result<Release, StoreError> {
    let malformed = |problem: String| StoreError::ReleaseFormat { path: path.to_owned(), problem };
    let envelope = Envelope::from_json(file).map_err(|error| malformed(error.to_string()))?;
    let payload = envelope
        .verify(PAYLOAD_TYPE, keys)
        .map_err(|error| StoreError::ReleaseSignature { path: path.to_owned(), source: error })?;
    let unknown = |source| StoreError::UnknownFormat { path: path.to_owned(), source };
    let release = format::read(payload, &Limits::MANIFEST, format::RELEASE, |release: &Release| &release.format);
    let release = release.map_err(|error| error.either(|error| malformed(error.to_string()), unknown))?;
    check_format(&release, path)?;
    Ok(release)
}

fn check_format(release: &Release, path: &Path) -> Result<(), StoreError> {
    let unknown = |source| StoreError::UnknownFormat { path: path.to_owned(), source };
    format::RELEASE.check(&release.format).map_err(unknown)?;
    let malformed = |problem: &str| StoreError::ReleaseFormat { path: path.to_owned(), problem: problem.to_owned() };
    release.problem().map_or(Ok(()), |problem| Err(malformed(problem)))
}

fn check_blobs(store: &Store, release: &Release, staging: Option<&Staging>) -> Result<(), StoreError> {
    for reference in &release.references {
        let there = match staging {
            Some(staging) => staging.would_provide(&reference.digest)?,
            None => store.has_blob(&reference.digest)?,
        };
        if !there {
            let (name, digest) = (reference.name.clone(), reference.digest.clone());
            return Err(StoreError::MissingBlob { release: release.number, name, digest });
        }
    }
    Ok(())
}
