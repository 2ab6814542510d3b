//! Outside: patches for the layers that a delta carries.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sealock_trust::{Digest, Hasher};

use super::shelf::Shelf;
use crate::archive::{Archive, ArchiveError, Data, IoContext, Writer};
use crate::lock::{BlobSource, Lock};
use crate::manifest::{Blob, Carried, Manifest, Patch};
use crate::patch::{self, MakeError, Sketch};

/// Smaller layers are carried whole, in bytes.
const SMALLEST: u64 = 16 << 10;
/// A patch is worth its work where it is at most so many tenths of its layer.
const WORTH_TENTHS: u64 = 9;
/// A base has at least so much of a layer's text, in thousandths.
const LIKE: usize = 20;
/// Sketches that are remembered, since several layers are compared with the same bases.
const REMEMBERED: usize = 16;

/// Patches that were made, each proven: it makes its layer byte for byte.
#[derive(Debug, Default)]
pub struct Patches {
    made: BTreeMap<Digest, Patch>,
    files: BTreeMap<Digest, PathBuf>,
}

/// How far the making of patches is.
#[derive(Clone, Debug)]
pub enum Step {
    /// So many bytes of layers are done, of so many.
    Done {
        /// Bytes.
        done: u64,
        /// Bytes of all layers.
        total: u64,
    },
    /// A layer is carried whole.
    Whole {
        /// The layer.
        layer: Digest,
        /// Why.
        why: String,
    },
}

/// What patches are made from.
#[derive(Debug)]
pub struct Making<'a> {
    /// The delta without patches.
    pub whole: &'a Archive,
    /// Bundles that have the bases.
    pub shelf: &'a Shelf,
    /// What the site holds.
    pub held: BTreeMap<&'a Digest, u64>,
    /// Where the patches are written.
    pub folder: &'a Path,
}

impl Making<'_> {
    /// Makes a patch for each layer that has a base and pays. Determined by what it is made from, in this version.
    ///
    /// # Errors
    /// [`ArchiveError`]: a bundle cannot be read, or is damaged; a patch cannot be written.
    pub fn run(&self, tell: &mut dyn FnMut(&Step)) -> Result<Patches, ArchiveError> {
        let manifest = self.whole.unverified_manifest()?;
        let candidates = self.shelf.candidates((self.whole, &manifest), &self.held);
        let is_layer = |blob: &&Blob| blob.size >= SMALLEST && candidates.contains_key(&blob.digest);
        let layers: Vec<&Blob> = manifest.carried().filter(is_layer).collect();
        let total = layers.iter().fold(0, |sum, blob| sum + blob.size);
        let (mut patches, mut sketches, mut done) = (Patches::default(), BTreeMap::new(), 0);
        for layer in layers {
            match self.patch(layer, &candidates[&layer.digest], &mut sketches)? {
                Ok((patch, file)) => {
                    patches.files.insert(patch.digest.clone(), file);
                    patches.made.insert(layer.digest.clone(), patch);
                }
                Err(why) => tell(&Step::Whole { layer: layer.digest.clone(), why }),
            }
            done += layer.size;
            tell(&Step::Done { done, total });
        }
        Ok(patches)
    }

    /// The patch of one layer and its file, or why there is none.
    fn patch(
        &self,
        layer: &Blob,
        candidates: &[Digest],
        sketches: &mut BTreeMap<Digest, Option<Sketch>>,
    ) -> Result<Result<(Patch, PathBuf), String>, ArchiveError> {
        let whole = |why: &str| Ok(Err(why.to_owned()));
        let Some(offset) = layer.offset else { return whole("it is not carried") };
        let content = self.whole.data(offset, layer.size);
        content.check(&layer.digest)?;
        let Some(sketch) = sketch_of(content.clone()) else {
            return whole("it is packed in a way that is not unpacked");
        };
        let Some((base, data)) = self.nearest(&sketch, candidates, sketches)? else {
            return whole("nothing that the site holds is like it");
        };
        let Some(base_sketch) = sketches.get(base).cloned().flatten() else { return whole("its base is gone") };
        let file = self.folder.join(format!("{}.patch", layer.digest.hex()));
        let (digest, size) = match write(&file, data.clone(), &base_sketch, content) {
            Ok(written) => written.during("write", &file)?,
            Err(why) => return Ok(Err(why)),
        };
        if size.saturating_mul(10) > layer.size.saturating_mul(WORTH_TENTHS) {
            return whole("a patch saves too little");
        }
        if let Err(error) = patch::prove(data, File::open(&file).during("open", &file)?, &layer.digest, layer.size) {
            tracing::debug!(layer = %layer.digest, %error, "the patch does not work out");
            return whole("it does not come out the same");
        }
        let base_size = self.held.get(base).copied().unwrap_or_default();
        let (format, tool) = (patch::FORMAT.to_owned(), patch::maker());
        Ok(Ok((Patch { format, tool, digest, size, offset: 0, base: base.clone(), base_size }, file)))
    }

    /// The candidate that has most in common with a layer.
    fn nearest<'a>(
        &self,
        layer: &Sketch,
        candidates: &'a [Digest],
        sketches: &mut BTreeMap<Digest, Option<Sketch>>,
    ) -> Result<Option<(&'a Digest, Data)>, ArchiveError> {
        let mut best: Option<(usize, &Digest, Data)> = None;
        for digest in candidates {
            let Some(data) = self.shelf.find(digest) else { continue };
            if !sketches.contains_key(digest) {
                if sketches.len() >= REMEMBERED {
                    sketches.retain(|known, _| candidates.contains(known));
                }
                data.check(digest)?;
                sketches.insert(digest.clone(), sketch_of(data.clone()));
            }
            let like = sketches.get(digest).and_then(Option::as_ref).map_or(0, |sketch| layer.likeness(sketch));
            if like >= LIKE && best.as_ref().is_none_or(|(most, ..)| like > *most) {
                best = Some((like, digest, data));
            }
        }
        Ok(best.map(|(_, digest, data)| (digest, data)))
    }
}

