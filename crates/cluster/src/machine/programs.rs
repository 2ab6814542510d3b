//! Programs of the release, taken from where the machine's supply comes from: a copy of the store, or the site registry.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sealock_node::source::Source;

use super::error::MachineError;
use super::supply::Supply;
use crate::release::{Program, ReleaseView};
use crate::tools;

impl Supply {
    /// Writes `program` of the release, in `version` or else in the newest, to `place`: whole and as its digest says, or an error.
    ///
    /// # Errors
    /// The release lacks it, it cannot be fetched, or is not what the release says.
    pub fn program(&self, program: Program, version: Option<&str>, place: &Path) -> Result<(), MachineError> {
        let architecture = tools::oci_architecture();
        let found = ReleaseView::new(&self.release).program(program, architecture, version)?;
        let source: Source = self.source()?;
        let manifest = source.manifest(&found.artifact.repository, &found.artifact.digest)?;
        let what = || format!("{} {}", program.as_str(), found.version);
        let [layer] = manifest.layers.as_slice() else { return Err(MachineError::NotOneFile { what: what() }) };
        if layer.size > tools::MAX_PROGRAM {
            return Err(MachineError::TooLarge { what: what(), bytes: layer.size });
        }
        let member = program.member(&found.version, architecture);
        let failed = |source| MachineError::Io { action: "write", path: place.to_owned(), source };
        let blob = source.blob(&found.artifact.repository, layer)?;
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o700).open(place).map_err(failed)?;
        // Read to its end, which fails where the digest is another.
        match tools::copy_member(blob, &file, member.as_deref()).map_err(failed)? {
            true => Ok(()),
            false => Err(MachineError::NoMember { what: what(), member: member.unwrap_or_default() }),
        }
    }
}
