//! What kubelet shows to the API server, as kubelet itself keeps it: a file for each certificate with its key, and a link to the one in use.

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::host::{self, Alteration, Entry, Host, HostError};
use crate::kubernetes_certificates::KUBELET_CLIENT;
use crate::step::Mode;

/// Where kubelet finds the API server, and what it shows there.
pub(super) const CONFIG: &str = "/etc/kubernetes/kubelet.conf";
const FOLDER: &str = "/var/lib/kubelet/pki";
/// How the files begin, before the time at which each was made.
const OWN: &str = "kubelet-client-";

/// Certificate and key in use, PEM.
pub(super) fn current(host: &dyn Host) -> Result<Option<Zeroizing<String>>, HostError> {
    let path = match host.inspect(KUBELET_CLIENT)? {
        Entry::Link { target } if target.starts_with('/') => target,
        _ => KUBELET_CLIENT.to_owned(),
    };
    Ok(host::read_text(host, &path)?.map(Zeroizing::new))
}

/// From now on kubelet shows what is in `pem`, certificate and key, once it is started anew. Of what it showed before the last one stays:
/// kubelet itself takes none of them away, and each holds a key.
pub(in crate::step) fn show(host: &dyn Host, pem: &str) -> Result<(), HostError> {
    let file = format!("{FOLDER}/{OWN}{}.pem", Timestamp::now().strftime("%Y-%m-%d-%H-%M-%S"));
    // As kubeadm makes it, where it is not there yet.
    host.alter(Alteration::MakeDirectory { path: "/var/lib/kubelet", mode: Mode::new(0o700) })?;
    host.alter(Alteration::MakeDirectory { path: FOLDER, mode: Mode::EXECUTABLE })?;
    let before = match host.inspect(KUBELET_CLIENT)? {
        Entry::Link { target } => Some(target),
        _ => None,
    };
    host::write(host, &file, Mode::PRIVATE, pem.as_bytes())?;
    host.alter(Alteration::Link { path: KUBELET_CLIENT, target: &file })?;
    forget_older(host, &[Some(file), before])
}

/// Takes away what kubelet showed at some time, but for what is `kept`.
fn forget_older(host: &dyn Host, kept: &[Option<String>; 2]) -> Result<(), HostError> {
    for name in host.list(FOLDER)? {
        let is_dated =
            name.strip_prefix(OWN).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
        let path = format!("{FOLDER}/{name}");
        if is_dated && name.ends_with(".pem") && !kept.iter().flatten().any(|one| *one == path) {
            host.alter(Alteration::RemoveFile { path: &path })?;
        }
    }
    Ok(())
}

/// Takes away what was laid down where no kubelet ran yet.
pub(super) fn take_away(host: &dyn Host) -> Result<(), HostError> {
    host.alter(Alteration::RemoveFile { path: CONFIG })?;
    if let Entry::Link { target } = host.inspect(KUBELET_CLIENT)? {
        host.alter(Alteration::RemoveFile { path: &target })?;
    }
    host.alter(Alteration::RemoveFile { path: KUBELET_CLIENT })
}
