//! What a person named as one side: found, read, and verified where it can be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use jiff::Timestamp;
use sealock_bundle::diff::{Side, Trust};
use sealock_bundle::verify::{self, Against, VerifiedBundle};
use sealock_bundle::{Archive, Lock, Manifest};
use sealock_store::Published;
use sealock_trust::Digest;
use sealock_trust::reason::Code;
use sealock_trust::revocation::{RevocationList, VerifiedList};
use sealock_trust::tuf::{MetadataSet, Rules};

use super::DiffArgs;
use crate::commands::verify::{read_root, stream_of};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;
use crate::{files, time};

/// No lock is near this long.
const MAX_LOCK: u64 = 64 << 20;

/// What bundles are held against.
pub struct Standard {
    root: Option<Vec<u8>>,
    station: Option<Station>,
    now: Timestamp,
    only_read: bool,
}

impl Standard {
    pub fn new(args: &DiffArgs, context: &Context) -> Result<Self> {
        let root = args.root.as_ref().map(|path| read_root(path, args.fingerprint.as_deref(), context)).transpose()?;
        let station = Station::find(context)?;
        Ok(Self { root, station, now: args.at.unwrap_or_else(time::now), only_read: args.unverified })
    }

    /// The root that `archive` is to be verified under; none where there is none at hand.
    fn root_for(&self, archive: &Archive) -> Result<Option<Vec<u8>>> {
        if self.only_read || self.root.is_some() {
            return Ok(self.root.clone());
        }
        let Some(station) = &self.station else { return Ok(None) };
        match station.directory.root_for(&stream_of(archive)?) {
            Ok(root) => Ok(Some(root.bytes)),
            Err(error) if error.code() == Some(Code::NotEnrolled) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// One side with all that can be read of it.
pub enum Loaded {
    Read { archive: Archive, manifest: Box<Manifest>, places: Places },
    Verified { bundle: Box<VerifiedBundle>, places: Places },
    Lock { lock: Box<Lock>, places: Places },
    Release { published: Box<Published>, station: Box<Station> },
}

/// Where each blob stands in the list of its manifest or lock.
type Places = BTreeMap<Digest, usize>;

impl Loaded {
    pub fn load(name: &str, standard: &Standard, context: &Context) -> Result<Self> {
        let loaded = match which_release(name) {
            Some(which) => Self::release(which, context),
            None => Self::file(Path::new(name), standard, context),
        };
        loaded.map_err(|error| error.context(format!("reading {name}")))
    }

    fn release(which: Which, context: &Context) -> Result<Self> {
        let station = Station::open(context)?;
        let published = match which {
            Which::Number(number) => station.store.release(number, station.site.site_keys())?,
            Which::Current => station.current_release()?,
        };
        Ok(Self::Release { published: Box::new(published), station: Box::new(station) })
    }

    fn file(path: &Path, standard: &Standard, context: &Context) -> Result<Self> {
        if is_lock(path)? { Self::lock(path) } else { Self::bundle(path, standard, context) }
    }

    fn lock(path: &Path) -> Result<Self> {
        let lock = Lock::from_bytes(&files::read(path, MAX_LOCK)?)?;
        let places = places(lock.blobs.iter().map(|blob| &blob.digest));
        Ok(Self::Lock { lock: Box::new(lock), places })
    }

    fn bundle(path: &Path, standard: &Standard, context: &Context) -> Result<Self> {
        let archive = Archive::open(path)?;
        let Some(root) = standard.root_for(&archive)? else {
            let manifest = archive.unverified_manifest()?;
            let places = places(manifest.blobs.iter().map(|blob| &blob.digest));
            return Ok(Self::Read { archive, manifest: Box::new(manifest), places });
        };
        // Neither as the next of its stream nor for this site: what was accepted long ago is compared too.
        let against = Against {
            root: &root,
            now: standard.now,
            state: None,
            accept_gap: None,
            recipient: None,
            rules: Rules::default(),
        };
        let header = verify::header(archive, &against)?;
        let progress = context.ui.progress();
        progress.begin(&format!("checking {}", path.display()), header.payload_size());
        let verified = header.check_payload(&mut |done| progress.at(done));
        progress.end();
        let bundle = Box::new(verified?);
        let places = places(bundle.header().manifest().blobs.iter().map(|blob| &blob.digest));
        Ok(Self::Verified { bundle, places })
    }

    pub fn side(&self, label: &str) -> Result<Side> {
        Ok(match self {
            Self::Read { archive, manifest, .. } => {
                let signers = match archive.metadata() {
                    [] => Vec::new(),
                    files => MetadataSet::from_files(files.iter().cloned())?.claimed_signers()?,
                };
                let signers: Vec<String> = signers.iter().map(ToString::to_string).collect();
                let list = archive.revocations().map(RevocationList::read).transpose()?;
                let digest = archive.manifest_digest();
                Side::of_bundle(label, manifest, &digest, Trust::Read, &signers).carrying(list.as_ref())
            }
            Self::Verified { bundle, .. } => {
                let header = bundle.header();
                let signers: Vec<String> = header.signers().iter().map(ToString::to_string).collect();
                let list = header.revocations().map(VerifiedList::list);
                Side::of_bundle(label, header.manifest(), header.digest(), Trust::Verified, &signers).carrying(list)
            }
            Self::Lock { lock, .. } => Side::of_lock(label, lock)?,
            Self::Release { published, .. } => Side::of_release(published),
        })
    }

    /// The blob, where this side has it and it has at most `limit` bytes.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Read { archive, manifest, places } => small(archive, manifest, places, digest, limit),
            Self::Verified { bundle, places } => {
                small(bundle.header().archive(), bundle.header().manifest(), places, digest, limit)
            }
            Self::Lock { lock, places } => {
                let blob = places.get(digest).and_then(|at| lock.blobs.get(*at)).filter(|blob| blob.size <= limit);
                Ok(blob.and_then(sealock_bundle::lock::LockedBlob::generated_content))
            }
            Self::Release { station, .. } => of_store(station, digest, limit),
        }
    }
}

fn places<'a>(digests: impl Iterator<Item = &'a Digest>) -> Places {
    digests.enumerate().map(|(at, digest)| (digest.clone(), at)).collect()
}

