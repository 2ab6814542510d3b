//! Tokens: a literal byte, or a match further back (RFC 1951, 3.2.5).

use std::io::BufRead;

use super::Unfit;
use super::bits::{BitReader, BitWriter};
use super::huffman::{Decoder, Encoder, Lengths};

/// The symbol that ends a block.
const END: usize = 256;
/// The longest match, in bytes.
pub(super) const LONGEST: usize = 258;
/// The shortest match, in bytes.
pub(super) const SHORTEST: usize = 3;
/// How far back a match may lie, in bytes.
pub(super) const FARTHEST: usize = 32768;

/// The least length, and the bits that are added, of each length symbol from 257 on.
const LENGTH_BASE: [u16; 29] =
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const LENGTH_BITS: [u8; 29] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
/// The same of each distance symbol.
const DISTANCE_BASE: [u16; 30] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
    8193, 12289, 16385, 24577,
];
const DISTANCE_BITS: [u8; 30] =
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];

/// One step of a stream. The byte of a literal stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Bytes of the match; 0 for a literal.
    length: u16,
    distance: u16,
}

impl Token {
    pub(super) const LITERAL: Self = Self { length: 0, distance: 0 };

    /// A match, where there can be one.
    pub(super) fn matching(length: usize, distance: usize) -> Option<Self> {
        let fits = (SHORTEST..=LONGEST).contains(&length) && (1..=FARTHEST).contains(&distance);
        let (length, distance) = (u16::try_from(length).ok()?, u16::try_from(distance).ok()?);
        fits.then_some(Self { length, distance })
    }

    /// Bytes of the match, and how far back it lies.
    pub(super) fn as_match(self) -> Option<(usize, usize)> {
        (self.length > 0).then_some((usize::from(self.length), usize::from(self.distance)))
    }

    /// Bytes of text that it stands for.
    pub(super) fn span(self) -> usize {
        usize::from(self.length).max(1)
    }
}

/// Reads tokens, and the text with them.
#[derive(Debug)]
pub(super) struct TokenReader {
    literals: Decoder,
    distances: Decoder,
}

impl TokenReader {
    pub(super) fn new(lengths: &Lengths) -> Result<Self, Unfit> {
        Ok(Self { literals: Decoder::new(&lengths.literals)?, distances: Decoder::new(&lengths.distances)? })
    }

    /// The next token, whose bytes are appended to `text`; nothing at the end of the block.
    pub(super) fn read<R: BufRead>(
        &self,
        reader: &mut BitReader<R>,
        text: &mut Vec<u8>,
    ) -> Result<Option<Token>, Unfit> {
        let (symbol, ..) = self.literals.read(reader)?;
        if let Ok(byte) = u8::try_from(symbol) {
            text.push(byte);
            return Ok(Some(Token::LITERAL));
        }
        if usize::from(symbol) == END {
            return Ok(None);
        }
        let length = extended(reader, usize::from(symbol) - END - 1, &LENGTH_BASE, &LENGTH_BITS)?;
        if length == LONGEST && symbol != 285 {
            return Err(Unfit::Form("a match of 258 bytes is written in the unusual way"));
        }
        let (symbol, ..) = self.distances.read(reader)?;
        let distance = extended(reader, usize::from(symbol), &DISTANCE_BASE, &DISTANCE_BITS)?;
        let from = text.len().checked_sub(distance).ok_or(Unfit::Form("a match begins before the text"))?;
        for at in from..from + length {
            text.push(text[at]);
        }
        Ok(Token::matching(length, distance))
    }
}

fn extended<R: BufRead>(reader: &mut BitReader<R>, symbol: usize, base: &[u16], bits: &[u8]) -> Result<usize, Unfit> {
    match (base.get(symbol), bits.get(symbol)) {
        (Some(base), Some(bits)) => Ok(usize::from(*base) + reader.take(u32::from(*bits))? as usize),
        _ => Err(Unfit::Form("a code stands for nothing")),
    }
}

/// Writes tokens.
#[derive(Debug)]
pub(super) struct TokenWriter {
    literals: Encoder,
    distances: Encoder,
}

impl TokenWriter {
    pub(super) fn new(lengths: &Lengths) -> Result<Self, Unfit> {
        Ok(Self { literals: Encoder::new(&lengths.literals)?, distances: Encoder::new(&lengths.distances)? })
    }

    /// Writes a token that stands at the byte `literal`.
    pub(super) fn write(&self, token: Token, literal: u8, writer: &mut BitWriter) -> Result<(), Unfit> {
        let Some((length, distance)) = token.as_match() else {
            return self.literals.write(usize::from(literal), writer);
        };
        let (symbol, extra, bits) = place(length, &LENGTH_BASE, &LENGTH_BITS);
        self.literals.write(END + 1 + symbol, writer)?;
        writer.put(extra, bits);
        let (symbol, extra, bits) = place(distance, &DISTANCE_BASE, &DISTANCE_BITS);
        self.distances.write(symbol, writer)?;
        writer.put(extra, bits);
        Ok(())
    }

    /// Ends the block.
    pub(super) fn end(&self, writer: &mut BitWriter) -> Result<(), Unfit> {
        self.literals.write(END, writer)
    }
}

/// The symbol of a value, what is added to its least one, and in how many bits.
fn place(value: usize, base: &[u16], bits: &[u8]) -> (usize, u32, u32) {
    let symbol = base.partition_point(|base| usize::from(*base) <= value).saturating_sub(1);
    let extra = value - usize::from(base[symbol]);
    (symbol, u32::try_from(extra).unwrap_or(0), u32::from(bits[symbol]))
}
