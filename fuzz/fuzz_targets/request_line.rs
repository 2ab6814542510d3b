//! Paths, queries and ranges of requests: what is taken for a name is one, and no range goes beyond the content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_server::line;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let (path, range) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let Ok(path) = std::str::from_utf8(path) else { return };
    let length = range.len() as u64 * 77;
    let line = line::read(path, range, length);
    if let Some(name) = line.repository {
        assert!(name.len() <= 255 && !name.starts_with('/') && !name.ends_with('/'));
        assert!(name.split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte)));
    }
    if let Some(tag) = line.tag {
        assert!(tag.len() <= 128 && !tag.contains(['/', ':', '%']));
    }
    if let Some(part) = line.part {
        assert!(part.start < part.end && part.end <= length);
    }
});