fn small(
    archive: &Archive,
    manifest: &Manifest,
    places: &Places,
    digest: &Digest,
    limit: u64,
) -> Result<Option<Vec<u8>>> {
    let Some(blob) = places.get(digest).and_then(|at| manifest.blobs.get(*at)) else { return Ok(None) };
    Ok(archive.small_blob(blob, limit)?)
}

fn of_store(station: &Station, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some(blob) = station.store.open_blob(digest)?.filter(|blob| blob.size() <= limit) else { return Ok(None) };
    let mut content = Vec::new();
    blob.take(limit).read_to_end(&mut content)?;
    let actual = Digest::of(digest.algorithm(), &content);
    if actual != *digest {
        return Err(CommandError::refused(Code::Digest, format!("{digest} is damaged in the store: it is {actual}")));
    }
    Ok(Some(content))
}

/// Which release a person means.
#[derive(Clone, Copy)]
enum Which {
    Current,
    Number(u64),
}

/// `current`, or a number. A file of such a name is reached as `./3`.
fn which_release(name: &str) -> Option<Which> {
    if name == "current" { Some(Which::Current) } else { name.parse().ok().map(Which::Number) }
}

/// A lock begins as JSON does, and a bundle with the name of its first entry.
fn is_lock(path: &Path) -> Result<bool> {
    if !path.metadata()?.is_file() {
        return Ok(false);
    }
    let mut first = [0];
    let read = File::open(path)?.read(&mut first)?;
    Ok(read == 1 && first == *b"{")
}
