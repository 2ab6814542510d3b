//! Says what a well-known compressor would write next.
//!
//! Nearly every layer is made by Go's `compress/flate` or by zlib. Both keep chains of the earlier places with the same
//! hash, take the longest match of those that they look at, and put it off where the next byte begins a longer one. What
//! they do is a function of the text and a few numbers, so it need not be carried: only where it is not what the layer has.

use super::token::{FARTHEST, LONGEST, Token};

/// Slots of the table that leads from a place to the one before with the same hash.
const SLOTS: usize = FARTHEST;
/// Bits of Go's hashes, the larger ones.
const GO_BITS: u32 = 17;
/// zlib looks no farther back: its window less the longest match and a bit.
const ZLIB_FARTHEST: usize = FARTHEST - 262;
/// Beyond this a shortest match is not worth its bits; both think so.
const TOO_FAR: usize = 4096;

/// Whose compressor, and at which level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    family: Family,
    level: u8,
    /// From this length on zlib looks at a quarter of a chain.
    good: usize,
    /// A match of this length is not put off.
    lazy: usize,
    /// A match of this length is taken at once.
    nice: usize,
    /// Places of a chain that are looked at.
    chain: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Go,
    Zlib,
}

impl Rules {
    /// Those of Go at its default level, which most layers follow.
    pub(super) const LIKELIEST: Self = Self { family: Family::Go, level: 6, good: 8, lazy: 16, nice: 128, chain: 128 };

    /// All that are known, the likeliest first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [0x16, 0x26, 0x29, 0x19, 0x25, 0x24, 0x27, 0x28, 0x15, 0x14, 0x17, 0x18].into_iter().filter_map(Self::of_code)
    }

    /// The rules that `code` stands for: 0x10 for Go's or 0x20 for zlib's, plus the level.
    pub(super) fn of_code(code: u8) -> Option<Self> {
        let family = match code & 0xf0 {
            0x10 => Family::Go,
            0x20 => Family::Zlib,
            _ => return None,
        };
        // Both have the same numbers.
        let (good, lazy, nice, chain) = match code & 0x0f {
            4 => (4, 4, 16, 16),
            5 => (8, 16, 32, 32),
            6 => (8, 16, 128, 128),
            7 => (8, 32, 128, 256),
            8 => (32, 128, 258, 1024),
            9 => (32, 258, 258, 4096),
            _ => return None,
        };
        Some(Self { family, level: code & 0x0f, good, lazy, nice, chain })
    }

    pub(super) fn code(self) -> u8 {
        self.level | if self.family == Family::Go { 0x10 } else { 0x20 }
    }

    /// Bytes that are hashed, and that the shortest match has.
    fn shortest(self) -> usize {
        if self.family == Family::Go { 4 } else { 3 }
    }

    fn hash(self, bytes: &[u8]) -> usize {
        match (self.family, bytes) {
            (Family::Go, [a, b, c, d, ..]) => {
                (u32::from_be_bytes([*a, *b, *c, *d]).wrapping_mul(0x1e35_a7bd) >> (32 - GO_BITS)) as usize
            }
            (Family::Zlib, [a, b, c, ..]) => {
                ((usize::from(*a) << 10) ^ (usize::from(*b) << 5) ^ usize::from(*c)) & (SLOTS - 1)
            }
            _ => 0,
        }
    }
}

/// Follows a text, and says at each place what comes next.
#[derive(Debug)]
pub(super) struct Predictor {
    rules: Rules,
    /// The latest place with each hash, plus one.
    heads: Vec<u32>,
    /// The place before with the same hash, plus one.
    before: Vec<u32>,
    /// Places before this one are in the chains.
    inserted: usize,
    /// Whether the text still begins where the stream does.
    at_start: bool,
    /// A match that was found at a place before it was reached.
    found: Option<(usize, Match)>,
}

#[derive(Clone, Copy, Debug)]
struct Match {
    length: usize,
    distance: usize,
}

impl Predictor {
    pub(super) fn new(rules: Rules) -> Self {
        let heads = if rules.family == Family::Go { 1 << GO_BITS } else { SLOTS };
        Self { rules, heads: vec![0; heads], before: vec![0; SLOTS], inserted: 0, at_start: true, found: None }
    }

