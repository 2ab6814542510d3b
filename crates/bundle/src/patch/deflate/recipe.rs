//! The recipe of one chunk, as bytes.

use super::token::Token;
use super::{MAX_BLOCKS, MAX_CHUNK, Unfit};

/// What a block is written with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Codes {
    /// Nothing: its bytes stand there as they are.
    Stored,
    /// The codes of RFC 1951, 3.2.6.
    Fixed,
    /// Its own codes: the header that names them, bit for bit.
    Dynamic { header: Vec<u8>, bits: u64 },
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Whether the stream ends with it.
    pub(super) last: bool,
    pub(super) codes: Codes,
    /// Its tokens; of a stored block, its bytes.
    pub(super) count: usize,
}

/// What the text of a chunk does not tell.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) blocks: Vec<Block>,
    /// Each: how many tokens are as predicted since the one before, and what comes then.
    pub(super) corrections: Vec<(u64, Token)>,
}

const STORED: u8 = 0;
const FIXED: u8 = 1;
const DYNAMIC: u8 = 2;
const LAST: u8 = 4;

impl Recipe {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, self.blocks.len() as u64);
        for block in &self.blocks {
            let kind = match block.codes {
                Codes::Stored => STORED,
                Codes::Fixed => FIXED,
                Codes::Dynamic { .. } => DYNAMIC,
            };
            bytes.push(kind | if block.last { LAST } else { 0 });
            put(&mut bytes, block.count as u64);
            if let Codes::Dynamic { header, bits } = &block.codes {
                put(&mut bytes, *bits);
                bytes.extend_from_slice(header);
            }
        }
        put(&mut bytes, self.corrections.len() as u64);
        for (right, token) in &self.corrections {
            put(&mut bytes, *right);
            let (length, distance) = token.as_match().unwrap_or_default();
            put(&mut bytes, length as u64);
            if length > 0 {
                put(&mut bytes, distance as u64);
            }
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Unfit> {
        let mut rest = bytes;
        let count = number(&mut rest, MAX_BLOCKS)?;
        let blocks = (0..count).map(|_| block(&mut rest)).collect::<Result<_, _>>()?;
        // Each takes a byte of text at least.
        let count = number(&mut rest, MAX_CHUNK)?;
        let corrections = (0..count).map(|_| correction(&mut rest)).collect::<Result<_, _>>()?;
        if !rest.is_empty() {
            return Err(Unfit::Form("a recipe is too long"));
        }
        Ok(Self { blocks, corrections })
    }
}

fn block(rest: &mut &[u8]) -> Result<Block, Unfit> {
    let (flags, tail) = rest.split_first().ok_or(SHORT)?;
    *rest = tail;
    let count = number(rest, MAX_CHUNK)?;
    let codes = match flags & !LAST {
        STORED => Codes::Stored,
        FIXED => Codes::Fixed,
        DYNAMIC => {
            let bits = number(rest, 1 << 16)?;
            let (header, tail) = rest.split_at_checked(bits.div_ceil(8)).ok_or(SHORT)?;
            *rest = tail;
            Codes::Dynamic { header: header.to_vec(), bits: bits as u64 }
        }
        _ => return Err(Unfit::Form("a recipe has a block of no known kind")),
    };
    Ok(Block { last: flags & LAST != 0, codes, count })
}

fn correction(rest: &mut &[u8]) -> Result<(u64, Token), Unfit> {
    let right = number(rest, MAX_CHUNK)? as u64;
    let length = number(rest, MAX_CHUNK)?;
    if length == 0 {
        return Ok((right, Token::LITERAL));
    }
    let distance = number(rest, MAX_CHUNK)?;
    Ok((right, Token::matching(length, distance).ok_or(Unfit::Form("a recipe has a match that cannot be"))?))
}

const SHORT: Unfit = Unfit::Form("a recipe ends early");

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

fn number(rest: &mut &[u8], most: usize) -> Result<usize, Unfit> {
    let mut value = 0;
    for shift in (0..28).step_by(7) {
        let (byte, tail) = rest.split_first().ok_or(SHORT)?;
        *rest = tail;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return if value <= most { Ok(value) } else { Err(Unfit::Form("a recipe names too large a number")) };
        }
    }
    Err(Unfit::Form("a recipe names too large a number"))
}
