//! What an authority has to be that somebody else has made, so that kubeadm issues with it and everything of Kubernetes believes it.
//!
//! kubeadm itself asks for very little: it takes the first certificate of the file, and takes a key that it cannot use for one that is not
//! there. What it does not look at comes out later, as an API server that nobody believes.

use jiff::Timestamp;
use rcgen::PKCS_ECDSA_P256_SHA256;
use sealock_trust::Digest;
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384, Oid};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;

use crate::certificates::{CertificateError, Facts, key_pair};

/// What Go's TLS verifies.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Days for which an authority has to hold on where a cluster begins: kubeadm issues for a year.
pub const LEAST_DAYS: i64 = 366;
/// What kubeadm and API servers understand, where it is critical. Key identifiers they do not take so (RFC 5280, 4.2.1.1 and 4.2.1.2).
const UNDERSTOOD: [&str; 4] = ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37"];

/// What an authority issues in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issues {
    /// Certificates of servers and of clients.
    Both,
    /// Those of clients alone.
    Clients,
}

/// Why Kubernetes cannot use what somebody else has made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsuitable {
    /// There is none.
    #[error("it holds no certificate (PEM)")]
    NoCertificate,
    /// More than the one that issues.
    #[error(
        "it holds {0} certificates, and one is wanted, the one of the authority that issues: Kubernetes believes every certificate in that file, so a root above it would let in whoever has a certificate from anywhere below that root, and the controller manager signs with no file that holds two"
    )]
    Several(usize),
    /// No authority's, by its basic constraints or its version.
    #[error("the certificate of {0} is no authority's (basicConstraints: CA)")]
    NotAnAuthority(String),
    /// It may do other things only.
    #[error("the certificate of {0} may not sign others (keyUsage: keyCertSign)")]
    MayNotSign(String),
    /// What it issues is not believed for this.
    #[error("what {name} issues is not believed as a {whose} (extendedKeyUsage without {missing})")]
    OtherPurpose {
        /// Its name.
        name: String,
        /// Whose certificates.
        whose: &'static str,
        /// What is missing.
        missing: &'static str,
    },
    /// It lets some names through only.
    #[error(
        "the certificate of {0} has name constraints: the names and addresses of API servers, as kubernetes.default.svc, would have to be within them, and nobody here checks that"
    )]
    Constrained(String),
    /// Whoever does not know it has to refuse it.
    #[error("the certificate of {name} has the critical extension {oid}, which Kubernetes does not know")]
    Critical {
        /// Its name.
        name: String,
        /// Which.
        oid: String,
    },
    /// What it has issued would name nobody.
    #[error("the certificate names no subject")]
    NoSubject,
    /// A kind of key that kubeadm does not take, or nobody verifies.
    #[error("{name} has a key of {found}: RSA of 2048 to 8192 bits, ECDSA on P-256 and on P-384 are taken")]
    Key {
        /// Whose.
        name: String,
        /// What it has.
        found: String,
    },
    /// A kind of key that does not sign tokens here.
    #[error(
        "it is a key of {0}: for tokens RSA of 2048 bits or more and ECDSA on P-256 are taken, which the site's registry verifies"
    )]
    TokenKey(String),
    /// Not yet, or no more.
    #[error("the certificate of {name} holds from {from} until {until}")]
    Dates {
        /// Its name.
        name: String,
        /// The first moment.
        from: Timestamp,
        /// The last one.
        until: Timestamp,
    },
    /// What it issues would outlive it.
    #[error(
        "the certificate of {name} ends on {until}, in {days} days: a cluster begins with one that holds for {LEAST_DAYS} days or more, as kubeadm issues for a year"
    )]
    Short {
        /// Its name.
        name: String,
        /// The day.
        until: String,
        /// Whole days from now.
        days: i64,
    },
    /// It is no key, or one with a passphrase.
    #[error("it holds no private key without a passphrase (PEM)")]
    NoKey,
    /// Key and certificate are not each other's.
    #[error("it is not the key of the certificate of {0}")]
    OtherKey(String),
}

