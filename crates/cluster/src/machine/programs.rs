//! Programs of the release, taken from where the machine's supply comes from: a copy of the store, or the site registry.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sealock_node::source::Source;

use super::error::MachineError;
use super::supply::Supply;
use crate::release::{Program, ReleaseView};
use crate::scratch::{self, Scratch};
use crate::spec::KubernetesVersion;
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

/// A program that was taken out of the release for a while: it is gone when this is dropped.
#[derive(Debug)]
pub struct TakenProgram {
    folder: Scratch,
    name: &'static str,
}

impl TakenProgram {
    /// Where it lies.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }
}

/// Takes `program` of Kubernetes out of the release, into a folder of its own in `folder`, which must allow execution; it is verified.
///
/// # Errors
/// The release lacks it, or it cannot be fetched.
pub fn take_program(
    program: Program,
    supply: &Supply,
    version: KubernetesVersion,
    folder: &Path,
) -> Result<TakenProgram, MachineError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| MachineError::Io { action, path, source }
    };
    let (name, prefix) = (program.as_str(), format!("{}-", program.as_str()));
    fs::create_dir_all(folder).map_err(failed("make the folder", folder))?;
    scratch::clear(folder, &prefix).map_err(failed("remove what an earlier run left in", folder))?;
    let folder = Scratch::new(folder, &prefix).map_err(failed("make a folder in", folder))?;
    let taken = TakenProgram { folder, name };
    supply.program(program, Some(&version.to_string()), &taken.path())?;
    Ok(taken)
}
