//! Patches work out, and hostile ones are refused before they cost anything.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::container::{Encoding, MAX_RAW, MAX_RECIPE, Record, write_head};
use super::*;

const BASE: &[u8] = include_bytes!("../../testdata/vectors/layer-patch/base.gz");
const GO: &[u8] = include_bytes!("../../testdata/vectors/layer-patch/layer-go.gz");
const ZLIB: &[u8] = include_bytes!("../../testdata/vectors/layer-patch/layer-zlib-6.gz");

fn made(base: &[u8], layer: &[u8]) -> Result<Vec<u8>, MakeError> {
    let sketch = Sketch::of(base).unwrap().unwrap();
    let mut patch = Vec::new();
    make(base, &sketch, layer, &mut patch)?;
    Ok(patch)
}

fn applied(base: &[u8], patch: &[u8]) -> Result<Vec<u8>, PatchError> {
    let mut layer = Vec::new();
    apply(base, patch, &mut layer)?;
    Ok(layer)
}

fn plain(layer: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(layer).read_to_end(&mut text).unwrap();
    text
}

/// A patch on a plain base of these records.
fn forged(records: &[Record]) -> Vec<u8> {
    let mut patch = Vec::new();
    write_head(Encoding::Plain, &mut patch).unwrap();
    for record in records {
        record.write(&mut patch).unwrap();
    }
    patch
}

fn frame(text: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(text.len()));
    zstd_safe::compress(&mut frame, text, 3).unwrap();
    frame
}