/// The authority in the PEM text `text`, where it is one that Kubernetes can use at `now`.
///
/// # Errors
/// [`Unsuitable`].
pub fn authority(text: &str, issues: Issues, now: Timestamp) -> Result<Facts, Unsuitable> {
    let mut all = Facts::all(text);
    if all.len() > 1 {
        return Err(Unsuitable::Several(all.len()));
    }
    let facts = all.pop().ok_or(Unsuitable::NoCertificate)?;
    let (_, certificate) = X509Certificate::from_der(facts.der()).map_err(|_| Unsuitable::NoCertificate)?;
    check_extensions(&facts, &certificate, issues)?;
    let found = kind_of(certificate.public_key());
    if !found.is_taken {
        return Err(Unsuitable::Key { name: facts.name.clone(), found: found.words });
    }
    if facts.not_before > now || facts.not_after <= now {
        return Err(Unsuitable::Dates { name: facts.name.clone(), from: facts.not_before, until: facts.not_after });
    }
    Ok(facts)
}

/// Whether `authority` outlives what a cluster that begins at `now` issues first.
///
/// # Errors
/// [`Unsuitable::Short`].
pub fn holds_long_enough(authority: &Facts, now: Timestamp) -> Result<(), Unsuitable> {
    let days = authority.days_left(now);
    if days >= LEAST_DAYS {
        return Ok(());
    }
    let until = authority.not_after.strftime("%Y-%m-%d").to_string();
    Err(Unsuitable::Short { name: authority.name.clone(), until, days })
}

/// Whether `key` (PEM) is the private key of `authority`.
///
/// # Errors
/// [`Unsuitable::NoKey`], [`Unsuitable::OtherKey`].
pub fn is_key_of(authority: &Facts, key: &str) -> Result<(), Unsuitable> {
    match authority.has_key(key) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Unsuitable::OtherKey(authority.name.clone())),
        Err(_) => Err(Unsuitable::NoKey),
    }
}

/// The public key (PEM) to `private` (PEM), where API servers can sign tokens with it that the site's registry verifies.
///
/// # Errors
/// [`Unsuitable::NoKey`], [`Unsuitable::TokenKey`].
pub fn service_accounts(private: &str) -> Result<String, Unsuitable> {
    let key = key_pair(private).map_err(|_| Unsuitable::NoKey)?;
    let der = rcgen::PublicKeyData::subject_public_key_info(&key);
    let (_, info) = SubjectPublicKeyInfo::from_der(&der).map_err(|_| Unsuitable::NoKey)?;
    let kind = kind_of(&info);
    let is_elliptic = matches!(info.parsed(), Ok(PublicKey::EC(_)));
    if !kind.is_taken || (is_elliptic && key.algorithm() != &PKCS_ECDSA_P256_SHA256) {
        return Err(Unsuitable::TokenKey(kind.words));
    }
    Ok(key.public_key_pem())
}

/// Whether two public keys (PEM) are the same one, however they are written.
///
/// # Errors
/// One is none.
pub fn is_same_public_key(one: &str, other: &str) -> Result<bool, CertificateError> {
    Ok(public_key(one)? == public_key(other)?)
}

/// The digest of a public key (PEM), the same one however it is written.
///
/// # Errors
/// It is none.
pub fn public_key_digest(text: &str) -> Result<Digest, CertificateError> {
    Ok(Digest::sha256(&public_key(text)?))
}

fn public_key(text: &str) -> Result<Vec<u8>, CertificateError> {
    let pem = x509_parser::prelude::Pem::iter_from_buffer(text.as_bytes()).next().and_then(Result::ok);
    pem.filter(|pem| pem.label == "PUBLIC KEY").map(|pem| pem.contents).ok_or(CertificateError::Unreadable)
}

fn check_extensions(facts: &Facts, certificate: &X509Certificate<'_>, issues: Issues) -> Result<(), Unsuitable> {
    let name = || facts.name.clone();
    if !facts.authority || certificate.version() != X509Version::V3 {
        return Err(Unsuitable::NotAnAuthority(name()));
    }
    if certificate.subject().iter().next().is_none() {
        return Err(Unsuitable::NoSubject);
    }
    let usage = certificate.key_usage().map_err(|_| Unsuitable::MayNotSign(name()))?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(Unsuitable::MayNotSign(name()));
    }
    let other = |whose, missing| Unsuitable::OtherPurpose { name: name(), whose, missing };
    let extended = certificate.extended_key_usage().map_err(|_| other("client", "clientAuth"))?;
    if let Some(extended) = extended.map(|extended| extended.value).filter(|extended| !extended.any) {
        if !extended.client_auth {
            return Err(other("client", "clientAuth"));
        }
        if issues == Issues::Both && !extended.server_auth {
            return Err(other("server", "serverAuth"));
        }
    }
    let is_constrained = certificate.name_constraints().map_or(true, |found| found.is_some());
    if is_constrained {
        return Err(Unsuitable::Constrained(name()));
    }
    match unknown_critical(certificate) {
        Some(oid) => Err(Unsuitable::Critical { name: name(), oid }),
        None => Ok(()),
    }
}

