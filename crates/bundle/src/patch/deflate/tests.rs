//! Streams of real compressors come out the same, and of anything else nothing comes out at all.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;

use super::*;

const GO: &[u8] = include_bytes!("../../../testdata/vectors/layer-patch/layer-go.gz");
const ZLIB_1: &[u8] = include_bytes!("../../../testdata/vectors/layer-patch/layer-zlib-1.gz");
const ZLIB_6: &[u8] = include_bytes!("../../../testdata/vectors/layer-patch/layer-zlib-6.gz");
const ZLIB_9: &[u8] = include_bytes!("../../../testdata/vectors/layer-patch/layer-zlib-9.gz");

/// The stream in a gzip file, whose header has `head` bytes.
fn stream(file: &[u8], head: usize) -> &[u8] {
    &file[head..file.len() - 8]
}

fn inflated(stream: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    DeflateDecoder::new(stream).read_to_end(&mut text).unwrap();
    text
}

/// Takes a stream apart: each chunk and its text.
fn taken_apart(stream: &[u8]) -> Result<Vec<(Chunk, Vec<u8>)>, Unfit> {
    let (mut reader, mut analyser, mut chunks) = (BitReader::new(stream), Analyser::default(), Vec::new());
    loop {
        let chunk = analyser.next(&mut reader, None)?;
        let ends = chunk.ends;
        chunks.push((chunk, analyser.text().to_vec()));
        if ends {
            return Ok(chunks);
        }
    }
}

fn put_together(chunks: &[(Chunk, Vec<u8>)]) -> Result<Vec<u8>, Unfit> {
    let mut rebuilder = Rebuilder::new(chunks[0].0.rules)?;
    let mut stream = Vec::new();
    for (chunk, text) in chunks {
        let bytes = rebuilder.next(text, &chunk.recipe)?;
        assert_eq!(bytes.len(), chunk.made);
        stream.extend_from_slice(&bytes);
    }
    Ok(stream)
}

/// Bytes of the recipes, and the rules.
fn cost(stream: &[u8]) -> (usize, u8) {
    let chunks = taken_apart(stream).unwrap();
    let text: Vec<u8> = chunks.iter().flat_map(|(_, text)| text).copied().collect();
    assert!(text == inflated(stream), "the text is another one");
    assert!(put_together(&chunks).unwrap() == stream, "the stream is another one");
    (chunks.iter().map(|(chunk, _)| chunk.recipe.len()).sum(), chunks[0].0.rules)
}

#[test]
fn what_go_and_zlib_make_is_predicted_and_costs_next_to_nothing() {
    for (file, head, family) in [(GO, 10, 0x10), (ZLIB_6, 20, 0x20), (ZLIB_9, 10, 0x20)] {
        let stream = stream(file, head);
        let (recipe, rules) = cost(stream);
        assert_eq!(rules & 0xf0, family);
        assert!(recipe * 100 < stream.len(), "{rules:x}: {recipe} of {}", stream.len());
    }
}

#[test]
fn what_nobody_predicts_comes_out_the_same_all_the_same() {
    let (recipe, _) = cost(stream(ZLIB_1, 10));
    assert!(recipe < ZLIB_1.len());
    for level in 0..=9 {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(&inflated(stream(GO, 10))).unwrap();
        cost(&encoder.finish().unwrap());
    }
}

#[test]
fn a_stream_of_many_chunks_goes_on_where_the_last_one_ended() {
    let text = inflated(stream(GO, 10)).repeat(70);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(&text).unwrap();
    let stream = encoder.finish().unwrap();
    assert!(taken_apart(&stream).unwrap().len() > 2);
    cost(&stream);
}

#[test]
fn flushes_and_empty_blocks_come_out_the_same() {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    for piece in inflated(stream(GO, 10)).chunks(10_000) {
        encoder.write_all(piece).unwrap();
        encoder.flush().unwrap();
    }
    cost(&encoder.finish().unwrap());
    cost(&[3, 0]);
    cost(&[1, 0, 0, 0xff, 0xff]);
}

#[test]
fn a_recipe_for_another_text_is_refused_or_makes_another_stream() {
    let chunks = taken_apart(stream(GO, 10)).unwrap();
    let (chunk, text) = &chunks[0];
    let build = |text: &[u8], recipe: &[u8]| Rebuilder::new(chunk.rules).unwrap().next(text, recipe);
    let is_refused = |result: Result<Vec<u8>, Unfit>| matches!(result, Err(Unfit::Form(_)));
    assert!(is_refused(build(&text[1..], &chunk.recipe)));
    assert!(is_refused(build(&[text, &b"more"[..]].concat(), &chunk.recipe)));
    assert!(is_refused(build(text, &[&chunk.recipe[..], &[0]].concat())));
    for length in 0..chunk.recipe.len() {
        assert!(is_refused(build(text, &chunk.recipe[..length])), "{length}");
    }
    assert!(is_refused(build(&[], &[0xff; 8])));
    for rules in [0, 1, 0x13, 0x2a, 0x30, 0xff] {
        assert!(Rebuilder::new(rules).is_err());
    }
}

#[test]
fn damaged_streams_are_refused() {
    for damaged in [&[][..], &[7], &[1, 5, 0, 0, 0], &[0xed, 0xff, 0xff, 0xff], &[5, 0xe0, 0x81, 8, 0, 0]] {
        assert!(taken_apart(damaged).is_err(), "{damaged:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(chunks) = taken_apart(&bytes) {
            // A stream may end before the bytes do.
            prop_assert!(bytes.starts_with(&put_together(&chunks).unwrap()));
        }
    }

    #[test]
    fn no_recipe_breaks_the_rebuilder(
        at in any::<prop::sample::Index>(),
        bits in 1_u8..,
        rules in prop::sample::select(vec![0x16_u8, 0x26, 0x29]),
    ) {
        let chunks = taken_apart(stream(GO, 10)).unwrap();
        let (chunk, text) = &chunks[0];
        let mut recipe = chunk.recipe.clone();
        let at = at.index(recipe.len());
        recipe[at] ^= bits;
        let _ = Rebuilder::new(rules).unwrap().next(text, &recipe);
    }

    #[test]
    fn any_text_comes_back(
        words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 1..20),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..2000),
        level in 0_u32..=9,
    ) {
        let text: Vec<u8> = order.iter().flat_map(|word| words[word.index(words.len())].clone()).collect();
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(&text).unwrap();
        cost(&encoder.finish().unwrap());
    }
}
