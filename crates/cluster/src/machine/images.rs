//! Which images a version of Kubernetes needs, by its own kubeadm; and programs that are taken out of the release for a while.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealock_node::source::Source;

use super::error::MachineError;
use super::supply::Supply;
use crate::release::{Program, ReleaseView};
use crate::scratch::{self, Scratch};
use crate::spec::KubernetesVersion;
use crate::tools;

/// The images that `version`'s kubeadm asks for, by full name. kubeadm is taken out of the release for this once, into `folder`, which
/// must allow execution; it is verified before it runs.
///
/// # Errors
/// The release lacks it, it cannot be fetched, or it says no.
pub fn kubernetes_images(
    supply: &Supply,
    version: KubernetesVersion,
    folder: &Path,
) -> Result<Vec<String>, MachineError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| MachineError::Io { action, path, source }
    };
    let kubeadm = take_program(Program::Kubeadm, supply, version, folder)?;
    let program = kubeadm.path();
    let output = Command::new(&program)
        .args(["config", "images", "list", "--kubernetes-version", &version.to_string()])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(failed("run", &program))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).take(6).collect();
        return Err(MachineError::Kubeadm { said: said.join("; ") });
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect())
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
    write(program, supply, version, &taken.path())?;
    Ok(taken)
}

/// Writes it whole and as its digest says, or an error.
fn write(program: Program, supply: &Supply, version: KubernetesVersion, place: &Path) -> Result<(), MachineError> {
    let release = ReleaseView::new(&supply.release);
    let found = release.program(program, tools::oci_architecture(), Some(&version.to_string()))?;
    let source: Source = supply.source()?;
    let manifest = source.manifest(&found.artifact.repository, &found.artifact.digest)?;
    let [layer] = manifest.layers.as_slice() else {
        let said = format!("{} is no artifact of one file", found.artifact.repository);
        return Err(MachineError::Kubeadm { said });
    };
    let failed = |source| MachineError::Io { action: "write", path: place.to_owned(), source };
    let mut options = File::options();
    let mut file = options.write(true).create_new(true).mode(0o700).open(place).map_err(failed)?;
    io::copy(&mut source.blob(&found.artifact.repository, layer)?, &mut file).map_err(failed)?;
    Ok(())
}
