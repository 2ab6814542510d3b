//! What this binary is: one line in the file itself, read by `sealock version` as by whoever carries it.

use std::hint::black_box;

use sealock_bundle::binary::IDENTITY;

/// The line. It begins as [`IDENTITY`] does; the compiler takes literals only.
#[cfg(feature = "outside")]
static LINE: &str = concat!("sealock-identity/1 ", env!("CARGO_PKG_VERSION"), " outside\n");
#[cfg(not(feature = "outside"))]
static LINE: &str = concat!("sealock-identity/1 ", env!("CARGO_PKG_VERSION"), " inside\n");

/// Version and build, as they stand in the file.
fn words() -> (&'static str, &'static str) {
    // Read in the file, and not computed while it is built: what others find there is what is said here.
    let line = black_box(LINE);
    let words = line.strip_prefix(IDENTITY).map(str::trim_end).and_then(|words| words.split_once(' '));
    words.unwrap_or_default()
}

/// The version.
pub fn version() -> &'static str {
    words().0
}

/// `outside`: can fetch from upstreams. `inside`: holds no code for it.
pub fn build() -> &'static str {
    words().1.trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_as_it_was_written() {
        assert_eq!(version(), env!("CARGO_PKG_VERSION"));
        assert_eq!(build(), if cfg!(feature = "outside") { "outside" } else { "inside" });
    }
}
