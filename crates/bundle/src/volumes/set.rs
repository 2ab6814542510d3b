//! Finds the volumes of one set among files and folders: by their content, whatever they are called.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::VolumeError;
use super::geometry::{BLOCK, Place};
use super::index::{BEGINNING, BlockDigest, INDEX_SUFFIX, Index, IndexError, MAX_INDEX, block_digest};
use super::tally::new_block;
use crate::archive::{Archive, ArchiveError, IoContext, Medium, open_regular};

/// Files of one folder at most.
const MAX_FILES: usize = 10_000;
/// Blocks of a file that are looked at to recognise it, spread over all of it.
const LOOKS: u64 = 64;

/// The volumes of one set that are there. Nothing in them is believed.
#[derive(Debug)]
pub struct VolumeSet {
    index: Index,
    folder: PathBuf,
    found: Vec<Option<Found>>,
    ignored: Vec<PathBuf>,
}

/// A file that holds a volume, or what is left of it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) length: u64,
}

/// A file that was given, or found in a folder that was given.
struct Candidate {
    found: Found,
    /// It was named by the person, and not only found.
    is_named: bool,
}

impl VolumeSet {
    /// Finds the set whose index and volumes are among `paths`: files, or folders that are looked through (not below).
    ///
    /// # Errors
    /// [`VolumeError::NoIndex`], [`VolumeError::TwoSets`], [`VolumeError::Foreign`], [`VolumeError::Duplicate`].
    pub fn find(paths: &[PathBuf]) -> Result<Self, VolumeError> {
        let mut candidates = gather(paths)?;
        let mut indexes = take_indexes(&mut candidates)?;
        if indexes.is_empty() {
            indexes = take_indexes(&mut beside(&candidates)?)?;
        } else if candidates.is_empty() {
            let folders: Vec<PathBuf> = indexes.iter().map(|(path, _)| folder_of(path)).collect();
            candidates = gather(&folders)?;
            indexes.extend(take_indexes(&mut candidates)?);
        }
        let (path, index) = one_index(indexes)?;
        let mut set = Self {
            found: index.volumes().iter().map(|_| None).collect(),
            index,
            folder: folder_of(&path),
            ignored: Vec::new(),
        };
        candidates.into_iter().try_for_each(|candidate| set.place(candidate))?;
        Ok(set)
    }

    /// The description of the set.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Files of the folders that have nothing to do with the set.
    pub fn ignored(&self) -> &[PathBuf] {
        &self.ignored
    }

    /// The folder of the index.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn found(&self, volume: usize) -> Option<&Found> {
        self.found.get(volume)?.as_ref()
    }

    /// The bundle that the data volumes make, read where they lie.
    ///
    /// # Errors
    /// [`VolumeError::Missing`], [`VolumeError::Short`], [`VolumeError::Long`]; whatever [`Archive::open`] has to say.
    pub fn archive(&self) -> Result<Archive, VolumeError> {
        let data = 0..self.index.geometry().data_volumes();
        let missing = data.clone().filter(|volume| self.found(*volume).is_none());
        let names: Vec<String> = missing.map(|volume| self.index.volume_name(volume)).collect();
        if !names.is_empty() {
            return Err(VolumeError::Missing { names });
        }
        let found = data.filter_map(|volume| Some((volume, self.found(volume)?)));
        let files = found.map(|(volume, found)| self.check_length(volume, found).map(|()| found));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let medium = Medium::join_shared(files.into_iter().map(|found| (Arc::clone(&found.file), found.path.clone())))?;
        Ok(Archive::read(medium)?)
    }

    fn check_length(&self, volume: usize, found: &Found) -> Result<(), VolumeError> {
        let (actual, expected) = (found.length, self.index.geometry().volume_size(volume));
        let (path, name) = (found.path.clone(), self.index.volume_name(volume));
        match actual {
            _ if actual < expected => Err(VolumeError::Short { path, name, actual, expected }),
            _ if actual > expected => Err(VolumeError::Long { path, name, actual, expected }),
            _ => Ok(()),
        }
    }

    fn place(&mut self, candidate: Candidate) -> Result<(), VolumeError> {
        let Candidate { found, is_named } = candidate;
        let path = found.path.clone();
        let fitting = recognise(&self.index, &found);
        let free = fitting.iter().copied().find(|volume| self.found(*volume).is_none());
        if let Some(volume) = free {
            self.found[volume] = Some(found);
            return Ok(());
        }
        match fitting.first().and_then(|volume| Some((volume, self.found(*volume)?))) {
            Some((volume, first)) => {
                let name = self.index.volume_name(*volume);
                Err(VolumeError::Duplicate { name, first: first.path.clone(), second: path })
            }
            None if is_named || is_volume_name(&path) => {
                Err(VolumeError::Foreign { path, set: self.index.name().to_owned() })
            }
            None => {
                self.ignored.push(path);
                Ok(())
            }
        }
    }
}

/// Whether a file of this name says that it is a volume: `NAME.001`, `NAME.p001`.
pub fn is_volume_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let number = extension.strip_prefix('p').unwrap_or(extension);
    number.len() >= 3 && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The volumes that `found` may be: one, unless several begin alike.
