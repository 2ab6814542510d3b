//! The authorities that a host believes: in kubeadm's files, in kubeconfigs, and in what its controller manager signs with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealock_trust::Digest;

use crate::certificates::Facts;
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Entry, Host};
use crate::kubernetes_certificates::{AUTHORITIES, AuthorityFiles, RENEWED, authority_of, read, read_all};
use crate::step::Mode;

const CA: &str = "/etc/kubernetes/pki/ca.crt";
/// The authority that issues, alone: the controller manager signs with nothing that holds two certificates.
const SIGNER: &str = "/etc/kubernetes/pki/ca-signer.crt";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-controller-manager.yaml";
/// kubelet takes every file beside the manifest for one.
const NEW_MANIFEST: &str = "/etc/kubernetes/kube-controller-manager.yaml.new";
const SIGNS_WITH: &str = "--cluster-signing-cert-file=";
const BELIEVES: &str = "certificate-authority-data:";
const KUBECONFIGS: [&str; 5] = [
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/super-admin.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/scheduler.conf",
    "/etc/kubernetes/kubelet.conf",
];

/// The authorities in one of kubeadm's files. The first one issues.
pub(super) struct Bundle {
    pub(super) files: AuthorityFiles,
    certificates: Vec<Facts>,
}

impl Bundle {
    pub(super) fn read(host: &dyn Host, files: AuthorityFiles) -> Result<Self, StepError> {
        Ok(Self { files, certificates: read_all(host, files.certificate)? })
    }

