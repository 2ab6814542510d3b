//! What a text is like: a sample of its places that is the same wherever in a text these places stand.

use std::collections::HashMap;
use std::io::{self, Read};

use super::text;

/// One place in so many is remembered; fewer of a long text.
const ONE_IN: u32 = 2048;
/// Places of one text at most.
const MOST: usize = 1 << 16;
const PIECE: usize = 256 << 10;

/// The places of a text that are remembered.
#[derive(Clone, Debug)]
pub struct Sketch {
    places: HashMap<u32, u64>,
    /// Places with a hash below this are remembered.
    below: u32,
    length: u64,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { places: HashMap::new(), below: u32::MAX / ONE_IN, length: 0 }
    }
}

impl Sketch {
    /// Reads the text of a blob; nothing where it is not one whose text is looked for.
    ///
    /// # Errors
    /// When it cannot be read; a gzip file that is damaged cannot.
    pub fn of(blob: impl Read) -> io::Result<Option<Self>> {
        let (first, blob) = text::peeked(blob)?;
        let Some(encoding) = text::encoding(&first) else { return Ok(None) };
        let mut text = text::text(blob, encoding);
        let (mut sketch, mut roll, mut buffer) = (Self::default(), Roll::default(), vec![0; PIECE]);
        loop {
            let read = match text.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            if read == 0 {
                return Ok(Some(sketch));
            }
            sketch.add(&buffer[..read], &mut roll);
        }
    }

    /// Bytes of the text.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How much of this text is in `other`, too: from 0 to 1000.
    pub fn likeness(&self, other: &Self) -> usize {
        let below = self.below.min(other.below);
        let (mut all, mut common) = (0, 0);
        for place in self.places.keys().filter(|place| **place < below) {
            all += 1;
            common += usize::from(other.places.contains_key(place));
        }
        if common == 0 { 0 } else { (common * 1000 / all).max(1) }
    }

    /// Where in this text, from `from` on, a stretch of `length` bytes begins that has most of the places of `bytes`, with as much
    /// room before them as behind.
    pub(super) fn stretch(&self, bytes: &[u8], from: u64, length: u64) -> Option<u64> {
        let mut piece = Self::default();
        piece.add(bytes, &mut Roll::default());
        let found = piece.places.keys().filter_map(|place| self.places.get(place)).copied();
        let mut found: Vec<u64> = found.filter(|place| *place >= from).collect();
        found.sort_unstable();
        let (mut last, mut best): (usize, Option<(usize, u64, u64)>) = (0, None);
        for (first, place) in found.iter().enumerate() {
            while found.get(last).is_some_and(|last| last - place < length) {
                last += 1;
            }
            if best.is_none_or(|(most, ..)| last - first > most) {
                best = Some((last - first, *place, found[last - 1]));
            }
        }
        best.map(|(_, first, last)| first.saturating_sub((length - (last - first)) / 2).max(from))
    }

    fn add(&mut self, bytes: &[u8], roll: &mut Roll) {
        for (at, byte) in bytes.iter().enumerate() {
            let hash = roll.step(*byte);
            if hash < self.below {
                self.places.entry(hash).or_insert(self.length + at as u64);
                if self.places.len() > MOST {
                    self.below /= 2;
                    self.places.retain(|place, _| *place < self.below);
                }
            }
        }
        self.length += bytes.len() as u64;
    }
}

/// A hash of the last 32 bytes.
#[derive(Default)]
struct Roll(u32);

impl Roll {
    fn step(&mut self, byte: u8) -> u32 {
        self.0 = (self.0 << 1).wrapping_add(GEAR[byte as usize]);
        self.0
    }
}

/// A number for each byte that has nothing to do with it.
const GEAR: [u32; 256] = {
    let (mut gear, mut state, mut at) = ([0; 256], 0x9e37_79b9_u32, 0);
    while at < 256 {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        gear[at] = state;
        at += 1;
    }
    gear
};
