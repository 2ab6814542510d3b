//! When the certificates of a host end, and who has issued them.

use sealock_trust::Digest;

use super::CertificateFact;
use crate::certificates::Facts;
use crate::host::{self, Host, HostError};
use crate::kubernetes_certificates::{
    AUTHORITIES, BROUGHT, KEPT, RENEWED, SERVICE_ACCOUNTS, authority_of, read, read_all,
};
use crate::suitable;

pub(super) fn observe(host: &dyn Host) -> Result<Vec<CertificateFact>, HostError> {
    let mut found = Vec::new();
    for (paths, renewable) in [(RENEWED, true), (KEPT, false)] {
        for path in paths {
            let Some(facts) = read(host, path)? else { continue };
            let authorities = read_all(host, authority_of(path).certificate)?;
            let issuer = authorities.iter().find(|authority| facts.is_issued_by(authority));
            found.push(CertificateFact { renewable, ..fact(path, &facts, issuer) });
        }
    }
    for path in BROUGHT {
        found.extend(read_all(host, path)?.iter().map(|facts| fact(path, facts, None)));
    }
    for path in AUTHORITIES.iter().flat_map(|files| [files.certificate, files.next]) {
        found.extend(read_all(host, path)?.iter().map(|facts| fact(path, facts, None)));
    }
    Ok(found)
}

/// Whose tokens of service accounts are believed, where it can be read.
pub(super) fn service_accounts(host: &dyn Host) -> Result<Option<Digest>, HostError> {
    let text = host::read_text(host, SERVICE_ACCOUNTS.public)?;
    Ok(text.and_then(|text| suitable::public_key_digest(&text).ok()))
}

fn fact(path: &str, facts: &Facts, issuer: Option<&Facts>) -> CertificateFact {
    CertificateFact {
        path: path.to_owned(),
        name: facts.name.clone(),
        serial: facts.serial.clone(),
        not_after: facts.not_after,
        authority: facts.authority,
        renewable: false,
        digest: Some(facts.digest()),
        issued_by: issuer.map(Facts::digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Local;
    use crate::step::Mode;

    #[test]
    fn the_key_of_service_accounts_is_known_by_its_digest() {
        let root = tempfile::tempdir().unwrap();
        let local = Local::rooted(root.path());
        assert_eq!(service_accounts(&local).unwrap(), None);
        std::fs::create_dir_all(root.path().join("etc/kubernetes/pki")).unwrap();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let public = suitable::service_accounts(&key.serialize_pem()).unwrap();
        let crlf = public.replace('\n', "\r\n");
        host::write(&local, SERVICE_ACCOUNTS.public, Mode::FILE, crlf.as_bytes()).unwrap();
        assert_eq!(service_accounts(&local).unwrap(), Some(suitable::public_key_digest(&public).unwrap()));
        host::write(&local, SERVICE_ACCOUNTS.public, Mode::FILE, b"no key").unwrap();
        assert_eq!(service_accounts(&local).unwrap(), None);
    }
}