    /// The one that issues.
    pub(super) fn issuer(&self) -> Option<&Facts> {
        self.certificates.first()
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<&Facts> {
        self.certificates.iter().find(|one| one.digest() == *digest)
    }

    /// The one beside `old`, where there is exactly one.
    pub(super) fn beside(&self, old: &Digest) -> Option<&Facts> {
        let mut others = self.certificates.iter().filter(|one| one.digest() != *old);
        others.next().filter(|_| others.next().is_none())
    }

    /// Makes it `certificates`. Before more than one is believed, the controller manager is told with which it signs.
    pub(super) fn replace(&self, host: &dyn Host, certificates: &[&Facts]) -> Result<(), StepError> {
        let text: String = certificates.iter().map(|one| one.pem()).collect();
        let signs = self.files.certificate == CA;
        if signs && let [signer, _, ..] = certificates {
            sign_with_alone(host, signer)?;
        }
        host::write(host, self.files.certificate, Mode::FILE, text.as_bytes())?;
        if signs { settle_signer(host) } else { Ok(()) }
    }
}

/// Has the controller manager sign with a certificate by itself, where kubeadm's own file holds two: kubeadm's manifest names that file.
/// Where it holds one, that file will do again.
pub(crate) fn settle_signer(host: &dyn Host) -> Result<(), StepError> {
    let certificates = read_all(host, CA)?;
    match certificates.as_slice() {
        [signer, _, ..] => sign_with_alone(host, signer),
        [_] => sign_with_kubeadms(host),
        [] => Ok(()),
    }
}

/// What somebody else has it sign with stays.
fn sign_with_kubeadms(host: &dyn Host) -> Result<(), StepError> {
    let Some(manifest) = host::read_text(host, MANIFEST)? else { return Ok(()) };
    match signer_in(&manifest) {
        Ok(now) if now == SIGNER => sign_with(host, CA)?,
        Ok(_) => {}
        Err(_) => return Ok(()),
    }
    if host::exists(host, SIGNER)? {
        host.alter(Alteration::RemoveFile { path: SIGNER })?;
    }
    Ok(())
}

fn sign_with_alone(host: &dyn Host, signer: &Facts) -> Result<(), StepError> {
    if !host::exists(host, MANIFEST)? {
        return Ok(());
    }
    host::write(host, SIGNER, Mode::FILE, signer.pem().as_bytes())?;
    sign_with(host, SIGNER)
}

/// What the controller manager of this host signs with, where that is not what kubeadm gave it.
pub(super) fn foreign_signer(host: &dyn Host) -> Result<Option<String>, StepError> {
    match host::read_text(host, MANIFEST)?.map(|manifest| signer_in(&manifest)) {
        Some(Err(StepError::Foreign { found })) => Ok(Some(found)),
        _ => Ok(None),
    }
}

/// Why the controller manager does not sign with what issues, where there is one on this host.
pub(super) fn missigned(host: &dyn Host) -> Result<Option<String>, StepError> {
    let Some(manifest) = host::read_text(host, MANIFEST)? else { return Ok(None) };
    let certificates = read_all(host, CA)?;
    let wanted = if certificates.len() > 1 { SIGNER } else { CA };
    if signer_in(&manifest)? != wanted {
        return Ok(Some(format!("the controller manager does not sign with {wanted}")));
    }
    if wanted == CA && host::exists(host, SIGNER)? {
        return Ok(Some(format!("{SIGNER} is still there")));
    }
    let signer = read(host, wanted)?.map(|facts| facts.digest());
    Ok((signer != certificates.first().map(Facts::digest)).then(|| format!("{wanted} holds another authority")))
}

fn sign_with(host: &dyn Host, path: &str) -> Result<(), StepError> {
    let manifest = host::read_text(host, MANIFEST)?.unwrap_or_default();
    let now = signer_in(&manifest)?;
    if now == path {
        return Ok(());
    }
    let text = manifest.replace(&format!("{SIGNS_WITH}{now}"), &format!("{SIGNS_WITH}{path}"));
    let mode = match host.inspect(MANIFEST)? {
        Entry::File { mode, .. } => mode,
        _ => Mode::PRIVATE,
    };
    host::write(host, NEW_MANIFEST, mode, text.as_bytes())?;
    Ok(Command::new("mv", ["--force", "--no-target-directory", NEW_MANIFEST, MANIFEST]).must(host).map(drop)?)
}

/// What the controller manager signs with, as its manifest says: kubeadm's file, or the one of it alone. Another is somebody's choice.
fn signer_in(manifest: &str) -> Result<&'static str, StepError> {
    let line = manifest.lines().find_map(|line| line.trim().strip_prefix("- ")?.strip_prefix(SIGNS_WITH));
    let known = [CA, SIGNER].into_iter().find(|known| line == Some(known));
    known.ok_or_else(|| StepError::Foreign {
        found: format!("{MANIFEST} says {SIGNS_WITH}{}, and not {CA}", line.unwrap_or_default()),
    })
}

/// Which kubeconfig of this host does not believe exactly the authorities of [`CA`].
pub(super) fn unbelieving(host: &dyn Host) -> Result<Option<String>, StepError> {
    let believed = digests(&read_all(host, CA)?);
    for path in KUBECONFIGS {
        if host::read_text(host, path)?.is_some_and(|text| believed_in(&text) != believed) {
            return Ok(Some(format!("{path} does not believe what {CA} holds")));
        }
    }
    Ok(None)
}

/// Makes every kubeconfig of this host believe the authorities of [`CA`].
pub(crate) fn believe_all(host: &dyn Host) -> Result<(), StepError> {
    let certificates = read_all(host, CA)?;
    let (believed, bundle) = (digests(&certificates), certificates.iter().map(Facts::pem).collect::<String>());
    for path in KUBECONFIGS {
        let Some(text) = host::read_text(host, path)? else { continue };
        if believed.is_empty() || believed_in(&text) == believed {
            continue;
        }
        host::write(host, path, Mode::PRIVATE, believing(&text, &bundle).as_bytes())?;
    }
    Ok(())
}

