//! The certificate authority that `site init` makes for the registry, where the customer brings none.

use std::net::IpAddr;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

use crate::error::TlsError;

/// Years until the authority must be replaced; a site outlives most of its machines.
const AUTHORITY_YEARS: i16 = 20;

/// Years until the registry's certificate must be issued again.
const SERVER_YEARS: i16 = 2;

/// A certificate authority whose only purpose is the site's registry: ECDSA P-256, no authorities below it.
pub struct SiteCa {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, both PEM.
pub struct IssuedCertificate {
    /// The certificate, which the site's authority signed.
    pub certificate_pem: String,
    /// Its private key (PKCS#8): to be kept where only the server reads it.
    pub key_pem: String,
}

impl SiteCa {
    /// A new authority for the site `site`, valid from the day before `now`.
    ///
    /// # Errors
    /// [`TlsError::Issue`], [`TlsError::Date`].
    pub fn generate(site: &str, now: Timestamp) -> Result<Self, TlsError> {
        let failed = |source| TlsError::Issue { name: site.to_owned(), source };
        let mut params = params(&format!("Sealock site {site}"), now, AUTHORITY_YEARS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate_pem = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { certificate_pem, issuer: Issuer::new(params, key) })
    }

    /// The authority whose certificate and key were kept in files.
    ///
    /// # Errors
    /// [`TlsError::NotAnAuthority`].
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, TlsError> {
        let key = KeyPair::from_pem(key_pem).map_err(TlsError::NotAnAuthority)?;
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key).map_err(TlsError::NotAnAuthority)?;
        Ok(Self { certificate_pem: certificate_pem.to_owned(), issuer })
    }

    /// The certificate, for the site root.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key (PKCS#8): to be kept where only the operator reads it.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate for a server with this `name` and these `addresses`, valid from the day before `now`: nodes whose
    /// clock is a little behind accept it too.
    ///
    /// # Errors
    /// [`TlsError::Issue`] where the name is no DNS name; [`TlsError::Date`].
    pub fn issue(&self, name: &str, addresses: &[IpAddr], now: Timestamp) -> Result<IssuedCertificate, TlsError> {
        let failed = |source| TlsError::Issue { name: name.to_owned(), source };
        let mut params = params(name, now, SERVER_YEARS)?;
        params.subject_alt_names.push(SanType::DnsName(name.try_into().map_err(failed)?));
        params.subject_alt_names.extend(addresses.iter().map(|&address| SanType::IpAddress(address)));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(IssuedCertificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

/// Private keys stay out of logs.
impl std::fmt::Debug for SiteCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SiteCa").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// Private keys stay out of logs.
impl std::fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedCertificate").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

fn params(common_name: &str, now: Timestamp, years: i16) -> Result<CertificateParams, TlsError> {
    let date = |from: Timestamp, years: i16| {
        let day = from.to_zoned(TimeZone::UTC).checked_add(years.years()).map_err(|_| TlsError::Date(now))?;
        let month = u8::try_from(day.month()).map_err(|_| TlsError::Date(now))?;
        let of_month = u8::try_from(day.day()).map_err(|_| TlsError::Date(now))?;
        Ok(rcgen::date_time_ymd(i32::from(day.year()), month, of_month))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date(now.checked_sub(24.hours()).map_err(|_| TlsError::Date(now))?, 0)?;
    params.not_after = date(now, years)?;
    Ok(params)
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T21:00:00Z".parse().unwrap()
    }

    #[test]
    fn an_issued_certificate_names_the_registry_and_verifies_under_the_authority() {
        let made = SiteCa::generate("plant-7", now()).unwrap();
        let ca = SiteCa::from_pem(made.certificate_pem(), &made.key_pem()).unwrap();
        let address = "10.77.0.10".parse().unwrap();
        let issued = ca.issue("registry.plant-7.internal", &[address], now()).unwrap();

        let (_, ca_pem) = parse_x509_pem(ca.certificate_pem().as_bytes()).unwrap();
        let ca_certificate = ca_pem.parse_x509().unwrap();
        let (_, pem) = parse_x509_pem(issued.certificate_pem.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();

        assert!(ca_certificate.is_ca());
        assert!(!certificate.is_ca());
        assert_eq!(certificate.issuer(), ca_certificate.subject());
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        let expected = [GeneralName::DNSName("registry.plant-7.internal"), GeneralName::IPAddress(&[10, 77, 0, 10])];
        assert_eq!(names.value.general_names, expected);
        let at = |text: &str| ASN1Time::from_timestamp(text.parse::<Timestamp>().unwrap().as_second()).unwrap();
        assert!(certificate.validity().is_valid_at(at("2026-11-23T00:00:00Z")));
        assert!(certificate.validity().is_valid_at(at("2028-11-22T00:00:00Z")));
        assert!(!certificate.validity().is_valid_at(at("2028-11-24T00:00:00Z")));
        assert!(ca_certificate.validity().is_valid_at(at("2046-11-22T00:00:00Z")));
    }

    #[test]
    fn a_leap_day_does_not_break_the_validity() {
        let leap_day = "2028-02-29T12:00:00Z".parse().unwrap();
        SiteCa::generate("x", leap_day).unwrap().issue("r.x", &[], leap_day).unwrap();
    }

    #[test]
    fn private_keys_are_not_printed() {
        let ca = SiteCa::generate("x", now()).unwrap();
        let issued = ca.issue("r.x", &[], now()).unwrap();
        assert!(!format!("{ca:?}{issued:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_server_certificate_is_no_authority_and_nonsense_is_refused() {
        let ca = SiteCa::generate("x", now()).unwrap();
        assert!(matches!(SiteCa::from_pem("", &ca.key_pem()), Err(TlsError::NotAnAuthority(_))));
        assert!(matches!(SiteCa::from_pem(ca.certificate_pem(), "x"), Err(TlsError::NotAnAuthority(_))));
        assert!(matches!(ca.issue("\u{e9}", &[], now()), Err(TlsError::Issue { .. })));
    }
}
