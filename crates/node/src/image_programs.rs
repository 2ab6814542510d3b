//! Programs out of an image that containerd holds: etcd's own tools come with the etcd that runs.

use std::time::Duration;

use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host, HostError};
use crate::step::Mode;
use crate::step::containers::{self, ctr};

/// Where images of etcd have their programs.
const PROGRAMS: &str = "usr/local/bin";
const TAKES: Duration = Duration::from_secs(300);

/// Copies `programs` of `image`, which containerd holds and has unpacked, into the folder `into`.
///
/// # Errors
/// The image is not there, or has no such program; the host refuses.
pub fn take(host: &dyn Host, image: &str, programs: &[&str], into: &str) -> Result<(), StepError> {
    let mount = mount_in(into);
    host.alter(Alteration::MakeDirectory { path: into, mode: Mode::new(0o700) })?;
    host.alter(Alteration::MakeDirectory { path: &mount, mode: Mode::new(0o700) })?;
    let_go(host, into)?;
    ctr(["images", "mount", image, &mount]).timeout(TAKES).must(host)?;
    let copied = programs.iter().try_for_each(|program| {
        let (source, target) = (format!("{mount}/{PROGRAMS}/{program}"), format!("{into}/{program}"));
        Command::new("install", ["-m", "0755", "--", &source, &target]).timeout(TAKES).must(host).map(drop)
    });
    let unmounted = unmount(&mount).must(host);
    copied?;
    unmounted?;
    Ok(host.alter(Alteration::RemoveEmptyDirectory { path: &mount })?)
}

/// Unmounts the image that an attempt that was cut off has left in the folder `into`.
///
/// # Errors
/// The host refuses.
pub fn let_go(host: &dyn Host, into: &str) -> Result<(), StepError> {
    let mount = mount_in(into);
    if host::exists(host, &mount)? {
        // Where nothing is mounted, or no containerd runs, it says no.
        match host.run(&unmount(&mount)) {
            Ok(_) | Err(HostError::NoProgram { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn mount_in(into: &str) -> String {
    format!("{into}/image")
}

fn unmount(mount: &str) -> Command {
    ctr(["images", "unmount", "--rm", mount]).timeout(TAKES)
}

/// Every image that containerd holds of the repository called `name`, by whole name with a tag.
///
/// # Errors
/// containerd does not answer.
pub fn images_of(host: &dyn Host, name: &str) -> Result<Vec<String>, StepError> {
    let said = ctr(["images", "ls", "-q"]).must(host)?;
    let is_it = |image: &&str| {
        let last = image.rsplit('/').next().unwrap_or_default();
        !last.contains('@') && last.split_once(':').is_some_and(|(repository, _)| repository == name)
    };
    Ok(said.lines().map(str::trim).filter(is_it).map(ToOwned::to_owned).collect())
}

/// The image of the running container `name` of a pod in `kube-system`, by the name that its pod gives it.
///
/// # Errors
/// containerd does not answer.
pub fn image_of_running(host: &dyn Host, name: &str) -> Result<Option<String>, StepError> {
    match containers::running(host, name)?.first() {
        Some(id) => containers::image_of(host, id),
        None => Ok(None),
    }
}