/// What cannot be unpacked is like nothing.
fn sketch_of(data: Data) -> Option<Sketch> {
    Sketch::of(data).ok().flatten()
}

/// Writes a patch; its digest and size, or why there is none.
fn write(file: &Path, base: Data, sketch: &Sketch, layer: Data) -> Result<io::Result<(Digest, u64)>, String> {
    let mut out = match File::create(file) {
        Ok(file) => {
            Hashed { out: BufWriter::new(file), hasher: Hasher::new(sealock_trust::Algorithm::Sha256), size: 0 }
        }
        Err(error) => return Ok(Err(error)),
    };
    match patch::make(base, sketch, layer, &mut out) {
        Ok(()) => Ok(out.out.flush().map(|()| (out.hasher.finish(), out.size))),
        Err(MakeError::Write(error) | MakeError::Read(error)) => Ok(Err(error)),
        Err(error) => Err(error.to_string()),
    }
}

struct Hashed {
    out: BufWriter<File>,
    hasher: Hasher,
    size: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Patches {
    /// The patches by the layers that they make.
    pub fn made(&self) -> &BTreeMap<Digest, Patch> {
        &self.made
    }

    /// Whether none was made.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// Writes the delta at `path`, unsigned: what `whole` has, with patches in the places of the layers that they make.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn write(&self, whole: &Archive, path: &Path, lock: &Lock, manifest: &Manifest) -> Result<(), ArchiveError> {
        let writer = Writer::create_carrying(path, (lock, manifest), whole.revocations().map(<[u8]>::to_vec))?;
        let unpatched = whole.unverified_manifest()?;
        let places: BTreeMap<&Digest, Option<u64>> =
            unpatched.carried().map(|blob| (&blob.digest, blob.offset)).collect();
        let is_generated = |digest: &Digest| {
            lock.blobs.iter().any(|blob| blob.digest == *digest && matches!(blob.source, BlobSource::Generated { .. }))
        };
        let present = writer.present();
        for entry in manifest.entries().filter(|entry| !present.contains(entry.digest())) {
            match entry {
                Carried::Whole(blob) if is_generated(&blob.digest) => {}
                Carried::Whole(blob) => {
                    let offset = places.get(&blob.digest).copied().flatten();
                    let offset = offset.ok_or_else(|| ArchiveError::UnknownBlob(blob.digest.clone()))?;
                    copy(whole.data(offset, blob.size), whole.path(), &writer, &blob.digest)?;
                }
                Carried::Patch(_, patch) => {
                    let file = self.files.get(&patch.digest);
                    let file = file.ok_or_else(|| ArchiveError::UnknownBlob(patch.digest.clone()))?;
                    copy(File::open(file).during("open", file)?, file, &writer, &patch.digest)?;
                }
            }
        }
        writer.finish()?;
        Ok(())
    }
}

fn copy(mut data: impl Read, from: &Path, writer: &Writer, digest: &Digest) -> Result<(), ArchiveError> {
    let (mut slot, mut buffer) = (writer.slot(digest)?, vec![0; 1 << 20]);
    loop {
        match data.read(&mut buffer).during("read", from)? {
            0 => return slot.finish(),
            length => slot.write(&buffer[..length])?,
        }
    }
}
