//! The code against a second one, written from docs/formats/volumes.md with nothing but long multiplication; and the vector.

use sealock_trust::Digest;

use super::*;
use crate::volumes::geometry::{Geometry, Share};
use crate::volumes::index::{Index, Volume};
use crate::volumes::tally::{Tally, new_block, pieces};
use crate::volumes::{Percent, VolumeSize};

const BASIS: [u16; 16] = [
    0x0001, 0xACCA, 0x3C0E, 0x163E, 0xC582, 0xED2E, 0x914C, 0x4012, 0x6C98, 0x10D8, 0x6A72, 0xB900, 0xFDB8, 0xFB34,
    0xFF38, 0x991E,
];

/// ω: the element that a symbol stands for, as a polynomial in binary.
fn element(symbol: u16) -> u16 {
    (0..16).filter(|bit| symbol >> bit & 1 == 1).fold(0, |sum, bit| sum ^ BASIS[bit])
}

fn multiply(left: u16, right: u16) -> u16 {
    let mut product = 0_u32;
    for bit in (0..16).rev() {
        product <<= 1;
        if product & 0x1_0000 != 0 {
            product ^= 0x1_002D;
        }
        if right >> bit & 1 == 1 {
            product ^= u32::from(left);
        }
    }
    u16::try_from(product).unwrap()
}

fn invert(element: u16) -> u16 {
    // x^(2^16 - 2)
    (1..16)
        .fold((1, element), |(product, power), _| {
            let square = multiply(power, power);
            (multiply(product, square), square)
        })
        .0
}

/// The value at `at` of the polynomial through `points`, by Lagrange's formula.
fn interpolate(points: &[(u16, u16)], at: u16) -> u16 {
    let term = |number: usize| {
        let (x, y) = points[number];
        let others = points.iter().enumerate().filter(|(other, _)| *other != number);
        others.fold(y, |product, (_, (other, _))| multiply(product, multiply(at ^ other, invert(x ^ other))))
    };
    (0..points.len()).fold(0, |sum, number| sum ^ term(number))
}

/// The parity symbols of one place, by the book.
fn parity_by_the_book(data: &[u16], parity: usize) -> Vec<u16> {
    let chunk = parity.next_power_of_two();
    let value = |row: usize| {
        data.chunks(chunk).enumerate().fold(0, |sum, (number, shards)| {
            let shard = |i: usize| element(shards.get(i).copied().unwrap_or(0));
            let point = |i: usize| (element(u16::try_from((number + 1) * chunk + i).unwrap()), shard(i));
            let points: Vec<(u16, u16)> = (0..chunk).map(point).collect();
            sum ^ interpolate(&points, element(u16::try_from(row).unwrap()))
        })
    };
    (0..parity).map(value).collect()
}

fn symbol(block: &[u8], number: usize) -> u16 {
    let at = number / 32 * 64 + number % 32;
    u16::from(block[at]) | u16::from(block[at + 32]) << 8
}

fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..BLOCK).map(|_| next()).collect()
}

#[test]
fn parity_is_what_the_page_says() {
    for (data, parity) in [(1, 1), (5, 3), (7, 1), (8, 4), (21, 6), (112, 12), (3, 5), (20, 17)] {
        let shape = ParityShape { stripes: 1, data, parity };
        let mut encoder = Encoder::new(shape).unwrap();
        let blocks: Vec<Vec<u8>> = (0..data).map(|shard| noise(shard + 1000 * parity)).collect();
        blocks.iter().for_each(|block| encoder.add(block).unwrap());
        let mut made = Vec::new();
        encoder
            .finish(|_, block| {
                made.push(block.to_vec());
                Ok::<_, CodeError>(())
            })
            .unwrap();
        for number in [31, 100_003] {
            let symbols: Vec<u16> = blocks.iter().map(|block| symbol(block, number)).collect();
            let expected = parity_by_the_book(&symbols, usize::try_from(parity).unwrap());
            let found: Vec<u16> = made.iter().map(|block| element(symbol(block, number))).collect();
            assert_eq!(found, expected, "{data}+{parity}, symbol {number}");
        }
    }
}

