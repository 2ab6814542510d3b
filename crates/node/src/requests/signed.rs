//! Whether a certificate that was signed outside is what was asked for.

use jiff::Timestamp;
use x509_parser::oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Unfit;
use super::expected::{Expected, Usage, expected_at};
use super::request::Request;
use crate::certificates::{Facts, subject_of};
use crate::suitable::unknown_critical;

/// Whether `certificate` is what `request` asks for at `path`, signed by `authority`, and holds at `now`.
///
/// # Errors
/// [`Unfit`].
pub fn check_signed(
    path: &str,
    request: &Request,
    certificate: &Facts,
    authority: &Facts,
    now: Timestamp,
) -> Result<(), Unfit> {
    let expected = expected_at(path).ok_or_else(|| Unfit::NotAsked(path.to_owned()))?;
    let (parsed, issuer) = (parse(certificate)?, parse(authority)?);
    if parsed.public_key().raw != request.key() {
        return Err(Unfit::OtherKey);
    }
    let weak = [OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA];
    if weak.contains(&parsed.signature_algorithm.algorithm) {
        return Err(Unfit::WeaklySigned("SHA-1".to_owned()));
    }
    // Whoever follows a chain goes by the name first.
    if parsed.issuer().as_raw() != issuer.subject().as_raw() || !certificate.is_issued_by(authority) {
        return Err(Unfit::NotIssuedBy(authority.name.escape_debug().to_string()));
    }
    if certificate.authority {
        return Err(Unfit::Authority);
    }
    check_subject(&parsed, request)?;
    certificate.covers(&request.names).map_err(Unfit::NotFor)?;
    check_usages(&parsed, &expected)?;
    if let Some(oid) = unknown_critical(&parsed) {
        return Err(Unfit::Critical(oid));
    }
    if certificate.not_before > now || certificate.not_after <= now {
        return Err(Unfit::Dates { from: certificate.not_before, until: certificate.not_after });
    }
    Ok(())
}

/// Common name and organizations are the user and its groups. What a PKI adds beside them is nothing to Kubernetes.
fn check_subject(certificate: &X509Certificate<'_>, request: &Request) -> Result<(), Unfit> {
    let (names, mut organizations) = subject_of(certificate);
    let mut wanted = request.organizations.clone();
    organizations.sort();
    wanted.sort();
    if names == [request.name.as_str()] && organizations == wanted {
        return Ok(());
    }
    let words = |names: &[String], organizations: &[String]| {
        let names = names.iter().map(|name| format!("CN={name}"));
        names.chain(organizations.iter().map(|one| format!("O={one}"))).collect::<Vec<_>>().join(", ")
    };
    let wanted = words(std::slice::from_ref(&request.name), &wanted);
    Err(Unfit::OtherSubject { found: words(&names, &organizations), wanted })
}

fn check_usages(certificate: &X509Certificate<'_>, expected: &Expected) -> Result<(), Unfit> {
    let usage = certificate.key_usage().map_err(|_| Unfit::KeyUsage)?;
    if usage.is_some_and(|usage| !usage.value.digital_signature()) {
        return Err(Unfit::KeyUsage);
    }
    let extended = certificate.extended_key_usage().ok().flatten().map(|extended| extended.value);
    for usage in expected.usages {
        let (whose, is_named) = match usage {
            Usage::Server => ("server", extended.is_some_and(|extended| extended.any || extended.server_auth)),
            Usage::Client => ("client", extended.is_some_and(|extended| extended.any || extended.client_auth)),
        };
        if !is_named {
            return Err(Unfit::Usage { whose, missing: usage.as_str() });
        }
    }
    Ok(())
}

fn parse(facts: &Facts) -> Result<X509Certificate<'_>, Unfit> {
    X509Certificate::from_der(facts.der()).map(|(_, parsed)| parsed).map_err(|_| Unfit::NoCertificate)
}
