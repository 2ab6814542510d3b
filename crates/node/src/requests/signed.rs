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
    if parsed.raw_serial().first().is_some_and(|byte| byte & 0x80 != 0) {
        return Err(Unfit::Serial);
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

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateSigningRequestParams, CustomExtension, DistinguishedName,
        DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
        PKCS_ECDSA_P384_SHA384, SanType, SigningKey,
    };

    use super::super::request::{sequence, tagged};
    use super::*;

    const API_SERVER: &str = "/etc/kubernetes/pki/apiserver.crt";
    const ADMIN: &str = "/etc/kubernetes/admin.conf";

    fn now() -> Timestamp {
        "2026-11-27T21:00:00Z".parse().unwrap()
    }

    fn subject(name: &str, organizations: &[&str]) -> DistinguishedName {
        let mut subject = DistinguishedName::new();
        organizations.iter().for_each(|one| subject.push(DnType::OrganizationName, *one));
        subject.push(DnType::CommonName, name);
        subject
    }

    struct Pki {
        issuer: Issuer<'static, KeyPair>,
        facts: Facts,
    }

    fn pki(name: &str) -> Pki {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(name, &["Plant 7"]);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let facts = Facts::of(&params.self_signed(&key).unwrap().pem()).unwrap();
        Pki { issuer: Issuer::new(params, key), facts }
    }

    fn request(name: &str, organizations: &[&str], names: &[&str]) -> Request {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(name, organizations);
        let name = |name: &&str| SanType::DnsName((*name).try_into().unwrap());
        params.subject_alt_names = names.iter().map(name).collect();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Request::of(&params.serialize_request(&key).unwrap().pem().unwrap()).unwrap()
    }

    /// The request signed by the PKI, with what somebody may do differently.
    fn sign(pki: &Pki, request: &Request, change: impl FnOnce(&mut CertificateParams)) -> Facts {
        let mut asked = CertificateSigningRequestParams::from_pem(&request.pem()).unwrap();
        asked.params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        asked.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        asked.params.not_before = rcgen::date_time_ymd(2026, 11, 1);
        asked.params.not_after = rcgen::date_time_ymd(2027, 11, 1);
        change(&mut asked.params);
        Facts::of(&asked.signed_by(&pki.issuer).unwrap().pem()).unwrap()
    }

    fn of_api_server() -> Request {
        request("kube-apiserver", &[], &["cp1", "kubernetes"])
    }

    fn refused(change: impl FnOnce(&mut CertificateParams)) -> Unfit {
        let (pki, request) = (pki("Plant 7 kubernetes"), of_api_server());
        check_signed(API_SERVER, &request, &sign(&pki, &request, change), &pki.facts, now()).unwrap_err()
    }

    /// Go reads no certificate whose serial number begins with a one bit.
    fn below_zero() -> Unfit {
        let (pki, request) = (pki("Plant 7 kubernetes"), of_api_server());
        let usual = sign(&pki, &request, |params| params.serial_number = Some(vec![0x11, 0x22, 0x33, 0x44].into()));
        let parsed = parse(&usual).unwrap();
        let mut signed = parsed.tbs_certificate.as_ref().to_vec();
        let at = signed.windows(4).position(|four| four == parsed.raw_serial()).unwrap();
        signed[at] |= 0x80;
        let signature = pki.issuer.key().sign(&signed).unwrap();
        // ecdsa-with-SHA384
        let algorithm = sequence(&[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]]);
        let der = sequence(&[&signed, &algorithm, &tagged(3, &[&[0], &signature])]);
        check_signed(API_SERVER, &request, &Facts::of_der(&der).unwrap(), &pki.facts, now()).unwrap_err()
    }

    #[test]
    fn what_was_asked_for_is_taken_with_what_a_pki_adds() {
        let (pki, request) = (pki("Plant 7 kubernetes"), of_api_server());
        let check = |certificate: &Facts| check_signed(API_SERVER, &request, certificate, &pki.facts, now());
        check(&sign(&pki, &request, |_| {})).unwrap();
        check(&sign(&pki, &request, |params| {
            params.distinguished_name.push(DnType::CountryName, "DE");
            params.distinguished_name.push(DnType::OrganizationalUnitName, "Plant 7");
            params.subject_alt_names.push(SanType::DnsName("more.plant.example".try_into().unwrap()));
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
            params.key_usages = Vec::new();
        }))
        .unwrap();
        check(&sign(&pki, &request, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any])).unwrap();
    }

    #[test]
    fn whatever_was_signed_wrongly_is_told_for_what_it_is() {
        let said = [
            refused(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
            refused(|params| params.distinguished_name = subject("kubernetes-admin", &["system:masters"])),
            refused(|params| params.distinguished_name = subject("kube-apiserver", &["system:masters"])),
            refused(|params| params.subject_alt_names.truncate(1)),
            refused(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            refused(|params| params.extended_key_usages = Vec::new()),
            refused(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]),
            refused(|params| params.not_before = rcgen::date_time_ymd(2027, 1, 1)),
            refused(|params| params.not_after = rcgen::date_time_ymd(2026, 11, 27)),
            refused(|params| {
                let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 9, 9], vec![5, 0]);
                unknown.set_criticality(true);
                params.custom_extensions.push(unknown);
            }),
            refused(|params| {
                let mut identifier = CustomExtension::from_oid_content(&[2, 5, 29, 14], vec![4, 1, 7]);
                identifier.set_criticality(true);
                params.custom_extensions.push(identifier);
            }),
            below_zero(),
        ];
        insta::assert_snapshot!(said.map(|one| one.to_string()).join("\n"));
    }

    #[test]
    fn a_member_of_etcd_is_server_and_client() {
        let (pki, request) = (pki("Plant 7 etcd"), request("cp1", &[], &["cp1", "localhost"]));
        let path = "/etc/kubernetes/pki/etcd/peer.crt";
        let server = sign(&pki, &request, |_| {});
        let said = check_signed(path, &request, &server, &pki.facts, now());
        assert_eq!(said, Err(Unfit::Usage { whose: "client", missing: "clientAuth" }));
        let both = sign(&pki, &request, |params| params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth));
        check_signed(path, &request, &both, &pki.facts, now()).unwrap();
    }

    #[test]
    fn the_issuer_is_the_authority_by_its_key_and_by_its_name() {
        let (own, request) = (pki("Plant 7 kubernetes"), of_api_server());
        let check =
            |certificate: &Facts, authority: &Facts| check_signed(API_SERVER, &request, certificate, authority, now());
        let certificate = sign(&own, &request, |_| {});
        let namesake = pki("Plant 7 kubernetes");
        assert!(matches!(check(&certificate, &namesake.facts), Err(Unfit::NotIssuedBy(_))));
        // The same key under another name: no chain leads there.
        let mut params = CertificateParams::default();
        params.distinguished_name = subject("Plant 7 another", &["Plant 7"]);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let renamed = Facts::of(&params.self_signed(own.issuer.key()).unwrap().pem()).unwrap();
        assert!(certificate.is_issued_by(&renamed));
        assert!(matches!(check(&certificate, &renamed), Err(Unfit::NotIssuedBy(_))));
        check(&certificate, &own.facts).unwrap();
    }

    #[test]
    fn a_certificate_is_for_the_key_that_waits_and_for_its_place() {
        let (pki, request) = (pki("Plant 7 kubernetes"), of_api_server());
        let earlier = sign(&pki, &of_api_server(), |_| {});
        assert_eq!(check_signed(API_SERVER, &request, &earlier, &pki.facts, now()), Err(Unfit::OtherKey));
        let certificate = sign(&pki, &request, |_| {});
        let there = |path: &str| check_signed(path, &request, &certificate, &pki.facts, now());
        assert!(matches!(there(ADMIN), Err(Unfit::Usage { whose: "client", .. })));
        assert_eq!(there("/etc/passwd"), Err(Unfit::NotAsked("/etc/passwd".into())));
    }
}
