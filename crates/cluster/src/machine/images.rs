//! Which images a version of Kubernetes needs, by its own kubeadm.

use std::path::Path;
use std::process::{Command, Stdio};

use super::error::MachineError;
use super::programs::take_program;
use super::supply::Supply;
use crate::release::Program;
use crate::spec::KubernetesVersion;

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
