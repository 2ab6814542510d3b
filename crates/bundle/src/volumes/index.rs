//! `NAME.volumes.json`: what each block of each volume should be. A hint for finding and rebuilding, never an authority.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealock_trust::Digest;
use sealock_trust::format::{self, UnknownFormat};
use sealock_trust::json::{self, Limits, jcs};
use sealock_trust::reason::Code;
use serde::{Deserialize, Serialize};

use super::geometry::{Geometry, ParityShape, Place};

/// The value of `format`.
pub const FORMAT: &str = format::VOLUMES.current;
/// How the name of an index ends.
pub const INDEX_SUFFIX: &str = ".volumes.json";
/// Bytes of an index at most: what the greatest number of blocks takes.
pub(super) const MAX_INDEX: u64 = 36 << 20;
/// How an index begins: canonical JSON sorts its fields.
pub(super) const BEGINNING: &[u8] = b"{\"checksum\":\"sha256:";
const LIMITS: Limits = Limits { bytes: MAX_INDEX as usize, depth: 4, entries: 10_000 };
const MAX_NAME: usize = 200;

/// The SHA-256 of one block.
pub(super) type BlockDigest = [u8; 32];

/// The description of one set of volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    set: Digest,
    name: String,
    geometry: Geometry,
    volumes: Vec<Volume>,
}

/// The description of one volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The SHA-256 of all of it.
    pub digest: Digest,
    /// The SHA-256 of each of its blocks.
    pub(super) blocks: Vec<BlockDigest>,
}

