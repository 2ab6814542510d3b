//! Takes a DEFLATE stream apart into its text and a recipe, by which the very same stream is made of the text again.
//!
//! The recipe holds what the text does not tell: where blocks end, their codes, and the few tokens in which the stream is not
//! what its compressor was predicted to write (docs/formats/layer-patch.md). Streams go through in chunks of whole blocks,
//! so memory does not depend on their size.

mod bits;
mod huffman;
mod predict;
mod recipe;
mod token;

use std::io::{self, BufRead};

pub(super) use bits::BitReader;
use bits::BitWriter;
use huffman::Lengths;
use predict::{Predictor, Rules};
use recipe::{Block, Codes, Recipe};
use token::{FARTHEST, Token, TokenReader, TokenWriter};

/// A chunk of a stream ends with the block that brings its text to this length, in bytes.
const CHUNK: usize = 4 << 20;
/// The longest text of one chunk, in bytes.
pub(super) const MAX_CHUNK: usize = 16 << 20;
/// Blocks of one chunk at most.
const MAX_BLOCKS: usize = 1 << 16;
/// As much of a stream shows by whose rules it was made, in tokens.
const PROBE: usize = 1 << 15;

/// Why a stream cannot be taken apart, or put together.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// It is not formed as it must be, or in a way that nobody writes.
    #[error("{0}")]
    Form(&'static str),
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

/// A text with what came before it, as far back as a match may reach.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    /// Where the present chunk begins.
    start: usize,
}