fn recognise(index: &Index, found: &Found) -> Vec<usize> {
    let blocks = found.length.div_ceil(BLOCK);
    let looks: BTreeSet<u64> = (0..LOOKS).map(|look| look * blocks / LOOKS).collect();
    let mut fitting: Vec<usize> = Vec::new();
    let mut buffer = new_block();
    for block in looks.into_iter().filter(|block| *block < blocks) {
        let length = usize::try_from((found.length - block * BLOCK).min(BLOCK)).unwrap_or(0);
        let content = &mut buffer[..length];
        if found.file.read_exact_at(content, block * BLOCK).is_err() {
            continue;
        }
        let here = with_block(index, block, content);
        match here.len() {
            0 => {}
            1 => return here,
            _ if fitting.is_empty() => fitting = here,
            _ => fitting.retain(|volume| here.contains(volume)),
        }
    }
    fitting
}

/// The volumes whose block `block` begins with `content`, as far as that goes.
fn with_block(index: &Index, block: u64, content: &[u8]) -> Vec<usize> {
    let mut digests: Vec<(usize, BlockDigest)> = Vec::new();
    let mut is_there = |volume: usize| {
        let place = Place { volume, block };
        let length = index.geometry().block_size(place);
        let Some(expected) = index.block(place).filter(|_| length <= content.len()) else { return false };
        let known = digests.iter().find(|(of_length, _)| *of_length == length).map(|(_, digest)| *digest);
        let actual = known.unwrap_or_else(|| {
            let digest = block_digest(&content[..length]);
            digests.push((length, digest));
            digest
        });
        actual == *expected
    };
    (0..index.volumes().len()).filter(|volume| is_there(*volume)).collect()
}

/// Every regular file among `paths`, once.
fn gather(paths: &[PathBuf]) -> Result<Vec<Candidate>, VolumeError> {
    let (mut candidates, mut seen) = (Vec::new(), BTreeSet::new());
    for path in paths {
        let is_folder = fs::metadata(path).during("look at", path)?.is_dir();
        let files = if is_folder { files_of(path)? } else { vec![path.clone()] };
        for path in files {
            let (file, path) = open_regular(&path)?;
            let metadata = file.metadata().during("look at", &path)?;
            if seen.insert((metadata.dev(), metadata.ino())) {
                let found = Found { file: Arc::new(file), path, length: metadata.len() };
                candidates.push(Candidate { found, is_named: !is_folder });
            }
        }
    }
    Ok(candidates)
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).during("read", folder)? {
        let path = entry.during("read", folder)?.path();
        let is_unfinished = path.extension().is_some_and(|extension| extension == "partial");
        if is_unfinished || !fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        if files.len() == MAX_FILES {
            return Err(ArchiveError::Limit { what: "files in one folder", limit: MAX_FILES as u64 }.into());
        }
        files.push(path);
    }
    files.sort();
    Ok(files)
}

/// The indexes in the folders of `candidates`.
fn beside(candidates: &[Candidate]) -> Result<Vec<Candidate>, VolumeError> {
    let folders: BTreeSet<PathBuf> = candidates.iter().map(|candidate| folder_of(&candidate.found.path)).collect();
    let mut files = Vec::new();
    for folder in folders {
        let is_index = |path: &PathBuf| path.to_string_lossy().ends_with(INDEX_SUFFIX);
        files.extend(files_of(&folder)?.into_iter().filter(is_index));
    }
    gather(&files)
}

type Indexes = Vec<(PathBuf, Result<Index, IndexError>)>;

/// Takes what is an index, or looks like one, out of `candidates`.
fn take_indexes(candidates: &mut Vec<Candidate>) -> Result<Indexes, VolumeError> {
    let mut indexes = Indexes::new();
    for candidate in std::mem::take(candidates) {
        let Found { file, path, length } = &candidate.found;
        let mut beginning = [0; BEGINNING.len()];
        let begins = file.read_exact_at(&mut beginning, 0).is_ok() && beginning == BEGINNING;
        let is_called = path.to_string_lossy().ends_with(INDEX_SUFFIX);
        if *length > MAX_INDEX || !(begins || is_called) {
            candidates.push(candidate);
            continue;
        }
        let mut bytes = vec![0; usize::try_from(*length).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0).during("read", path)?;
        indexes.push((path.clone(), Index::from_bytes(&bytes)));
    }
    Ok(indexes)
}

/// The index that all good copies are. A damaged copy is passed over where there is a good one.
fn one_index(indexes: Indexes) -> Result<(PathBuf, Index), VolumeError> {
    let (mut good, mut bad): (Option<(PathBuf, Index)>, _) = (None, None);
    for (path, index) in indexes {
        match (index, &good) {
            (Ok(index), None) => good = Some((path, index)),
            (Ok(index), Some((first, known))) if index != *known => {
                return Err(VolumeError::TwoSets { first: first.clone(), second: path });
            }
            (Ok(_), Some(_)) => {}
            (Err(source), _) => bad = Some(VolumeError::Index { path, source }),
        }
    }
    good.ok_or_else(|| bad.unwrap_or(VolumeError::NoIndex))
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}
