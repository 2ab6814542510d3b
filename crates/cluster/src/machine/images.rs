//! Which images a version of Kubernetes needs, by its own kubeadm.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::MachineError;
use super::supply::Supply;
use crate::release::Program;
use crate::scratch::{self, Scratch};
use crate::spec::KubernetesVersion;

/// How the name begins of the folder that it lies in for a while.
const PREFIX: &str = "kubeadm-";

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
    fs::create_dir_all(folder).map_err(failed("make the folder", folder))?;
    scratch::clear(folder, PREFIX).map_err(failed("remove what an earlier run left in", folder))?;
    let scratch = Scratch::new(folder, PREFIX).map_err(failed("make a folder in", folder))?;
    let program = scratch.path().join("kubeadm");
    supply.program(Program::Kubeadm, Some(&version.to_string()), &program)?;
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