impl Text {
    /// Begins the next chunk. Returns the bytes that were dropped: a multiple of 32 KiB.
    fn advance(&mut self) -> usize {
        let dropped = self.bytes.len().saturating_sub(FARTHEST) / FARTHEST * FARTHEST;
        self.bytes.drain(..dropped);
        self.start = self.bytes.len();
        dropped
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// One chunk of a stream that was taken apart.
#[derive(Debug)]
pub(super) struct Chunk {
    /// How it is put together again.
    pub(super) recipe: Vec<u8>,
    /// Whose rules it follows, as [`Rebuilder::new`] takes it.
    pub(super) rules: u8,
    /// Bytes of the stream that it makes.
    pub(super) made: usize,
    /// Whether the stream ends with it.
    pub(super) ends: bool,
}

/// Takes one stream apart.
#[derive(Debug, Default)]
pub(super) struct Analyser {
    text: Text,
    predictor: Option<Predictor>,
    /// Bits of the file before the stream.
    begun: Option<u64>,
    /// Whole bytes of the stream in the chunks before.
    made: u64,
}

impl Analyser {
    /// The next chunk; its text is in [`Analyser::text`]. `likely` are rules that another stream of the layer followed.
    pub(super) fn next<R: BufRead>(&mut self, reader: &mut BitReader<R>, likely: Option<u8>) -> Result<Chunk, Unfit> {
        let begun = *self.begun.get_or_insert(reader.taken());
        let dropped = self.text.advance();
        if let Some(predictor) = &mut self.predictor {
            predictor.forget(dropped);
        }
        let (mut blocks, mut tokens, mut ends) = (Vec::new(), Vec::new(), false);
        while !ends && self.text.chunk().len() < CHUNK && blocks.len() < MAX_BLOCKS {
            let block = read_block(reader, &mut self.text, &mut tokens)?;
            ends = block.last;
            blocks.push(block);
        }
        if ends && reader.padding()? != 0 {
            return Err(Unfit::Form("the bits behind the last block are not zero"));
        }
        let text = &self.text;
        let predictor = self.predictor.get_or_insert_with(|| Predictor::new(probe(text, &blocks, &tokens, likely)));
        let recipe = Recipe { corrections: corrections(predictor, text, &blocks, &tokens), blocks };
        let made = (reader.taken() - begun) / 8;
        let made = made - std::mem::replace(&mut self.made, made);
        let made = usize::try_from(made).unwrap_or(usize::MAX);
        Ok(Chunk { recipe: recipe.to_bytes(), rules: predictor.rules().code(), made, ends })
    }

    /// The text of the chunk.
    pub(super) fn text(&self) -> &[u8] {
        self.text.chunk()
    }
}

fn read_block<R: BufRead>(reader: &mut BitReader<R>, text: &mut Text, tokens: &mut Vec<Token>) -> Result<Block, Unfit> {
    let last = reader.take(1)? == 1;
    let kind = reader.take(2)?;
    if kind == 0 {
        return read_stored(reader, text, last);
    }
    let mut copy = BitWriter::default();
    let (codes, lengths) = match kind {
        1 => (Codes::Fixed, Lengths::fixed()),
        2 => {
            let lengths = Lengths::read(reader, &mut copy)?;
            let bits = copy.length();
            copy.pad();
            (Codes::Dynamic { header: copy.drain(), bits }, lengths)
        }
        _ => return Err(Unfit::Form("a block is of no known kind")),
    };
    let (decoder, before) = (TokenReader::new(&lengths)?, tokens.len());
    while let Some(token) = decoder.read(reader, &mut text.bytes)? {
        tokens.push(token);
        if text.chunk().len() > MAX_CHUNK {
            return Err(Unfit::Form("a block is too long"));
        }
    }
    Ok(Block { last, codes, count: tokens.len() - before })
}

fn read_stored<R: BufRead>(reader: &mut BitReader<R>, text: &mut Text, last: bool) -> Result<Block, Unfit> {
    if reader.padding()? != 0 {
        return Err(Unfit::Form("the bits before a stored block are not zero"));
    }
    let (length, inverse) = (reader.take(16)?, reader.take(16)?);
    if length ^ inverse != 0xffff {
        return Err(Unfit::Form("the length of a stored block is damaged"));
    }
    for _ in 0..length {
        let byte = reader.byte()?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        text.bytes.push(byte);
    }
    Ok(Block { last, codes: Codes::Stored, count: length as usize })
}

/// The rules that fit the beginning of a stream best.
fn probe(text: &Text, blocks: &[Block], tokens: &[Token], likely: Option<u8>) -> Rules {
    let mut best = (usize::MAX, Rules::LIKELIEST);
    for rules in likely.and_then(Rules::of_code).into_iter().chain(Rules::all()) {
        let mut seen = 0;
        let beginning: Vec<Block> = blocks
            .iter()
            .map_while(|block| {
                (seen < PROBE).then(|| {
                    seen += block.count;
                    block.clone()
                })
            })
            .collect();
        let wrong = corrections(&mut Predictor::new(rules), text, &beginning, tokens).len();
        if wrong < best.0 {
            best = (wrong, rules);
        }
        // One in a thousand is what the edges of chunks cost.
        if wrong <= seen / 1000 {
            break;
        }
    }
    best.1
}

/// The tokens that were predicted wrongly: how many were right since the one before, and what it is.
fn corrections(predictor: &mut Predictor, text: &Text, blocks: &[Block], tokens: &[Token]) -> Vec<(u64, Token)> {
    let (mut at, mut right, mut wrong) = (text.start, 0, Vec::new());
    let mut tokens = tokens.iter();
    for block in blocks {
        if block.codes == Codes::Stored {
            at += block.count;
            continue;
        }
        for token in tokens.by_ref().take(block.count) {
            if predictor.predict(&text.bytes, at) == *token {
                right += 1;
            } else {
                predictor.correct();
                wrong.push((right, *token));
                right = 0;
            }
            at += token.span();
        }
    }
    wrong
}

/// Puts one stream together again.
#[derive(Debug)]
pub(super) struct Rebuilder {
    text: Text,
    predictor: Predictor,
    writer: BitWriter,
}

impl Rebuilder {
    /// Begins a stream that follows `rules`.
    pub(super) fn new(rules: u8) -> Result<Self, Unfit> {
        let rules = Rules::of_code(rules).ok_or(Unfit::Form("it follows unknown rules"))?;
        Ok(Self { text: Text::default(), predictor: Predictor::new(rules), writer: BitWriter::default() })
    }

    /// The bytes of the stream that the next chunk makes of `text`.
    pub(super) fn next(&mut self, text: &[u8], recipe: &[u8]) -> Result<Vec<u8>, Unfit> {
        if text.len() > MAX_CHUNK {
            return Err(Unfit::Form("a chunk is too long"));
        }
        let recipe = Recipe::from_bytes(recipe)?;
        let dropped = self.text.advance();
        self.predictor.forget(dropped);
        self.text.bytes.extend_from_slice(text);
        let mut corrections = recipe.corrections.into_iter();
        let mut next = corrections.next();
        let mut at = self.text.start;
        for block in &recipe.blocks {
            at = match block.codes {
                Codes::Stored => self.write_stored(block, at)?,
                _ => self.write_block(block, at, &mut || step(&mut next, &mut corrections))?,
            };
            if block.last {
                self.writer.pad();
            }
        }
        if at != self.text.bytes.len() || next.is_some() {
            return Err(Unfit::Form("a recipe is not for its text"));
        }
        Ok(self.writer.drain())
    }

    fn write_block(
        &mut self,
        block: &Block,
        mut at: usize,
        correction: &mut dyn FnMut() -> Option<Token>,
    ) -> Result<usize, Unfit> {
        self.writer.put(u32::from(block.last), 1);
        let lengths = match &block.codes {
            Codes::Dynamic { header, bits } => {
                self.writer.put(2, 2);
                let before = self.writer.length();
                let lengths = Lengths::read(&mut BitReader::new(header.as_slice()), &mut self.writer)?;
                if self.writer.length() - before != *bits {
                    return Err(Unfit::Form("the codes of a block are not as long as they should be"));
                }
                lengths
            }
            _ => {
                self.writer.put(1, 2);
                Lengths::fixed()
            }
        };
        let tokens = TokenWriter::new(&lengths)?;
        for _ in 0..block.count {
            let literal = *self.text.bytes.get(at).ok_or(Unfit::Form("a block goes beyond its text"))?;
            let predicted = self.predictor.predict(&self.text.bytes, at);
            let token = match correction() {
                None => predicted,
                Some(token) => {
                    self.predictor.correct();
                    token
                }
            };
            tokens.write(token, literal, &mut self.writer)?;
            at += token.span();
        }
        tokens.end(&mut self.writer)?;
        Ok(at)
    }

    fn write_stored(&mut self, block: &Block, at: usize) -> Result<usize, Unfit> {
        let bytes = self.text.bytes.get(at..at + block.count).ok_or(Unfit::Form("a block goes beyond its text"))?;
        let length = u16::try_from(block.count).map_err(|_| Unfit::Form("a stored block is too long"))?;
        self.writer.put(u32::from(block.last), 1);
        self.writer.put(0, 2);
        self.writer.pad();
        self.writer.extend(&length.to_le_bytes());
        self.writer.extend(&(!length).to_le_bytes());
        self.writer.extend(bytes);
        Ok(at + block.count)
    }
}

/// Counts down to the next correction; what it is, where it is due.
fn step(next: &mut Option<(u64, Token)>, others: &mut impl Iterator<Item = (u64, Token)>) -> Option<Token> {
    let (right, token) = next.as_mut()?;
    match right.checked_sub(1) {
        Some(left) => {
            *right = left;
            None
        }
        None => {
            let token = *token;
            *next = others.next();
            Some(token)
        }
    }
}

#[cfg(test)]
mod tests;
