//! What kubelet shows to the API server, as kubelet itself keeps it: a file for each certificate with its key, and a link to the one in use.

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::host::{self, Alteration, Entry, Host, HostError};
use crate::kubernetes_certificates::KUBELET_CLIENT;
use crate::step::Mode;

/// Where kubelet finds the API server, and what it shows there.
pub(super) const CONFIG: &str = "/etc/kubernetes/kubelet.conf";
const FOLDER: &str = "/var/lib/kubelet/pki";

/// Certificate and key in use, PEM.
pub(super) fn current(host: &dyn Host) -> Result<Option<Zeroizing<String>>, HostError> {
    let path = match host.inspect(KUBELET_CLIENT)? {
        Entry::Link { target } if target.starts_with('/') => target,
        _ => KUBELET_CLIENT.to_owned(),
    };
    Ok(host::read_text(host, &path)?.map(Zeroizing::new))
}

/// From now on kubelet shows what is in `pem`, certificate and key, once it is started anew.
pub(in crate::step) fn show(host: &dyn Host, pem: &str) -> Result<(), HostError> {
    let file = format!("{FOLDER}/kubelet-client-{}.pem", Timestamp::now().strftime("%Y-%m-%d-%H-%M-%S"));
    // As kubeadm makes it, where it is not there yet.
    host.alter(Alteration::MakeDirectory { path: "/var/lib/kubelet", mode: Mode::new(0o700) })?;
    host.alter(Alteration::MakeDirectory { path: FOLDER, mode: Mode::EXECUTABLE })?;
    host::write(host, &file, Mode::PRIVATE, pem.as_bytes())?;
    host.alter(Alteration::Link { path: KUBELET_CLIENT, target: &file })
}

/// Takes away what was laid down where no kubelet ran yet.
pub(super) fn take_away(host: &dyn Host) -> Result<(), HostError> {
    host.alter(Alteration::RemoveFile { path: CONFIG })?;
    if let Entry::Link { target } = host.inspect(KUBELET_CLIENT)? {
        host.alter(Alteration::RemoveFile { path: &target })?;
    }
    host.alter(Alteration::RemoveFile { path: KUBELET_CLIENT })
}
