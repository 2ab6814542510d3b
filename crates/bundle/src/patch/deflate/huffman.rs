//! Canonical Huffman codes (RFC 1951, 3.2.2), and the block headers that name them (3.2.7).

use std::io::BufRead;

use super::Unfit;
use super::bits::{BitReader, BitWriter};

/// The longest code, in bits.
const LONGEST: usize = 15;
/// Symbols of the literal and length alphabet, and of the distance alphabet, that a header can name.
const LITERALS: usize = 286;
const DISTANCES: usize = 30;
/// The order in which the lengths of the codes for code lengths stand.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The code lengths of a block.
#[derive(Clone, Debug)]
pub(super) struct Lengths {
    pub(super) literals: Vec<u8>,
    pub(super) distances: Vec<u8>,
}

impl Lengths {
    /// Those of a block with fixed codes (RFC 1951, 3.2.6).
    pub(super) fn fixed() -> Self {
        let mut literals = vec![8; 288];
        literals[144..256].fill(9);
        literals[256..280].fill(7);
        Self { literals, distances: vec![5; 30] }
    }

    /// Reads those of a dynamic block, and writes each bit that was read to `copy`.
    pub(super) fn read<R: BufRead>(reader: &mut BitReader<R>, copy: &mut BitWriter) -> Result<Self, Unfit> {
        let (literals, distances) = (field(reader, copy, 5)? + 257, field(reader, copy, 5)? + 1);
        if literals > LITERALS || distances > DISTANCES {
            return Err(Unfit::Form("a block names too many codes"));
        }
        let mut of_lengths = [0; 19];
        let count = field(reader, copy, 4)? + 4;
        for at in &ORDER[..count] {
            of_lengths[*at] = u8::try_from(field(reader, copy, 3)?).unwrap_or(0);
        }
        let code = Decoder::new(&of_lengths)?;
        let mut lengths: Vec<u8> = Vec::with_capacity(literals + distances);
        while lengths.len() < literals + distances {
            let (symbol, bits, count) = code.read(reader)?;
            copy.put(bits, count);
            let (value, repeat) = match symbol {
                16 => {
                    let last =
                        lengths.last().copied().ok_or(Unfit::Form("a block repeats a length before the first"))?;
                    (last, 3 + field(reader, copy, 2)?)
                }
                17 => (0, 3 + field(reader, copy, 3)?),
                18 => (0, 11 + field(reader, copy, 7)?),
                length => (u8::try_from(length).unwrap_or(0), 1),
            };
            lengths.resize(lengths.len() + repeat, value);
        }
        if lengths.len() > literals + distances {
            return Err(Unfit::Form("a block names too many lengths"));
        }
        let distances = lengths.split_off(literals);
        Ok(Self { literals: lengths, distances })
    }
}

fn field<R: BufRead>(reader: &mut BitReader<R>, copy: &mut BitWriter, count: u32) -> Result<usize, Unfit> {
    let value = reader.take(count)?;
    copy.put(value, count);
    Ok(value as usize)
}

/// The code of each symbol, its first bit lowest; zero where a symbol has none.
fn codes(lengths: &[u8]) -> Result<Vec<u16>, Unfit> {
    let mut count = [0_u32; LONGEST + 1];
    for length in lengths {
        let length = usize::from(*length);
        *count.get_mut(length).ok_or(Unfit::Form("a code is too long"))? += 1;
    }
    count[0] = 0;
    let (mut next, mut code) = ([0_u32; LONGEST + 1], 0_u32);
    for length in 1..=LONGEST {
        code = (code + count[length - 1]) << 1;
        next[length] = code;
        if code + count[length] > 1_u32 << length {
            return Err(Unfit::Form("a block names more codes than there are"));
        }
    }
    let mut assign = |length: &u8| {
        let length = usize::from(*length);
        if length == 0 {
            return 0;
        }
        let code = next[length];
        next[length] += 1;
        u16::try_from(code).unwrap_or(0).reverse_bits() >> (16 - length)
    };
    Ok(lengths.iter().map(&mut assign).collect())
}

/// Finds the symbol behind the next bits.
#[derive(Debug)]
pub(super) struct Decoder {
    /// By the next bits: symbol and length of its code; length 0 where no code begins so.
    table: Vec<(u16, u8)>,
    bits: u32,
}

impl Decoder {
    pub(super) fn new(lengths: &[u8]) -> Result<Self, Unfit> {
        let codes = codes(lengths)?;
        let bits = u32::from(lengths.iter().copied().max().unwrap_or(0));
        let mut table = vec![(0, 0); 1_usize << bits];
        for (symbol, (code, length)) in
            codes.into_iter().zip(lengths).enumerate().filter(|(_, (_, length))| **length > 0)
        {
            let entry = (u16::try_from(symbol).unwrap_or(0), *length);
            let places = table.iter_mut().skip(usize::from(code)).step_by(1_usize << *length);
            places.for_each(|place| *place = entry);
        }
        Ok(Self { table, bits })
    }

    /// The next symbol, its code, and the code's length.
    pub(super) fn read<R: BufRead>(&self, reader: &mut BitReader<R>) -> Result<(u16, u32, u32), Unfit> {
        let next = reader.peek(self.bits)?;
        match self.table.get(next as usize) {
            Some((symbol, length)) if *length > 0 => {
                Ok((*symbol, reader.take(u32::from(*length))?, u32::from(*length)))
            }
            _ => Err(Unfit::Form("a code stands for nothing")),
        }
    }
}

/// Writes symbols as their codes.
#[derive(Debug)]
pub(super) struct Encoder {
    codes: Vec<(u16, u8)>,
}

impl Encoder {
    pub(super) fn new(lengths: &[u8]) -> Result<Self, Unfit> {
        Ok(Self { codes: codes(lengths)?.into_iter().zip(lengths.iter().copied()).collect() })
    }

    pub(super) fn write(&self, symbol: usize, writer: &mut BitWriter) -> Result<(), Unfit> {
        match self.codes.get(symbol) {
            Some((code, length)) if *length > 0 => {
                writer.put(u32::from(*code), u32::from(*length));
                Ok(())
            }
            _ => Err(Unfit::Form("a symbol has no code")),
        }
    }
}
