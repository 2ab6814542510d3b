//! When the certificates of a host end.

use super::CertificateFact;
use crate::host::{Host, HostError};
use crate::kubernetes_certificates::{KEPT, RENEWED, read};

pub(super) fn observe(host: &dyn Host) -> Result<Vec<CertificateFact>, HostError> {
    let mut found = Vec::new();
    for (paths, renewable) in [(RENEWED, true), (KEPT, false)] {
        for path in paths {
            let Some(facts) = read(host, path)? else { continue };
            found.push(CertificateFact {
                path: (*path).to_owned(),
                name: facts.name,
                serial: facts.serial,
                not_after: facts.not_after,
                authority: facts.authority,
                renewable,
            });
        }
    }
    Ok(found)
}
