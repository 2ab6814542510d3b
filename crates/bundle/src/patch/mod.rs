//! Layer patches: a layer as the difference of its text from that of a layer that the site holds (docs/formats/layer-patch.md).
//!
//! [`make`] makes one outside, [`apply`] works it out inside. Both stream: beside the base's window and one segment nothing
//! of the layers is in memory. What comes out is bytes and nothing more: whoever asks for them compares the digest.

mod apply;
mod container;
mod deflate;
mod error;
mod make;
mod prove;
mod sketch;
mod text;

use sealock_trust::format;

pub use apply::apply;
pub use error::{MakeError, PatchError};
pub use make::make;
pub use prove::prove;
pub use sketch::Sketch;

/// The value of `format`.
pub const FORMAT: &str = format::LAYER_PATCH.current;

/// The longest stretch of the base's text that one segment builds on, in bytes.
pub const WINDOW: usize = 64 << 20;
/// The longest text of a segment, in bytes.
pub const SEGMENT: usize = 16 << 20;

/// What makes patches: another version may make other ones of the same layers, which are as good.
pub fn maker() -> String {
    format!("sealock {}, zstd {}", env!("CARGO_PKG_VERSION"), zstd_safe::version_string())
}

#[cfg(test)]
mod tests;