/// A kubeconfig that believes the authorities `bundle` (PEM). kubeadm and kubelet write them on one line.
pub(super) fn believing(kubeconfig: &str, bundle: &str) -> String {
    let mut text = String::with_capacity(kubeconfig.len() + bundle.len());
    for line in kubeconfig.split_inclusive('\n') {
        match line.find(BELIEVES).filter(|at| line[..*at].trim().is_empty()) {
            Some(at) => {
                text.push_str(&line[..at]);
                text.push_str(BELIEVES);
                text.push(' ');
                text.push_str(&STANDARD.encode(bundle));
                text.push('\n');
            }
            None => text.push_str(line),
        }
    }
    text
}

/// The authorities that a kubeconfig believes.
pub(super) fn believed_in(kubeconfig: &str) -> Vec<Digest> {
    let encoded = kubeconfig.lines().find_map(|line| line.trim().strip_prefix(BELIEVES));
    let decoded = encoded.and_then(|encoded| STANDARD.decode(encoded.trim()).ok()).unwrap_or_default();
    digests(&Facts::all(&String::from_utf8_lossy(&decoded)))
}

/// Which certificate of this control plane the authority that issues has not issued.
pub(super) fn issued_before(host: &dyn Host) -> Result<Option<String>, StepError> {
    for path in RENEWED {
        let Some(facts) = read(host, path)? else { continue };
        let issuer = read_all(host, authority_of(path).certificate)?.into_iter().next();
        if !issuer.is_some_and(|issuer| facts.is_issued_by(&issuer)) {
            return Ok(Some(format!("{path} is issued by another authority")));
        }
    }
    Ok(None)
}

/// What is in kubeadm's files, as a digest by file: whoever was started with it has read it.
pub(super) fn marks(host: &dyn Host) -> Result<std::collections::BTreeMap<String, String>, StepError> {
    let mark = |files: &AuthorityFiles| {
        let held: Vec<String> = read_all(host, files.certificate)?.iter().map(|one| one.digest().to_string()).collect();
        Ok((files.certificate.to_owned(), held.join(" ")))
    };
    AUTHORITIES.iter().map(mark).collect()
}

fn digests(certificates: &[Facts]) -> Vec<Digest> {
    certificates.iter().map(Facts::digest).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::certificates::Authority;

    #[test]
    fn a_kubeconfig_is_told_what_to_believe_and_nothing_else_of_it_changes() {
        let bundle: String =
            (0..2).map(|_| Authority::generate("a", Timestamp::now()).unwrap().certificate().to_owned()).collect();
        let text = "clusters:\n- cluster:\n    certificate-authority-data: AAAA\n    server: https://a\n  name: a\n";
        let told = believing(text, &bundle);
        assert_eq!(believed_in(&told), digests(&Facts::all(&bundle)));
        assert_eq!(told.lines().count(), text.lines().count());
        assert_eq!(believing(&told, &bundle), told);
        assert!(told.starts_with("clusters:\n- cluster:\n    certificate-authority-data: LS0"), "{told}");
        assert!(told.ends_with("\n    server: https://a\n  name: a\n"), "{told}");
        assert!(believed_in(text).is_empty() && believed_in("").is_empty());
    }

    #[test]
    fn a_certificate_is_written_as_it_was_read() {
        let authority = Authority::generate("a", Timestamp::now()).unwrap();
        let facts = Facts::of(authority.certificate()).unwrap();
        assert_eq!(facts.pem().replace("\r\n", "\n"), authority.certificate().replace("\r\n", "\n"));
    }

    #[test]
    fn what_signs_is_kubeadms_file_or_the_one_beside_it() {
        let manifest = |path: &str| format!("    - kube-controller-manager\n    - {SIGNS_WITH}{path}\n");
        assert_eq!(signer_in(&manifest(CA)).unwrap(), CA);
        assert_eq!(signer_in(&manifest(SIGNER)).unwrap(), SIGNER);
        for other in [manifest("/etc/own.crt"), String::new()] {
            assert!(matches!(signer_in(&other).unwrap_err(), StepError::Foreign { .. }));
        }
    }
}
