//! Which block stands where: a pure function of the sizes and of the shape of the code.
//!
//! Block `i` of the bundle belongs to the stripe `i mod stripes`. Neighbours never share a stripe, so a scratch costs
//! each stripe little; and a volume, which is a run of neighbours, has about as many blocks in each stripe.

use super::size::{Percent, VolumeSize};

/// Bytes of a block.
pub const BLOCK: u64 = 1 << 20;
/// Volumes of one set at most: all of them are open at once.
pub const MAX_VOLUMES: u64 = 800;
/// Blocks of one set at most, parity included, so that the index stays small: about 730 GiB.
pub(super) const MAX_BLOCKS: u64 = 750_000;
/// Blocks in memory at once: what decoding a stripe takes, in blocks. A power of two.
const MAX_WORK: u64 = 128;

/// How a bundle is cut, and how parity is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    size: u64,
    cut: u64,
    parity: Option<ParityShape>,
}

/// The shape of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParityShape {
    /// How many stripes the blocks are dealt to.
    pub stripes: u64,
    /// Data blocks of one stripe; some have one fewer, counted as zeros.
    pub data: u64,
    /// Parity blocks of one stripe.
    pub parity: u64,
}

/// A block of one volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The volume: data volumes first, from 0.
    pub volume: usize,
    /// The block within it, from 0.
    pub block: u64,
}

/// A block's part in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) stripe: u64,
    /// Data from 0, then parity from [`ParityShape::data`].
    pub(super) shard: u64,
}

impl Geometry {
    /// How a bundle of `size` bytes is cut. None where that makes more volumes or blocks than a set may have.
    pub fn plan(size: u64, cut: VolumeSize, parity: Percent) -> Option<Self> {
        let geometry = Self { size, cut: cut.bytes(), parity: None };
        let shape = (parity.get() > 0).then(|| geometry.shape(u64::from(parity.get())));
        Self { parity: shape, ..geometry }.checked()
    }

    /// The geometry that an index claims. None where it contradicts itself or takes too much memory.
    pub(super) fn claimed(size: u64, cut: u64, parity: Option<ParityShape>) -> Option<Self> {
        if size == 0 || cut == 0 || !cut.is_multiple_of(BLOCK) || size > MAX_BLOCKS * BLOCK {
            return None;
        }
        let geometry = Self { size, cut, parity };
        let is_sound = |shape: ParityShape| {
            (1..=geometry.blocks()).contains(&shape.stripes)
                && shape.data == geometry.blocks().div_ceil(shape.stripes)
                && (1..=MAX_WORK).contains(&shape.parity)
                && shape.data + shape.parity.next_power_of_two() <= MAX_WORK
        };
        if parity.is_none_or(is_sound) { geometry.checked() } else { None }
    }

    fn checked(self) -> Option<Self> {
        let fits = self.volumes() as u64 <= MAX_VOLUMES && self.blocks() + self.parity_blocks() <= MAX_BLOCKS;
        fits.then_some(self)
    }

    /// As many blocks of each volume in a stripe as keep all of a stripe in memory; at least one, which more than
    /// about a hundred volumes take in turns.
    fn shape(&self, percent: u64) -> ParityShape {
        let limit = most_data(percent);
        let volumes = self.data_volumes() as u64;
        let of_volume = (limit / volumes).max(1);
        let longest = self.cut_blocks().min(self.blocks());
        let stripes = longest.div_ceil(of_volume).max(self.blocks().div_ceil(limit)).max(1);
        let data = self.blocks().div_ceil(stripes);
        ParityShape { stripes, data, parity: (data * percent).div_ceil(100) }
    }

    /// Bytes of the bundle.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of every data volume but the last.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// The shape of the code, where there is one.
    pub fn parity(&self) -> Option<ParityShape> {
        self.parity
    }

    /// Blocks of the bundle; the last may be short.
    pub fn blocks(&self) -> u64 {
        self.size.div_ceil(BLOCK)
    }

    /// Blocks of parity.
    pub fn parity_blocks(&self) -> u64 {
        self.parity.map_or(0, |shape| shape.stripes.saturating_mul(shape.parity))
    }

    /// Volumes that make up the bundle.
    pub fn data_volumes(&self) -> usize {
        usize::try_from(self.size.div_ceil(self.cut)).unwrap_or(usize::MAX)
    }

