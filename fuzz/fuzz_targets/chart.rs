//! A chart's archive, as `sealock diff` reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_bundle::diff::chart_files;

fuzz_target!(|bytes: &[u8]| {
    // The fuzzer is better at tar than at gzip, so both.
    for bytes in [bytes.to_vec(), gzip(bytes)] {
        if let Ok(files) = chart_files(&bytes) {
            assert!(files.len() <= 5000);
        }
    }
});

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut encoder, bytes).and_then(|()| encoder.finish()).expect("memory")
}