    pub(super) fn rules(&self) -> Rules {
        self.rules
    }

    /// The text loses its first `length` bytes, a multiple of 32 KiB.
    pub(super) fn forget(&mut self, length: usize) {
        let by = u32::try_from(length).unwrap_or(u32::MAX);
        for place in self.heads.iter_mut().chain(&mut self.before) {
            *place = place.saturating_sub(by);
        }
        self.inserted = self.inserted.saturating_sub(length);
        self.found = self.found.and_then(|(at, found)| Some((at.checked_sub(length)?, found)));
        self.at_start &= length == 0;
    }

    /// What comes at the place `at` of `text`.
    pub(super) fn predict(&mut self, text: &[u8], at: usize) -> Token {
        let found = self.found.take().filter(|(place, _)| *place == at).map(|(_, found)| found);
        let Some(this) = found.or_else(|| self.longest(text, at, self.rules.shortest() - 1)) else {
            return Token::LITERAL;
        };
        if this.length < self.rules.lazy && text.len() - at > this.length + 1 {
            let least = if self.rules.family == Family::Go { self.rules.shortest() - 1 } else { this.length };
            if let Some(next) = self.longest(text, at + 1, least).filter(|next| next.length > this.length) {
                self.found = Some((at + 1, next));
                return Token::LITERAL;
            }
        }
        Token::matching(this.length, this.distance).unwrap_or(Token::LITERAL)
    }

    /// The layer has something else here: what was found ahead is not used.
    pub(super) fn correct(&mut self) {
        self.found = None;
    }

    /// The longest match of more than `least` bytes at `at`, of those that the rules look at.
    fn longest(&mut self, text: &[u8], at: usize, least: usize) -> Option<Match> {
        self.insert(text, at);
        let rules = self.rules;
        let look = LONGEST.min(text.len() - at);
        if look < rules.shortest() || look <= least {
            return None;
        }
        let nice = rules.nice.min(look);
        let tries = if rules.family == Family::Zlib && least >= rules.good { rules.chain >> 2 } else { rules.chain };
        let mut best = Match { length: least, distance: 0 };
        let mut next = self.heads[rules.hash(&text[at..])];
        for tried in 0..tries {
            let Some(place) = (next as usize).checked_sub(1).filter(|place| *place < at) else { break };
            let distance = at - place;
            if self.is_out_of_reach(place, distance, tried) {
                break;
            }
            if text[place + best.length] == text[at + best.length] {
                let length = common(&text[place..place + look], &text[at..at + look]);
                let pays = rules.family == Family::Zlib || length > rules.shortest() || distance <= TOO_FAR;
                if length > best.length && pays {
                    best = Match { length, distance };
                    if length >= nice {
                        break;
                    }
                }
            }
            next = self.before[place % SLOTS];
        }
        let pays = rules.family == Family::Go || best.length > rules.shortest() || best.distance <= TOO_FAR;
        (best.distance > 0 && pays).then_some(best)
    }

    fn is_out_of_reach(&self, place: usize, distance: usize, tried: usize) -> bool {
        match self.rules.family {
            Family::Go => distance > FARTHEST,
            // Zero means none in zlib's tables, so the first byte of a stream is never found again.
            Family::Zlib => (self.at_start && place == 0) || distance > ZLIB_FARTHEST - usize::from(tried > 0),
        }
    }

    /// Puts the places before `to` into their chains, as far as their bytes are there.
    fn insert(&mut self, text: &[u8], to: usize) {
        let end = to.min((text.len() + 1).saturating_sub(self.rules.shortest()));
        for place in self.inserted..end {
            let head = &mut self.heads[self.rules.hash(&text[place..])];
            self.before[place % SLOTS] = *head;
            *head = u32::try_from(place + 1).unwrap_or(0);
        }
        self.inserted = self.inserted.max(end);
    }
}

/// Bytes from the beginning on that are the same.
fn common(a: &[u8], b: &[u8]) -> usize {
    let eights = a.chunks_exact(8).zip(b.chunks_exact(8)).take_while(|(a, b)| a == b).count() * 8;
    eights + a[eights..].iter().zip(&b[eights..]).take_while(|(a, b)| a == b).count()
}
