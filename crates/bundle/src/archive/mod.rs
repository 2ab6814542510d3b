//! The archive: one ordinary tar that holds an OCI image layout, its trust metadata and its manifest (docs/formats/bundle.md).

mod data;
mod entry;
mod error;
mod flock;
mod header;
pub mod layout;
mod medium;
mod payload;
mod reader;
mod small;
pub(crate) mod tar;
mod types;
mod writer;

pub(crate) use data::Data;
pub use error::ArchiveError;
pub(crate) use flock::Flock;
pub(crate) use medium::{Medium, open_regular};
pub use payload::{BlobReader, BlobSink, Taken};
pub use reader::Archive;
pub(crate) use writer::sync_folder_of;
pub use writer::{SlotWriter, Writer, forget_progress, partial_path};

/// Adds what was tried, and where, to an error of the operating system.
pub(crate) trait IoContext<T> {
    fn during(self, action: &'static str, path: &std::path::Path) -> Result<T, ArchiveError>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn during(self, action: &'static str, path: &std::path::Path) -> Result<T, ArchiveError> {
        self.map_err(|source| ArchiveError::Io { action, path: path.to_owned(), source })
    }
}