fn problem(base: &[u8], records: &[Record]) -> String {
    match applied(base, &forged(records)).unwrap_err() {
        PatchError::Form(problem) | PatchError::Base(problem) => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn layers_of_every_make_come_out_the_same_and_save_most() {
    for layer in [GO, ZLIB, &plain(GO)] {
        for base in [BASE, &plain(BASE)] {
            let patch = made(base, layer).unwrap();
            assert!(applied(base, &patch).unwrap() == layer);
            assert!(patch.len() * 3 < layer.len(), "{} of {}", patch.len(), layer.len());
            assert!(made(base, layer).unwrap() == patch, "the same each time");
        }
    }
}

#[test]
fn members_names_and_what_stands_behind_come_out_the_same() {
    let mut layer = ZLIB.to_vec();
    layer.extend_from_slice(GO);
    let mut named = flate2::GzBuilder::new()
        .filename("layer.tar")
        .comment("made for this")
        .extra(vec![1, 2, 3])
        .mtime(77)
        .write(Vec::new(), Compression::new(9));
    named.write_all(b"hello").unwrap();
    layer.extend_from_slice(&named.finish().unwrap());
    layer.extend_from_slice(&[0; 700]);
    let patch = made(BASE, &layer).unwrap();
    assert!(applied(BASE, &patch).unwrap() == layer);
}

#[test]
fn empty_layers_and_bases_are_no_trouble() {
    let mut empty = GzEncoder::new(Vec::new(), Compression::default());
    empty.write_all(b"").unwrap();
    let empty = empty.finish().unwrap();
    for (base, layer) in [(BASE, &empty[..]), (&empty[..], GO), (BASE, &[]), (&[], GO), (&[], &[])] {
        let patch = made(base, layer).unwrap();
        assert!(applied(base, &patch).unwrap() == layer);
    }
}

#[test]
fn what_is_not_made_again_is_said_to_be_unfit() {
    let unfit = |layer: &[u8]| match made(BASE, layer).unwrap_err() {
        MakeError::Unfit(why) => why,
        other => panic!("{other}"),
    };
    insta::assert_snapshot!(unfit(&frame(b"hello")), @"it is packed with zstd");
    insta::assert_snapshot!(unfit(&GO[..GO.len() / 2]), @"it ends early");
    insta::assert_snapshot!(unfit(&GO[..5]), @"it ends early");
    insta::assert_snapshot!(unfit(&[GO, &vec![7; MAX_RAW + 1]].concat()), @"there is too much behind its gzip members");
    let mut damaged = GO.to_vec();
    damaged[12..40].fill(0xff);
    unfit(&damaged);
}

#[test]
fn long_texts_are_patched_window_by_window() {
    // Longer than the window, with the parts that are in both far apart.
    let piece = |seed: u32| -> Vec<u8> {
        let mut state = seed | 1;
        (0..9 << 20)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    };
    let base: Vec<u8> = (0..9).flat_map(|seed| piece(seed * 2)).collect();
    let layer: Vec<u8> = [0, 3, 4, 8].into_iter().flat_map(|seed| piece(seed * 2)).collect();
    assert!(base.len() > WINDOW && layer.len() > SEGMENT);
    let patch = made(&base, &layer).unwrap();
    assert!(applied(&base, &patch).unwrap() == layer);
    assert!(patch.len() < 100_000, "{}", patch.len());
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let zeros = frame(&vec![0; SEGMENT + 1]);
    assert!(zeros.len() < 10_000);
    let text =
        |size: usize, frame: &[u8]| Record::Text { from: 0, length: 0, size: size as u32, frame: frame.to_vec() };
    insta::assert_snapshot!(problem(b"", &[text(SEGMENT, &zeros)]), @"a frame is damaged: Destination buffer is too small");
    insta::assert_snapshot!(problem(b"", &[text(SEGMENT + 1, &zeros)]), @"it says 16777217 where 16777216 is the most");
    insta::assert_snapshot!(problem(b"", &[text(5, &frame(b"four"))]), @"a frame makes more or fewer bytes than it says");
    let recipe = Record::Deflate { rules: Some(0x16), size: 0, made: 0, recipe: frame(&vec![0; MAX_RECIPE + 1]) };
    insta::assert_snapshot!(problem(b"", &[recipe]), @"a recipe does not say its size");
}

#[test]
fn lengths_that_only_a_header_promises_take_no_memory() {
    for (kind, most) in [(1_u8, MAX_RAW), (4, MAX_RECIPE)] {
        let mut patch = forged(&[]);
        patch.push(kind);
        if kind == 4 {
            patch.extend_from_slice(&[0x16, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        patch.extend_from_slice(&(most as u32).to_le_bytes());
        assert!(matches!(applied(b"", &patch), Err(PatchError::Form(problem)) if problem == "it ends early"));
        patch.truncate(patch.len() - 4);
        patch.extend_from_slice(&(most as u32 + 1).to_le_bytes());
        assert!(matches!(applied(b"", &patch), Err(PatchError::Form(problem)) if problem.contains("is the most")));
    }
}

#[test]
fn what_is_out_of_range_is_refused() {
    let text = |from: u64, length: u32| Record::Text { from, length, size: 2, frame: frame(b"ab") };
    let end = Record::End(2);
    let good = [text(0, 4), Record::Copy(2), end.clone()];
    assert_eq!(applied(b"base", &forged(&good)).unwrap(), b"ab");
    let refusals = [
        ("prefix beyond the base", problem(b"base", &[text(0, 5)])),
        ("prefix that begins beyond the base", problem(b"base", &[text(9, 1)])),
        ("prefix beyond all numbers", problem(b"base", &[text(u64::MAX, 4)])),
        ("prefix beyond all bounds", problem(b"base", &[text(1 << 40, 4)])),
        ("prefix before the last one", problem(b"base", &[text(2, 1), Record::Copy(2), text(1, 1)])),
        ("text that is not there", problem(b"base", &[text(0, 4), Record::Copy(3)])),
        ("text before any", problem(b"base", &[Record::Copy(1)])),
        ("text that is left over", problem(b"base", &[text(0, 4), Record::Copy(1), text(0, 4)])),
        ("text that is left at the end", problem(b"base", &[text(0, 4), Record::End(0)])),
        ("another size than it says", problem(b"base", &[text(0, 4), Record::Copy(2), Record::End(3)])),
        ("bytes behind the end", problem(b"base", &[text(0, 4), Record::Copy(2), end, Record::Copy(0)])),
        ("no end", problem(b"base", &[text(0, 4), Record::Copy(2)])),
        ("a stream that never began", {
            problem(b"", &[Record::Deflate { rules: None, size: 0, made: 0, recipe: frame(&[0, 0]) }])
        }),
        ("unknown rules", {
            problem(b"", &[Record::Deflate { rules: Some(0x55), size: 0, made: 0, recipe: frame(&[0, 0]) }])
        }),
        ("a chunk that makes less", {
            problem(b"", &[Record::Deflate { rules: Some(0x16), size: 0, made: 9, recipe: frame(&[0, 0]) }])
        }),
    ];
    let refusals: Vec<String> = refusals.iter().map(|(what, problem)| format!("{what}: {problem}")).collect();
    insta::assert_snapshot!(refusals.join("\n"));
    let unknown = [forged(&[]), vec![9]].concat();
    assert!(matches!(applied(b"", &unknown), Err(PatchError::Form(_))));
    assert!(matches!(applied(b"", b"something else, not a patch"), Err(PatchError::Form(_))));
}

#[test]
fn another_base_makes_another_layer_or_none() {
    let patch = made(BASE, GO).unwrap();
    let digest = sealock_trust::Digest::sha256(GO);
    let size = GO.len() as u64;
    prove(BASE, &patch[..], &digest, size).unwrap();
    let mut other = GzEncoder::new(Vec::new(), Compression::default());
    let mut text = plain(BASE);
    text.iter_mut().for_each(|byte| *byte ^= 1);
    other.write_all(&text).unwrap();
    prove(&other.finish().unwrap()[..], &patch[..], &digest, size).unwrap_err();
    assert!(matches!(prove(&BASE[..900], &patch[..], &digest, size), Err(PatchError::Base(_))));
    assert!(matches!(prove(&b"no gzip"[..], &patch[..], &digest, size), Err(PatchError::Base(_))));
    assert!(matches!(prove(BASE, &patch[..], &digest, size - 1), Err(PatchError::Other { .. })));
    assert!(matches!(prove(BASE, &patch[..], &digest, size + 1), Err(PatchError::Other { .. })));
    let another = sealock_trust::Digest::sha256(b"another");
    assert!(matches!(prove(BASE, &patch[..], &another, size), Err(PatchError::Other { .. })));
}

/// What the format page describes stays readable, whatever later versions make.
#[test]
fn the_vector_is_read() {
    let patch = include_bytes!("../../testdata/vectors/layer-patch/layer-go.patch");
    assert!(applied(BASE, patch).unwrap() == GO);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_flipped_bit_passes_for_nothing_else(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut patch = include_bytes!("../../testdata/vectors/layer-patch/layer-go.patch").to_vec();
        let at = at.index(patch.len());
        patch[at] ^= 1 << bit;
        // Some bits mean nothing, such as those that fill up a header: then it is the layer, and nothing else is taken for it.
        match prove(BASE, &patch[..], &sealock_trust::Digest::sha256(GO), GO.len() as u64) {
            Ok(()) => prop_assert!(applied(BASE, &patch).unwrap() == GO),
            Err(error) => prop_assert!(!error.is_environment(), "{}", error),
        }
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = applied(b"base", &bytes);
        let _ = applied(b"base", &[forged(&[]), bytes].concat());
    }
}