#[test]
fn any_blocks_that_are_left_bring_back_the_others() {
    let shape = ParityShape { stripes: 1, data: 21, parity: 6 };
    let (mut encoder, mut decoder) = (Encoder::new(shape).unwrap(), Decoder::new(shape).unwrap());
    let mut blocks: Vec<Vec<u8>> = (0..20).map(noise).collect();
    blocks.iter().for_each(|block| encoder.add(block).unwrap());
    encoder
        .finish(|_, block| {
            blocks.push(block.to_vec());
            Ok::<_, CodeError>(())
        })
        .unwrap();
    // The last data block does not exist, and counts as zeros.
    blocks.insert(20, new_block());
    for lost in [[0, 1, 2, 3, 4, 5], [19, 20, 21, 22, 25, 26], [3, 9, 14, 18, 23, 24]] {
        let left = (0..27).filter(|shard| !lost.contains(shard));
        left.take(21).for_each(|shard| decoder.add(shard as u64, &blocks[shard]).unwrap());
        let mut restored = Vec::new();
        decoder
            .finish(|shard, block| {
                assert!(block == blocks[usize::try_from(shard).unwrap()]);
                restored.push(shard);
                Ok::<_, CodeError>(())
            })
            .unwrap();
        let expected: Vec<u64> = lost.iter().filter(|shard| **shard < 21).map(|shard| *shard as u64).collect();
        assert_eq!(restored, expected);
    }
}

/// The "bundle" of the vector.
fn content() -> Vec<u8> {
    let byte = |n: u32| (n ^ (n >> 8) ^ ((n >> 16) * 31)).to_le_bytes()[0];
    (0..7_864_321).map(byte).collect()
}

/// Cut by the book: block by block, from its place on the page.
fn index_by_the_book(content: &[u8]) -> Index {
    let size: VolumeSize = "2MiB".parse().unwrap();
    let geometry = Geometry::plan(content.len() as u64, size, "30%".parse::<Percent>().unwrap()).unwrap();
    let shape = geometry.parity().unwrap();
    let mut volumes: Vec<Vec<u8>> = content.chunks(2 << 20).map(<[u8]>::to_vec).collect();
    volumes.resize(geometry.volumes(), Vec::new());
    let mut encoder = Encoder::new(shape).unwrap();
    for stripe in 0..shape.stripes {
        for shard in 0..shape.data {
            let start = usize::try_from((shard * shape.stripes + stripe) * BLOCK).unwrap();
            let block = content.get(start..).unwrap_or_default();
            let mut block = block[..block.len().min(1 << 20)].to_vec();
            block.resize(1 << 20, 0);
            encoder.add(&block).unwrap();
        }
        encoder
            .finish(|row, block| {
                let place = geometry.place(Share { stripe, shard: shape.data + row }).unwrap();
                assert_eq!(place.block * BLOCK, volumes[place.volume].len() as u64, "parity is written in order");
                volumes[place.volume].extend_from_slice(block);
                Ok::<_, CodeError>(())
            })
            .unwrap();
    }
    let describe = |volume: &Vec<u8>| -> Volume {
        let mut tally = Tally::new();
        for (start, length) in pieces(volume.len() as u64) {
            let start = usize::try_from(start).unwrap();
            tally.push(&volume[start..start + length]);
        }
        tally.finish()
    };
    Index::new(Digest::sha256(b"volumes"), "vector.tar", geometry, volumes.iter().map(describe).collect())
}

#[test]
fn the_vector_holds() {
    let made = index_by_the_book(&content()).to_bytes().unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/vectors/volumes.json");
    let vector = std::fs::read(path).unwrap();
    assert!(made == vector, "made: {}", String::from_utf8_lossy(&made));
    assert_eq!(Index::from_bytes(&vector).unwrap().geometry().volumes(), 6);
}
