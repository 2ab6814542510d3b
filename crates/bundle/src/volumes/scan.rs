//! Compares volumes with their index, block by block: what is lost, and whether parity makes up for it.

use std::fmt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::geometry::{BLOCK, Place};
use super::index::Index;
use super::set::VolumeSet;
use super::tally::new_block;
use super::{Meter, Part, Progress};

/// What is lost of a set.
#[derive(Clone, Debug)]
pub struct Damage {
    volumes: Vec<VolumeState>,
    /// For each volume, for each block: whether it is lost.
    lost: Vec<Vec<bool>>,
    verdict: Verdict,
}

/// What is left of one volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeState {
    /// Its name when it was written.
    pub name: String,
    /// Whether it is made of parity.
    pub is_parity: bool,
    /// The file that holds it; none where it is missing.
    pub path: Option<PathBuf>,
    /// Blocks that it has when it is whole.
    pub blocks: u64,
    /// The blocks that are lost.
    pub lost: Vec<Extent>,
    /// Bytes that the file has too many.
    pub excess: u64,
}

/// Blocks from `first` to `last`, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first one.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// Whether what is lost can be rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is lost.
    Whole,
    /// All of it can be rebuilt.
    Repairable,
    /// More is lost than parity makes up for.
    BeyondRepair(Needs),
}

/// What has to be found again before repair can succeed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Blocks of one stripe that are too many to be lost, in the worst stripe.
    pub short: u64,
    /// Volumes and their blocks that would help, where any of them has to come again.
    pub any_of: Vec<(String, Vec<Extent>)>,
}

impl Damage {
    /// Every volume, data first.
    pub fn volumes(&self) -> &[VolumeState] {
        &self.volumes
    }

    /// Whether it can be rebuilt.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// How many blocks are lost.
    pub fn lost_blocks(&self) -> u64 {
        self.lost.iter().flatten().filter(|lost| **lost).count() as u64
    }

    pub(super) fn is_lost(&self, place: Place) -> bool {
        let block = usize::try_from(place.block).unwrap_or(usize::MAX);
        self.lost.get(place.volume).and_then(|volume| volume.get(block)).is_none_or(|lost| *lost)
    }

    /// Whether a volume is anything but what it should be.
    pub(super) fn is_damaged(&self, volume: usize) -> bool {
        self.volumes.get(volume).is_none_or(|state| !state.lost.is_empty() || state.excess > 0)
    }
}

impl VolumeState {
    /// How many of its blocks are lost.
    pub fn lost_blocks(&self) -> u64 {
        self.lost.iter().map(|extent| extent.last - extent.first + 1).sum()
    }
}

/// Reads the volumes from `first` on, and compares every block with the index. Those before it are taken for whole.
pub fn scan(set: &VolumeSet, first: usize, told: &mut dyn FnMut(Progress)) -> Damage {
    let geometry = set.index().geometry();
    let sizes = (first..geometry.volumes()).filter(|volume| set.found(*volume).is_some());
    let mut meter = Meter::new(told, Part::Scanning, sizes.map(|volume| geometry.volume_size(volume)).sum());
    let lost_of = |volume: usize| match volume < first {
        true => vec![false; usize::try_from(geometry.volume_blocks(volume)).unwrap_or(0)],
        false => scan_volume(set, volume, &mut meter),
    };
    let lost: Vec<Vec<bool>> = (0..geometry.volumes()).map(lost_of).collect();
    let volumes = lost.iter().enumerate().map(|(volume, lost)| state(set, volume, lost)).collect();
    let mut damage = Damage { volumes, lost, verdict: Verdict::Whole };
    damage.verdict = verdict(set.index(), &damage);
    damage
}

fn scan_volume(set: &VolumeSet, volume: usize, meter: &mut Meter<'_>) -> Vec<bool> {
    let (index, mut buffer) = (set.index(), new_block());
    let blocks = 0..index.geometry().volume_blocks(volume);
    let Some(found) = set.found(volume) else { return blocks.map(|_| true).collect() };
    let is_lost = |block: u64| {
        let place = Place { volume, block };
        let content = &mut buffer[..index.geometry().block_size(place)];
        // What a medium cannot read any more is lost like what it reads wrongly.
        let lost = found.file.read_exact_at(content, block * BLOCK).is_err() || !index.is_block(place, content);
        meter.advance(content.len() as u64);
        lost
    };
    blocks.map(is_lost).collect()
}

fn state(set: &VolumeSet, volume: usize, lost: &[bool]) -> VolumeState {
    let (index, found) = (set.index(), set.found(volume));
    let size = index.geometry().volume_size(volume);
    VolumeState {
        name: index.volume_name(volume),
        is_parity: volume >= index.geometry().data_volumes(),
        path: found.map(|found| found.path.clone()),
        blocks: lost.len() as u64,
        lost: extents((0..).zip(lost).filter(|(_, lost)| **lost).map(|(block, _)| block)),
        excess: found.map_or(0, |found| found.length.saturating_sub(size)),
    }
}

fn extents(blocks: impl Iterator<Item = u64>) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    for block in blocks {
        match extents.last_mut() {
            Some(extent) if extent.last + 1 == block => extent.last = block,
            _ => extents.push(Extent { first: block, last: block }),
        }
    }
    extents
}

fn verdict(index: &Index, damage: &Damage) -> Verdict {
    let geometry = index.geometry();
    if (0..geometry.volumes()).all(|volume| !damage.is_damaged(volume)) {
        return Verdict::Whole;
    }
    let (mut needed, mut short) = (vec![Vec::new(); geometry.volumes()], 0);
    match geometry.parity() {
        None => {
            for (volume, lost) in damage.lost.iter().enumerate() {
                needed[volume] = (0..).zip(lost).filter(|(_, lost)| **lost).map(|(block, _)| block).collect();
            }
            short = u64::from(needed.iter().any(|blocks| !blocks.is_empty()));
        }
        Some(shape) => {
            for stripe in 0..shape.stripes {
                let shares = geometry.stripe(stripe);
                let lost: Vec<_> = shares.filter(|(_, place)| damage.is_lost(*place)).collect();
                let data_is_lost = lost.iter().any(|(share, _)| share.shard < shape.data);
                if data_is_lost && lost.len() as u64 > shape.parity {
                    short = short.max(lost.len() as u64 - shape.parity);
                    lost.iter().for_each(|(_, place)| needed[place.volume].push(place.block));
                }
            }
        }
    }
    if short == 0 {
        return Verdict::Repairable;
    }
    let of_volume = |(volume, mut blocks): (usize, Vec<u64>)| {
        blocks.sort_unstable();
        (!blocks.is_empty()).then(|| (index.volume_name(volume), extents(blocks.into_iter())))
    };
    Verdict::BeyondRepair(Needs { short, any_of: needed.into_iter().enumerate().filter_map(of_volume).collect() })
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// `up to 1 more block of each stripe, from NAME.002 (blocks 0-3, 7)`.
impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.short == 1 { "block" } else { "blocks" };
        write!(f, "up to {} more {plural} of each stripe, from", self.short)?;
        for (number, (name, extents)) in self.any_of.iter().enumerate() {
            let separator = if number == 0 { " " } else { "; " };
            let is_one = matches!(extents.as_slice(), [extent] if extent.first == extent.last);
            let plural = if is_one { "block" } else { "blocks" };
            let blocks: Vec<String> = extents.iter().map(ToString::to_string).collect();
            write!(f, "{separator}{name} ({plural} {})", blocks.join(", "))?;
        }
        Ok(())
    }
}
