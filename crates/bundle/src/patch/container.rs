//! The records of a patch (docs/formats/layer-patch.md). Numbers are little-endian.

use std::io::{self, Read, Write};

use super::error::PatchError;
use super::{SEGMENT, WINDOW};

/// How a patch begins: its name, its major version, a line feed.
const MAGIC: &[u8; 16] = b"sealock-patch/1\n";
/// Bytes of a frame at most: a little more than what it makes, where nothing can be saved.
pub(super) const MAX_FRAME: usize = SEGMENT + (1 << 17);
/// Bytes of a compressed recipe at most.
pub(super) const MAX_RECIPE: usize = 4 << 20;
/// Bytes that one record brings as they are, at most.
pub(super) const MAX_RAW: usize = 64 << 10;

/// One step of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// Bytes of the layer, as they are.
    Raw(Vec<u8>),
    /// The next segment of text: `frame` makes `size` bytes of it, with `length` bytes of the base's text from `from` on as prefix.
    Text { from: u64, length: u32, size: u32, frame: Vec<u8> },
    /// So many bytes of the text are bytes of the layer.
    Copy(u32),
    /// A chunk of a DEFLATE stream: `recipe` makes `made` bytes of the layer of `size` bytes of text. `rules` begin a stream.
    Deflate { rules: Option<u8>, size: u32, made: u32, recipe: Vec<u8> },
    /// The layer is whole, with so many bytes.
    End(u64),
}

const RAW: u8 = 1;
const TEXT: u8 = 2;
const COPY: u8 = 3;
const DEFLATE: u8 = 4;
const END: u8 = 5;

/// How the base's text stands in its blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As it is.
    Plain,
    /// In gzip members.
    Gzip,
}

pub(super) fn write_head(encoding: Encoding, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(MAGIC)?;
    out.write_all(&[u8::from(encoding == Encoding::Gzip)])
}

pub(super) fn read_head(patch: &mut dyn Read) -> Result<Encoding, PatchError> {
    let mut head = [0; MAGIC.len()];
    patch.read_exact(&mut head).map_err(PatchError::reading)?;
    if head != *MAGIC {
        return Err(PatchError::Form("it does not begin as a patch of version 1 does".to_owned()));
    }
    match byte(patch)? {
        0 => Ok(Encoding::Plain),
        1 => Ok(Encoding::Gzip),
        _ => Err(PatchError::Form("its base is packed in an unknown way".to_owned())),
    }
}

impl Record {
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        match self {
            Self::Raw(bytes) => {
                out.write_all(&[RAW])?;
                out.write_all(&length(bytes))?;
                out.write_all(bytes)
            }
            Self::Text { from, length: prefix, size, frame } => {
                out.write_all(&[TEXT])?;
                out.write_all(&from.to_le_bytes())?;
                out.write_all(&prefix.to_le_bytes())?;
                out.write_all(&size.to_le_bytes())?;
                out.write_all(&length(frame))?;
                out.write_all(frame)
            }
            Self::Copy(count) => {
                out.write_all(&[COPY])?;
                out.write_all(&count.to_le_bytes())
            }
            Self::Deflate { rules, size, made, recipe } => {
                out.write_all(&[DEFLATE, rules.unwrap_or(0)])?;
                out.write_all(&size.to_le_bytes())?;
                out.write_all(&made.to_le_bytes())?;
                out.write_all(&length(recipe))?;
                out.write_all(recipe)
            }
            Self::End(size) => {
                out.write_all(&[END])?;
                out.write_all(&size.to_le_bytes())
            }
        }
    }

    pub(super) fn read(patch: &mut dyn Read) -> Result<Self, PatchError> {
        match byte(patch)? {
            RAW => Ok(Self::Raw(bytes(patch, MAX_RAW)?)),
            TEXT => {
                let (from, length) = (number64(patch)?, number(patch, WINDOW)?);
                let size = number(patch, SEGMENT)?;
                Ok(Self::Text { from, length, size, frame: bytes(patch, MAX_FRAME)? })
            }
            COPY => Ok(Self::Copy(number(patch, SEGMENT)?)),
            DEFLATE => {
                let rules = Some(byte(patch)?).filter(|rules| *rules != 0);
                let (size, made) = (number(patch, SEGMENT)?, number(patch, 2 * SEGMENT)?);
                Ok(Self::Deflate { rules, size, made, recipe: bytes(patch, MAX_RECIPE)? })
            }
            END => {
                let size = number64(patch)?;
                match patch.read(&mut [0]).map_err(PatchError::Read)? {
                    0 => Ok(Self::End(size)),
                    _ => Err(PatchError::Form("it goes on behind its end".to_owned())),
                }
            }
            kind => Err(PatchError::Form(format!("it has a record of the unknown kind {kind}"))),
        }
    }
}

fn byte(patch: &mut dyn Read) -> Result<u8, PatchError> {
    let mut byte = [0];
    patch.read_exact(&mut byte).map_err(PatchError::reading)?;
    Ok(byte[0])
}

fn number(patch: &mut dyn Read, most: usize) -> Result<u32, PatchError> {
    let mut bytes = [0; 4];
    patch.read_exact(&mut bytes).map_err(PatchError::reading)?;
    let value = u32::from_le_bytes(bytes);
    match value as usize <= most {
        true => Ok(value),
        false => Err(PatchError::Form(format!("it says {value} where {most} is the most"))),
    }
}

fn number64(patch: &mut dyn Read) -> Result<u64, PatchError> {
    let mut bytes = [0; 8];
    patch.read_exact(&mut bytes).map_err(PatchError::reading)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Takes no memory for what only the length promises.
fn bytes(patch: &mut dyn Read, most: usize) -> Result<Vec<u8>, PatchError> {
    let length = number(patch, most)? as usize;
    let mut bytes = Vec::new();
    let read = patch.take(length as u64).read_to_end(&mut bytes).map_err(PatchError::Read)?;
    match read == length {
        true => Ok(bytes),
        false => Err(PatchError::reading(io::ErrorKind::UnexpectedEof.into())),
    }
}