    /// All volumes.
    pub fn volumes(&self) -> usize {
        let parity = self.parity.map_or(0, |shape| {
            let spread = self.spread(shape);
            shape.stripes.div_ceil(spread.range).saturating_mul(spread.columns)
        });
        self.data_volumes().saturating_add(usize::try_from(parity).unwrap_or(usize::MAX))
    }

    /// Bytes of `volume`.
    pub fn volume_size(&self, volume: usize) -> u64 {
        if volume < self.data_volumes() {
            return self.cut.min(self.size - volume as u64 * self.cut);
        }
        self.column(volume)
            .map_or(0, |column| column.stripes.end.saturating_sub(column.stripes.start) * column.rows * BLOCK)
    }

    /// Blocks of `volume`.
    pub fn volume_blocks(&self, volume: usize) -> u64 {
        self.volume_size(volume).div_ceil(BLOCK)
    }

    /// Bytes of the block at `place`.
    pub(super) fn block_size(&self, place: Place) -> usize {
        let left = self.volume_size(place.volume).saturating_sub(place.block * BLOCK);
        usize::try_from(left.min(BLOCK)).unwrap_or(0)
    }

    fn cut_blocks(&self) -> u64 {
        self.cut / BLOCK
    }

    /// Where the block of a share stands; none for data that is only counted as zeros.
    pub(super) fn place(&self, share: Share) -> Option<Place> {
        let shape = self.parity?;
        let Share { stripe, shard } = share;
        if shard < shape.data {
            let block = shard * shape.stripes + stripe;
            let volume = usize::try_from(block / self.cut_blocks()).ok()?;
            return (block < self.blocks()).then_some(Place { volume, block: block % self.cut_blocks() });
        }
        let (spread, row) = (self.spread(shape), shard - shape.data);
        let (range, column) = (stripe / spread.range, row % spread.columns);
        let volume = self.data_volumes() + usize::try_from(range * spread.columns + column).ok()?;
        let rows = spread.rows(shape, column);
        Some(Place { volume, block: (stripe - range * spread.range) * rows + row / spread.columns })
    }

    /// Every share of a stripe, those that are only counted as zeros left out.
    pub(super) fn stripe(&self, stripe: u64) -> impl Iterator<Item = (Share, Place)> + '_ {
        let shards = self.parity.map_or(0, |shape| shape.data + shape.parity);
        let share = move |shard| Share { stripe, shard };
        (0..shards).filter_map(move |shard| Some((share(shard), self.place(share(shard))?)))
    }

    /// The stripes whose parity one group of parity volumes holds, and those volumes.
    pub(super) fn parity_groups(&self) -> Vec<(std::ops::Range<u64>, std::ops::Range<usize>)> {
        let Some(shape) = self.parity else { return Vec::new() };
        let spread = self.spread(shape);
        let columns = usize::try_from(spread.columns).unwrap_or(usize::MAX);
        let group = |number: u64| {
            let first = self.data_volumes() + usize::try_from(number).unwrap_or(usize::MAX) * columns;
            let stripes = number * spread.range..((number + 1) * spread.range).min(shape.stripes);
            (stripes, first..first + columns)
        };
        (0..shape.stripes.div_ceil(spread.range)).map(group).collect()
    }

    fn spread(&self, shape: ParityShape) -> Spread {
        let range = shape.stripes.div_ceil(shape.stripes.div_ceil(self.cut_blocks()));
        let fits = |columns: &u64| range * shape.parity.div_ceil(*columns) <= self.cut_blocks();
        Spread { range, columns: (1..=shape.parity).find(fits).unwrap_or(shape.parity) }
    }

    fn column(&self, volume: usize) -> Option<Column> {
        let shape = self.parity?;
        let spread = self.spread(shape);
        let number = (volume as u64).checked_sub(self.data_volumes() as u64)?;
        let (range, column) = (number / spread.columns, number % spread.columns);
        let stripes = range * spread.range..((range + 1) * spread.range).min(shape.stripes);
        (stripes.start < stripes.end).then(|| Column { stripes, rows: spread.rows(shape, column) })
    }
}

/// How the parity of all stripes is spread over parity volumes.
#[derive(Clone, Copy)]
struct Spread {
    /// Stripes whose parity stands in one group of parity volumes.
    range: u64,
    /// Volumes of a group.
    columns: u64,
}

impl Spread {
    /// Blocks that a stripe has in the volume `column` of its group.
    fn rows(self, shape: ParityShape, column: u64) -> u64 {
        (shape.parity - column).div_ceil(self.columns)
    }
}