/// A critical extension that Kubernetes does not know: it believes no such certificate.
pub(crate) fn unknown_critical(certificate: &X509Certificate<'_>) -> Option<String> {
    let unknown = |oid: &Oid<'_>| !UNDERSTOOD.contains(&oid.to_id_string().as_str());
    let mut critical = certificate.extensions().iter().filter(|extension| extension.critical);
    critical.find(|extension| unknown(&extension.oid)).map(|extension| extension.oid.to_id_string())
}

/// What a key is, in words, and whether it can be one in a cluster.
pub(crate) struct Kind {
    pub(crate) words: String,
    pub(crate) is_taken: bool,
}

pub(crate) fn kind_of(key: &SubjectPublicKeyInfo<'_>) -> Kind {
    let kind = |words: String, is_taken| Kind { words, is_taken };
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let bits = rsa.key_size();
            kind(format!("RSA with {bits} bits"), RSA_BITS.contains(&bits))
        }
        Ok(PublicKey::EC(_)) => match key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok()) {
            Some(curve) if curve == OID_EC_P256 => kind("ECDSA on P-256".into(), true),
            Some(curve) if curve == OID_NIST_EC_P384 => kind("ECDSA on P-384".into(), true),
            // What is issued on P-521 is verified by Kubernetes, and by nothing of Sealock's own.
            Some(curve) => kind(format!("ECDSA on the curve {}", curve.to_id_string()), false),
            None => kind("ECDSA on a curve without a name".into(), false),
        },
        _ => kind(format!("the algorithm {}", key.algorithm.algorithm.to_id_string()), false),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use rcgen::{
        BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
        GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P384_SHA384,
        PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize, SignatureAlgorithm,
    };

    use super::*;

    fn now() -> Timestamp {
        "2026-11-27T21:00:00Z".parse().unwrap()
    }

    fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
        if algorithm == &PKCS_RSA_SHA256 {
            return KeyPair::generate_rsa_for(algorithm, RsaKeySize::_3072).unwrap();
        }
        KeyPair::generate_for(algorithm).unwrap()
    }

    fn usual() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Plant kubernetes");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let day = |years: i64| {
            let day = now().to_zoned(TimeZone::UTC);
            rcgen::date_time_ymd(i32::from(day.year()) + i32::try_from(years).unwrap(), 1, 1)
        };
        (params.not_before, params.not_after) = (day(0), day(10));
        params
    }

    fn pem(change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = usual();
        change(&mut params);
        params.self_signed(&key(&PKCS_ECDSA_P256_SHA256)).unwrap().pem()
    }

    fn refused(change: impl FnOnce(&mut CertificateParams)) -> String {
        authority(&pem(change), Issues::Both, now()).unwrap_err().to_string()
    }

    #[test]
    fn an_authority_is_taken_whose_key_kubeadm_and_everybody_else_can_use() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_RSA_SHA256] {
            let key = key(algorithm);
            let text = usual().self_signed(&key).unwrap().pem();
            let facts = authority(&text, Issues::Both, now()).unwrap();
            is_key_of(&facts, &key.serialize_pem()).unwrap();
            holds_long_enough(&facts, now()).unwrap();
        }
        for (algorithm, words) in [(&PKCS_ECDSA_P521_SHA512, "1.3.132.0.35"), (&PKCS_ED25519, "1.3.101.112")] {
            let text = usual().self_signed(&key(algorithm)).unwrap().pem();
            let error = authority(&text, Issues::Both, now()).unwrap_err();
            assert!(matches!(&error, Unsuitable::Key { found, .. } if found.contains(words)), "{error}");
        }
    }

    /// Whoever is below another authority is believed by itself alone, and what it has issued is verified by it.
    #[test]
    fn an_intermediate_is_taken_by_itself_and_not_with_what_is_above_it() {
        let root = Issuer::new(usual(), key(&PKCS_ECDSA_P384_SHA384));
        let mut params = usual();
        params.distinguished_name.push(DnType::OrganizationalUnitName, "below");
        let own = key(&PKCS_ECDSA_P256_SHA256);
        let between = params.signed_by(&own, &root).unwrap().pem();
        let above = usual().self_signed(root.key()).unwrap().pem();
        let facts = authority(&between, Issues::Both, now()).unwrap();
        assert!(facts.is_issued_by(&Facts::of(&above).unwrap()));
        assert_eq!(authority(&format!("{between}{above}"), Issues::Both, now()), Err(Unsuitable::Several(2)));
    }

    #[test]
    fn what_kubeadm_would_take_and_nobody_believe_is_refused_with_the_reason() {
        let said = [
            refused(|params| params.is_ca = IsCa::NoCa),
            refused(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
            refused(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            refused(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            refused(|params| {
                let permitted_subtrees = vec![GeneralSubtree::DnsName("plant.example".into())];
                params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
            }),
            refused(|params| {
                let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 9, 9], vec![5, 0]);
                unknown.set_criticality(true);
                params.custom_extensions.push(unknown);
            }),
            refused(|params| params.distinguished_name = DistinguishedName::new()),
            refused(|params| params.not_before = rcgen::date_time_ymd(2027, 1, 1)),
            refused(|params| params.not_after = rcgen::date_time_ymd(2026, 11, 1)),
            authority("", Issues::Both, now()).unwrap_err().to_string(),
        ];
        insta::assert_snapshot!(said.join("\n"));
        let clients = pem(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        authority(&clients, Issues::Clients, now()).unwrap();
        let short = pem(|params| params.not_after = rcgen::date_time_ymd(2027, 11, 1));
        let short = authority(&short, Issues::Both, now()).unwrap();
        insta::assert_snapshot!(holds_long_enough(&short, now()).unwrap_err());
    }

    #[test]
    fn a_key_is_the_certificates_own_and_has_no_passphrase() {
        let own = key(&PKCS_ECDSA_P256_SHA256);
        let facts = authority(&usual().self_signed(&own).unwrap().pem(), Issues::Both, now()).unwrap();
        let other = key(&PKCS_RSA_SHA256).serialize_pem();
        assert_eq!(is_key_of(&facts, &other), Err(Unsuitable::OtherKey("Plant kubernetes".into())));
    }

    /// PKCS #8, PKCS #1, and SEC 1 behind the parameters of its curve.
    #[test]
    fn openssls_forms_of_a_key_are_read_and_none_with_a_passphrase() {
        let made: [(&str, &str); 3] = [
            (
                include_str!("../testdata/authorities/rsa-pkcs1.crt"),
                include_str!("../testdata/authorities/rsa-pkcs1.key"),
            ),
            (
                include_str!("../testdata/authorities/p256-sec1.crt"),
                include_str!("../testdata/authorities/p256-sec1.key"),
            ),
            (
                include_str!("../testdata/authorities/p384-pkcs8.crt"),
                include_str!("../testdata/authorities/p384-pkcs8.key"),
            ),
        ];
        let locked = [
            include_str!("../testdata/authorities/locked-pkcs1.key"),
            include_str!("../testdata/authorities/locked-pkcs8.key"),
        ];
        let later = "2027-01-01T00:00:00Z".parse().unwrap();
        for (n, (certificate, key)) in made.iter().enumerate() {
            let facts = authority(certificate, Issues::Both, later).unwrap();
            is_key_of(&facts, key).unwrap();
            assert!(matches!(is_key_of(&facts, made[(n + 1) % 3].1), Err(Unsuitable::OtherKey(_))));
            for locked in locked {
                assert_eq!(is_key_of(&facts, locked), Err(Unsuitable::NoKey));
            }
        }
        service_accounts(made[0].1).unwrap();
        service_accounts(made[1].1).unwrap();
        assert!(matches!(service_accounts(made[2].1), Err(Unsuitable::TokenKey(_))));
    }

    #[test]
    fn a_key_for_tokens_is_one_that_the_registry_verifies() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_RSA_SHA256] {
            let key = key(algorithm);
            let public = service_accounts(&key.serialize_pem()).unwrap();
            assert!(is_same_public_key(&public, &key.public_key_pem().replace('\n', "\r\n")).unwrap());
            assert!(crate::certificates::is_pair(&key.serialize_pem(), &public).unwrap());
        }
        for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            assert!(matches!(service_accounts(&key(algorithm).serialize_pem()), Err(Unsuitable::TokenKey(_))));
        }
        assert_eq!(service_accounts("no key"), Err(Unsuitable::NoKey));
    }
}
