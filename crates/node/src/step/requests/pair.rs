//! One certificate with its key, where it belongs.

use zeroize::Zeroizing;

use super::waiting::{FOLDER, forget, key, waiting};
use super::{kubeconfig, kubelet};
use crate::certificates::Facts;
use crate::error::StepError;
use crate::host::{self, Alteration, Host, HostError};
use crate::kubernetes_certificates::{KUBELET_CLIENT, authority_of, read, read_all};
use crate::requests::{Expected, expected_at};
use crate::step::Mode;

const CONTROLLER_MANAGER: &str = "/etc/kubernetes/controller-manager.conf";

/// A certificate that was signed outside, and where it belongs.
pub(in crate::step) struct Signed {
    pub(in crate::step) expected: Expected,
    pub(in crate::step) certificate: Facts,
}

/// How a certificate and its key are kept.
enum Kept {
    /// A file for each.
    Files(String),
    /// Both in a kubeconfig.
    Kubeconfig,
    /// Both in kubelet's file.
    Kubelet,
}

impl Signed {
    /// The certificate in the PEM text `text`, which is to stand at `path` on `node`.
    pub(in crate::step) fn of(path: &str, text: &str, node: &str) -> Result<Self, StepError> {
        let invalid = |problem: String| StepError::Invalid { problem };
        let expected = expected_at(path).ok_or_else(|| invalid(format!("no host shows a certificate at {path}")))?;
        let certificate = Facts::of(text).map_err(|error| invalid(format!("{path}: {error}")))?;
        if certificate.name != expected.name(node) {
            return Err(invalid(format!("the certificate for {path} is {}'s", certificate.name)));
        }
        Ok(Self { expected, certificate })
    }

    fn kept(&self) -> Kept {
        match self.expected.path {
            KUBELET_CLIENT => Kept::Kubelet,
            path => match path.strip_suffix(".crt") {
                Some(base) => Kept::Files(format!("{base}.key")),
                None => Kept::Kubeconfig,
            },
        }
    }

    /// Why it is not in its place, with its key and with what it belongs to; or its key still waits, and there is something left to do.
    pub(in crate::step) fn unfinished(&self, host: &dyn Host) -> Result<Option<String>, HostError> {
        match self.missing(host)? {
            None => self.waits(host),
            because => Ok(because),
        }
    }

    /// Of one that is in its place, why there is something left to do: its key still waits.
    pub(in crate::step) fn waits(&self, host: &dyn Host) -> Result<Option<String>, HostError> {
        if key(host, FOLDER, &self.expected)?.is_some_and(|key| self.fits(&key)) {
            return Ok(Some(format!("the key of {} still waits", self.expected.path)));
        }
        let is_left = host::exists(host, FOLDER)? && waiting(host)?.is_empty();
        Ok(is_left.then(|| format!("{FOLDER} is still there, and nothing waits in it")))
    }

    /// Nothing waits for it any more: all of it is in place, and in use.
    pub(in crate::step) fn settle(&self, host: &dyn Host) -> Result<(), HostError> {
        forget(host, &self.expected)
    }

    fn fits(&self, key: &str) -> bool {
        // A key that cannot be read is none.
        self.certificate.has_key(key).unwrap_or_default()
    }

    /// Why it is not in its place, with its key and with what it belongs to.
    pub(in crate::step) fn missing(&self, host: &dyn Host) -> Result<Option<String>, HostError> {
        let path = self.expected.path;
        let (shown, key) = match self.kept() {
            Kept::Files(key) => (read(host, path)?, host::read_text(host, &key)?.map(Zeroizing::new)),
            Kept::Kubeconfig => {
                let text = host::read_text(host, path)?.map(Zeroizing::new);
                (read(host, path)?, text.and_then(|text| kubeconfig::key_in(&text)))
            }
            Kept::Kubelet => {
                let text = kubelet::current(host)?;
                (text.as_ref().and_then(|text| Facts::of(text).ok()), text)
            }
        };
        let Some(shown) = shown else { return Ok(Some(format!("{path} is not there"))) };
        if shown != self.certificate {
            return Ok(Some(format!("{path} is another certificate")));
        }
        if key.is_none_or(|key| !self.fits(&key)) {
            return Ok(Some(format!("the key of {path} is not with it")));
        }
        self.unbelieving(host)
    }

