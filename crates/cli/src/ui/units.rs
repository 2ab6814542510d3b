//! Sizes, durations and digests as people read them.

use std::time::Duration;

use sealock_bundle::manifest::Patching;

/// `bytes` in powers of 1024: `1.4 GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// So many things, `word` being the name of one: `1 blob`, `6 blobs`.
pub fn count(count: u64, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// What patches save: `3 layers, 1.2 MiB in the place of 40.1 MiB`.
pub fn patches_in_words(patches: &Patching) -> String {
    let layers = if patches.layers == 1 { "1 layer".to_owned() } else { format!("{} layers", patches.layers) };
    format!("{layers}, {} in the place of {}", bytes(patches.bytes), bytes(patches.instead_of))
}

/// A duration: `0.4 s`, `12 s`, `3 min 05 s`.
pub fn took(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// How long ago something was, `seconds` being how long: `40 min`, `26 h`, `12 days`.
pub fn age(seconds: i64) -> String {
    const HOUR: i64 = 3600;
    match seconds {
        ..0 => "0 min".to_owned(),
        0..HOUR => format!("{} min", seconds / 60),
        HOUR..172_800 => format!("{} h", seconds / HOUR),
        _ => format!("{} days", seconds / (24 * HOUR)),
    }
}

/// The first characters of a digest: enough to recognise it, never enough to trust it.
pub fn short(digest: &str) -> String {
    match digest.split_once(':') {
        Some((algorithm, hex)) if hex.len() > 12 => format!("{algorithm}:{}", &hex[..12]),
        _ => digest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!(
            [-5, 59, 3599, 7200, 172_799, 172_800].map(age),
            ["0 min", "0 min", "59 min", "2 h", "47 h", "2 days"]
        );
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert_eq!(took(Duration::from_millis(430)), "0.4 s");
        assert_eq!(took(Duration::from_secs(185)), "3 min 05 s");
    }
}