/// Why a file is no index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not canonical JSON with the fields of an index.
    #[error("it is not the description of a set of volumes")]
    Json(#[source] json::Error),
    /// Of a major version that this Sealock does not know.
    #[error("it is not of a version that is read here")]
    Format(#[source] UnknownFormat),
    /// Its content is not what it was when it was written.
    #[error("its checksum does not fit: it was damaged on the way")]
    Checksum,
    /// Well-formed, but contradictory.
    #[error("it contradicts itself: {0}")]
    Inconsistent(&'static str),
}

impl IndexError {
    /// The reason code of this refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::Json(source) => source.code(),
            Self::Checksum => Code::Digest,
            Self::Format(_) | Self::Inconsistent(_) => Code::Format,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    checksum: Digest,
    cut: u64,
    format: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parity: Option<ParityDocument>,
    set: Digest,
    size: u64,
    volumes: Vec<VolumeDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParityDocument {
    stripes: u64,
    data: u64,
    parity: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VolumeDocument {
    blocks: String,
    digest: Digest,
}

impl Index {
    /// The index of the set `set`, cut from a file called `name`.
    pub(super) fn new(set: Digest, name: &str, geometry: Geometry, volumes: Vec<Volume>) -> Self {
        Self { set, name: name.to_owned(), geometry, volumes }
    }

    /// Reads an index: every number in it agrees with every other when this returns.
    ///
    /// # Errors
    /// When it is damaged, not canonical, of another format, or contradictory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IndexError> {
        let document = format::read(bytes, &LIMITS, format::VOLUMES, |document: &Document| &document.format);
        let document = document.map_err(|error| error.either(IndexError::Json, IndexError::Format))?;
        if checksum(bytes, &document.checksum) != document.checksum {
            return Err(IndexError::Checksum);
        }
        Self::from_document(document)
    }

    /// The file: canonical JSON.
    ///
    /// # Errors
    /// When the name holds what canonical JSON may not.
    pub fn to_bytes(&self) -> Result<Vec<u8>, IndexError> {
        let document = |checksum| Document {
            checksum,
            cut: self.geometry.cut(),
            format: FORMAT.to_owned(),
            name: self.name.clone(),
            parity: self.geometry.parity().map(|shape| ParityDocument {
                stripes: shape.stripes,
                data: shape.data,
                parity: shape.parity,
            }),
            set: self.set.clone(),
            size: self.geometry.size(),
            volumes: self.volumes.iter().map(volume_document).collect(),
        };
        let to_bytes = |checksum| jcs::to_vec(&document(checksum)).map_err(IndexError::Json);
        let nothing = Digest::sha256(b"");
        let sum = checksum(&to_bytes(nothing.clone())?, &nothing);
        to_bytes(sum)
    }

    fn from_document(document: Document) -> Result<Self, IndexError> {
        let wrong = IndexError::Inconsistent;
        let parity =
            document.parity.map(|shape| ParityShape { stripes: shape.stripes, data: shape.data, parity: shape.parity });
        let geometry = Geometry::claimed(document.size, document.cut, parity);
        let geometry = geometry.ok_or(wrong("its sizes do not fit each other, or take too much memory"))?;
        if !is_plain_name(&document.name) {
            return Err(wrong("its name is no plain file name"));
        }
        if document.volumes.len() != geometry.volumes() {
            return Err(wrong("it describes more or fewer volumes than its sizes make"));
        }
        let volume = |(number, volume): (usize, VolumeDocument)| {
            let raw = STANDARD.decode(&volume.blocks).unwrap_or_default();
            let blocks: Vec<BlockDigest> = raw.chunks_exact(32).filter_map(|raw| raw.try_into().ok()).collect();
            let fits = raw.len() as u64 == geometry.volume_blocks(number) * 32;
            fits.then_some(Volume { digest: volume.digest, blocks })
                .ok_or(wrong("the digests of a volume's blocks are incomplete"))
        };
        let volumes = document.volumes.into_iter().enumerate().map(volume).collect::<Result<_, _>>()?;
        Ok(Self { set: document.set, name: document.name, geometry, volumes })
    }

    /// The digest of the bundle's manifest, which names the set.
    pub fn set(&self) -> &Digest {
        &self.set
    }

    /// The name of the file that the volumes were cut from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the bundle was cut.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The volumes, data first.
    pub fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    /// The name that `volume` had when it was written.
    pub fn volume_name(&self, volume: usize) -> String {
        volume_name(&self.name, &self.geometry, volume)
    }

    /// The digest that the block at `place` should have.
    pub(super) fn block(&self, place: Place) -> Option<&BlockDigest> {
        self.volumes.get(place.volume)?.blocks.get(usize::try_from(place.block).ok()?)
    }

    /// Whether `bytes` is what the block at `place` should be.
    pub(super) fn is_block(&self, place: Place, bytes: &[u8]) -> bool {
        self.block(place).is_some_and(|expected| *expected == block_digest(bytes))
    }
}

/// `NAME.001` for the first data volume, `NAME.p001` for the first of parity.
pub(super) fn volume_name(name: &str, geometry: &Geometry, volume: usize) -> String {
    let data = geometry.data_volumes();
    match volume.checked_sub(data) {
        None => format!("{name}.{:03}", volume + 1),
        Some(parity) => format!("{name}.p{:03}", parity + 1),
    }
}

pub(super) fn block_digest(bytes: &[u8]) -> BlockDigest {
    let mut raw = BlockDigest::default();
    // A SHA-256 digest is always 64 hexadecimal digits.
    let _ = hex::decode_to_slice(Digest::sha256(bytes).hex(), &mut raw);
    raw
}

/// Whether `name` may be the beginning of a file's name: it comes from a file that nobody vouches for.
pub(super) fn is_plain_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\');
    !name.is_empty() && name.len() <= MAX_NAME && !name.starts_with('.') && name.chars().all(is_plain)
}

fn volume_document(volume: &Volume) -> VolumeDocument {
    VolumeDocument { blocks: STANDARD.encode(volume.blocks.as_flattened()), digest: volume.digest.clone() }
}

/// The SHA-256 of `bytes` with zeros in the place of the checksum.
fn checksum(bytes: &[u8], written: &Digest) -> Digest {
    let start = BEGINNING.len();
    let end = start + written.hex().len();
    let zeros = vec![b'0'; written.hex().len()];
    let parts = [&bytes[..start.min(bytes.len())], &zeros, bytes.get(end..).unwrap_or_default()];
    let mut hasher = sealock_trust::Hasher::new(sealock_trust::digest::Algorithm::Sha256);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::{Percent, VolumeSize};

    fn index() -> Index {
        let geometry =
            Geometry::plan((5 << 20) - 100, VolumeSize::of_bytes(2 << 20).unwrap(), "20%".parse::<Percent>().unwrap());
        let geometry = geometry.unwrap();
        let volume = |number: usize| {
            let blocks = (0..geometry.volume_blocks(number)).map(|block| block_digest(&[number as u8, block as u8]));
            Volume { digest: Digest::sha256(&[number as u8]), blocks: blocks.collect() }
        };
        let volumes = (0..geometry.volumes()).map(volume).collect();
        Index::new(Digest::sha256(b"manifest"), "plant-7.tar", geometry, volumes)
    }

    #[test]
    fn what_was_written_is_read_again() {
        let bytes = index().to_bytes().unwrap();
        assert!(bytes.starts_with(BEGINNING));
        assert_eq!(Index::from_bytes(&bytes).unwrap(), index());
        assert_eq!(
            (index().volume_name(0), index().volume_name(3)),
            ("plant-7.tar.001".into(), "plant-7.tar.p001".into())
        );
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let bytes = index().to_bytes().unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Index::from_bytes(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a\nb", &"x".repeat(201)] {
            assert!(!is_plain_name(name), "{name:?}");
        }
        assert!(is_plain_name("plant 7-1.tar"));
        let hostile = Index { name: "../etc".into(), ..index() };
        let error = Index::from_bytes(&hostile.to_bytes().unwrap()).unwrap_err();
        assert_eq!(error.code(), Code::Format);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let index = index();
        let fewer = Index { volumes: index.volumes[1..].to_vec(), ..index.clone() };
        let mut shorter = index.clone();
        shorter.volumes[0].blocks.pop();
        for wrong in [fewer, shorter] {
            let error = Index::from_bytes(&wrong.to_bytes().unwrap()).unwrap_err();
            assert!(matches!(error, IndexError::Inconsistent(_)), "{error}");
        }
    }
}