    /// Why whoever shows it does not believe the cluster's authority.
    fn unbelieving(&self, host: &dyn Host) -> Result<Option<String>, HostError> {
        let path = match self.kept() {
            Kept::Files(_) => return Ok(None),
            Kept::Kubeconfig => self.expected.path,
            Kept::Kubelet => kubelet::CONFIG,
        };
        let Some(text) = host::read_text(host, path)?.map(Zeroizing::new) else {
            return Ok(Some(format!("{path} is not there")));
        };
        let believed = kubeconfig::believed_in(&text).map(|text| Facts::all(&text)).unwrap_or_default();
        let wanted = read_all(host, authority_of(path).certificate)?;
        Ok((believed != wanted).then(|| format!("{path} does not believe the cluster's authority")))
    }

    /// Its key: the one that waits, or the one that is in its place already.
    pub(in crate::step) fn key(&self, host: &dyn Host) -> Result<Zeroizing<String>, StepError> {
        let fits = |key: &Zeroizing<String>| self.fits(key);
        if let Some(key) = key(host, FOLDER, &self.expected)?.filter(fits) {
            return Ok(key);
        }
        let in_place = match self.kept() {
            Kept::Files(key) => host::read_text(host, &key)?.map(Zeroizing::new),
            Kept::Kubeconfig => {
                let text = host::read_text(host, self.expected.path)?.map(Zeroizing::new);
                text.and_then(|text| kubeconfig::key_in(&text))
            }
            Kept::Kubelet => kubelet::current(host)?,
        };
        in_place.filter(fits).ok_or_else(|| {
            let path = self.expected.path;
            let found = format!("no key waits for the certificate of {path}: it was signed for another request");
            StepError::OtherThanPlanned { found }
        })
    }

    /// Puts it into its place, with its key.
    pub(in crate::step) fn lay_down(&self, host: &dyn Host) -> Result<(), StepError> {
        let (path, certificate, key) = (self.expected.path, self.certificate.pem(), self.key(host)?);
        make_folder_of(host, path)?;
        match self.kept() {
            Kept::Files(file) => {
                host::write(host, &file, Mode::PRIVATE, key.as_bytes())?;
                host::write(host, path, Mode::FILE, certificate.as_bytes())?;
            }
            Kept::Kubeconfig => {
                let text = self.kubeconfig(host)?;
                let text = kubeconfig::complete(&text, &authority(host)?, &certificate, &key);
                host::write(host, path, Mode::PRIVATE, text.as_bytes())?;
            }
            Kept::Kubelet => {
                kubelet::show(host, &Zeroizing::new(format!("{certificate}{}", key.as_str())))?;
                if !host::exists(host, kubelet::CONFIG)? {
                    // Of a control plane it speaks to the API server beside it, as kubeadm has it.
                    let beside = host::read_text(host, CONTROLLER_MANAGER)?.map(Zeroizing::new);
                    let server = beside.as_ref().and_then(|text| kubeconfig::server_in(text));
                    let text = kubeconfig::of_kubelet(&self.kubeconfig(host)?, &authority(host)?, server);
                    host::write(host, kubelet::CONFIG, Mode::PRIVATE, text.as_bytes())?;
                }
            }
        }
        Ok(())
    }

    /// The kubeconfig that is there, or the one that kubeadm has made with the request.
    fn kubeconfig(&self, host: &dyn Host) -> Result<Zeroizing<String>, StepError> {
        let made = format!("{FOLDER}/{}", self.expected.key);
        for path in [self.expected.path, &made].into_iter().filter(|path| path.ends_with(".conf")) {
            let text = host::read_text(host, path)?.map(Zeroizing::new);
            if let Some(text) = text.filter(|text| kubeconfig::key_in(text).is_some()) {
                return Ok(text);
            }
        }
        Err(StepError::OtherThanPlanned { found: format!("{made} is not there") })
    }

    /// Takes it away, with its key.
    pub(in crate::step) fn take_away(&self, host: &dyn Host) -> Result<(), HostError> {
        let path = self.expected.path;
        match self.kept() {
            Kept::Files(key) => [path, &key].into_iter().try_for_each(|path| remove(host, path)),
            Kept::Kubeconfig => remove(host, path),
            Kept::Kubelet => kubelet::take_away(host),
        }
    }
}

/// What kubeconfigs of this host are to believe, PEM.
fn authority(host: &dyn Host) -> Result<String, HostError> {
    let believed = read_all(host, authority_of(KUBELET_CLIENT).certificate)?;
    Ok(believed.iter().map(Facts::pem).collect())
}

pub(in crate::step) fn make_folder_of(host: &dyn Host, path: &str) -> Result<(), HostError> {
    host.alter(Alteration::MakeDirectory { path: host::parent(path), mode: Mode::EXECUTABLE })
}

fn remove(host: &dyn Host, path: &str) -> Result<(), HostError> {
    host.alter(Alteration::RemoveFile { path })
}