/// What one parity volume holds.
struct Column {
    stripes: std::ops::Range<u64>,
    rows: u64,
}

/// Data blocks of a stripe at most, so that decoding it works on no more than [`MAX_WORK`] blocks.
fn most_data(percent: u64) -> u64 {
    let fits = |data: &u64| data + (data * percent).div_ceil(100).next_power_of_two() <= MAX_WORK;
    (1..=MAX_WORK).rev().find(fits).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn geometry(blocks: u64, cut: u64, percent: u64) -> Geometry {
        let percent: Percent = percent.to_string().parse().unwrap();
        Geometry::plan(blocks * BLOCK - 7, VolumeSize::of_bytes(cut * BLOCK).unwrap(), percent).unwrap()
    }

    #[test]
    fn a_tenth_of_parity_in_ten_volumes_makes_up_for_one_of_them() {
        let geometry = geometry(10 * 3814, 3814, 10);
        assert_eq!(geometry.parity(), Some(ParityShape { stripes: 347, data: 110, parity: 11 }));
        assert_eq!((geometry.data_volumes(), geometry.volumes()), (10, 12));
    }

    #[test]
    fn what_takes_too_much_is_not_planned() {
        let plan = |size, cut| Geometry::plan(size, VolumeSize::of_bytes(cut).unwrap(), "10".parse().unwrap());
        assert_eq!(plan(1 << 40, 4 << 30), None);
        assert_eq!(plan(1 << 30, 1 << 20), None);
        assert!(plan(512 << 30, 4 << 30).is_some());
        let shape = |stripes, data, parity| Some(ParityShape { stripes, data, parity });
        assert_eq!(Geometry::claimed(10 << 20, 10 << 20, shape(1, 10, 119)), None);
        assert_eq!(Geometry::claimed(1000 << 20, 1000 << 20, shape(1, 1000, 1)), None);
        assert_eq!(Geometry::claimed(10 << 20, 10 << 20, shape(0, 10, 1)), None);
        assert_eq!(Geometry::claimed(u64::MAX, 1 << 20, shape(1, 10, 1)), None);
        assert!(Geometry::claimed(10 << 20, 10 << 20, shape(1, 10, 1)).is_some());
    }

    proptest! {
        #[test]
        fn every_block_has_one_place_and_every_stripe_little_of_each_volume(
            blocks in 1_u64..700, cut in 1_u64..200, percent in 1_u64..=100,
        ) {
            prop_assume!(blocks.div_ceil(cut) < 300);
            let geometry = geometry(blocks, cut, percent);
            let shape = geometry.parity().unwrap();
            prop_assert!(shape.data + shape.parity.next_power_of_two() <= MAX_WORK);
            let mut seen = BTreeSet::new();
            for stripe in 0..shape.stripes {
                let mut of_volume = BTreeMap::<usize, u64>::new();
                for (_, place) in geometry.stripe(stripe) {
                    prop_assert!(seen.insert(place), "{place:?} twice");
                    prop_assert!(place.block < geometry.volume_blocks(place.volume));
                    *of_volume.entry(place.volume).or_default() += 1;
                }
                let fair = cut.min(blocks).div_ceil(shape.stripes);
                let data = of_volume.iter().filter(|(volume, _)| **volume < geometry.data_volumes());
                prop_assert!(data.clone().all(|(_, count)| *count <= fair));
            }
            let all: u64 = (0..geometry.volumes()).map(|volume| geometry.volume_blocks(volume)).sum();
            prop_assert_eq!(all, seen.len() as u64);
            prop_assert_eq!(all, blocks + geometry.parity_blocks());
            let data: u64 = (0..geometry.data_volumes()).map(|volume| geometry.volume_size(volume)).sum();
            prop_assert_eq!(data, geometry.size());
            prop_assert!((0..geometry.volumes()).all(|volume| (1..=cut * BLOCK).contains(&geometry.volume_size(volume))));
        }

        #[test]
        fn parity_costs_what_was_asked_for(blocks in 1_000_u64..100_000, volumes in 1_u64..100, percent in 5_u64..=100) {
            let cut = blocks.div_ceil(volumes);
            let geometry = geometry(blocks, cut, percent);
            let bound = (blocks * (100 + percent)) as f64 * 1.02 / 100.0;
            let taken = (blocks + geometry.parity_blocks()) as f64;
            prop_assert!(taken <= bound, "{taken} of {bound} {:?}", geometry.parity());
        }
    }
}
