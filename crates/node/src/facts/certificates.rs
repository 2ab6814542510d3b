//! When the certificates of a host end, and who has issued them.

use super::CertificateFact;
use crate::certificates::Facts;
use crate::host::{Host, HostError};
use crate::kubernetes_certificates::{AUTHORITIES, BROUGHT, KEPT, RENEWED, authority_of, read, read_all};

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
