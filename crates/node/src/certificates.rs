//! Certificates for what runs on a machine: an authority, what it issues, and what stands in a file.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use sealock_trust::Digest;
use serde::Serialize;
use x509_parser::prelude::{FromDer, GeneralName, Pem, X509Certificate};
use zeroize::Zeroizing;

/// What a private key without a passphrase is called: PKCS #8, PKCS #1, SEC 1.
const PRIVATE: [&str; 3] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
/// Characters on a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;
/// Years until an authority must be replaced.
const AUTHORITY_YEARS: i16 = 10;

/// Why a certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It could not be made.
    #[error("cannot issue a certificate for {name}")]
    Issue {
        /// Its common name.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
    /// A key that is none.
    #[error("the private key cannot be read")]
    Key(#[source] rcgen::Error),
    /// It is no certificate.
    #[error("it is no certificate in PEM")]
    Unreadable,
    /// It may not issue others.
    #[error("the certificate of {0} is no authority's")]
    NotAnAuthority(String),
    /// Key and certificate are not each other's.
    #[error("the private key does not belong to the certificate of {0}")]
    OtherKey(String),
    /// A time outside the calendar.
    #[error("{0} is no time that a certificate can hold")]
    Date(Timestamp),
}

/// What a certificate is for. etcd's server shows its own to itself as a client, so a server's serves for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A server, which also calls itself.
    Server,
    /// One of several that call each other.
    Peer,
    /// A client only.
    Client,
}

/// A certificate and its private key, both PEM.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its private key (PKCS#8).
    pub key: Zeroizing<String>,
}

/// An authority with its private key.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one called `name`: ECDSA P-256, no authorities below it, valid from the day before `now`.
    ///
    /// # Errors
    /// [`CertificateError::Issue`], [`CertificateError::Date`].
    pub fn generate(name: &str, now: Timestamp) -> Result<Self, CertificateError> {
        let failed = |source| CertificateError::Issue { name: name.to_owned(), source };
        let mut params = params(name, now, i32::from(AUTHORITY_YEARS) * 365)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The one whose certificate and key stand in files.
    ///
    /// # Errors
    /// The certificate is none, is no authority's, or is another key's.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, CertificateError> {
        let facts = Facts::of(certificate)?;
        if !facts.authority {
            return Err(CertificateError::NotAnAuthority(facts.name));
        }
        if !facts.has_key(key)? {
            return Err(CertificateError::OtherKey(facts.name));
        }
        let key = key_pair(key)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(CertificateError::Key)?;
        Ok(Self { certificate: certificate.to_owned(), issuer })
    }

    /// The certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The private key (PKCS#8, PEM).
    pub fn key(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// A certificate for `name` under these host `names` and addresses, for `days` from now.
    ///
    /// # Errors
    /// A name that is neither an address nor a DNS name; a time outside the calendar.
    pub fn issue(
        &self,
        purpose: Purpose,
        name: &str,
        names: &[String],
        (now, days): (Timestamp, u32),
    ) -> Result<Issued, CertificateError> {
        let failed = |source| CertificateError::Issue { name: name.to_owned(), source };
        let mut params = params(name, now, i32::try_from(days).map_err(|_| CertificateError::Date(now))?)?;
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().map_err(failed)?),
            });
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match purpose {
            Purpose::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Purpose::Server | Purpose::Peer => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
        };
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(Issued { certificate, key: Zeroizing::new(key.serialize_pem()) })
    }
}

/// What stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Common name, or the whole subject where there is none.
    pub name: String,
    /// Who issued it, in the same form.
    pub issuer: String,
    /// The serial number, in hexadecimal with colons.
    pub serial: String,
    /// The first moment at which it holds.
    pub not_before: Timestamp,
    /// The last moment at which it holds.
    pub not_after: Timestamp,
    /// Host names and addresses.
    pub names: Vec<String>,
    /// Whether it may issue others.
    pub authority: bool,
    #[serde(skip)]
    der: Vec<u8>,
}

impl Facts {
    /// What stands in the first certificate of the PEM text `text`.
    ///
    /// # Errors
    /// [`CertificateError::Unreadable`].
    pub fn of(text: &str) -> Result<Self, CertificateError> {
        let pem = Pem::iter_from_buffer(text.as_bytes()).next();
        Self::of_der(&pem.and_then(Result::ok).ok_or(CertificateError::Unreadable)?.contents)
    }

    /// What stands in every certificate of the PEM text `text`, in their order; what is no certificate is passed over.
    pub fn all(text: &str) -> Vec<Self> {
        let pems = Pem::iter_from_buffer(text.as_bytes()).filter_map(Result::ok);
        pems.filter(|pem| pem.label == "CERTIFICATE").filter_map(|pem| Self::of_der(&pem.contents).ok()).collect()
    }

    /// What stands in the certificate `der`.
    ///
    /// # Errors
    /// [`CertificateError::Unreadable`].
    pub fn of_der(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = parse(der)?;
        let time = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_second(time.timestamp()).map_err(|_| CertificateError::Unreadable)
        };
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let names = alternatives.map(|names| names.value.general_names.iter().filter_map(name_of).collect());
        Ok(Self {
            name: common_name(certificate.subject()),
            issuer: common_name(certificate.issuer()),
            serial: certificate.raw_serial_as_string(),
            not_before: time(certificate.validity().not_before)?,
            not_after: time(certificate.validity().not_after)?,
            names: names.unwrap_or_default(),
            authority: certificate.is_ca(),
            der: der.to_vec(),
        })
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// The digest of the certificate, DER encoded: no two have the same.
    pub fn digest(&self) -> Digest {
        Digest::sha256(&self.der)
    }

    /// The certificate, PEM.
    pub fn pem(&self) -> String {
        pem_of("CERTIFICATE", &self.der)
    }

    /// Whether `authority` has signed it.
    pub fn is_issued_by(&self, authority: &Self) -> bool {
        let (Ok(issuer), Ok(certificate)) = (parse(&authority.der), parse(&self.der)) else { return false };
        authority.authority && certificate.verify_signature(Some(issuer.public_key())).is_ok()
    }

    /// Whether it is for all of `names`.
    pub fn covers(&self, names: &[String]) -> Result<(), String> {
        match names.iter().find(|name| !self.names.iter().any(|known| known.eq_ignore_ascii_case(name))) {
            Some(missing) => Err(missing.clone()),
            None => Ok(()),
        }
    }

    /// Whether the private key `key` (PEM) is this certificate's.
    ///
    /// # Errors
    /// It is no key.
    pub fn has_key(&self, key: &str) -> Result<bool, CertificateError> {
        let key = key_pair(key)?;
        let certificate = parse(&self.der)?;
        Ok(certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw())
    }

    /// SHA-256 of its public key: what kubeadm's discovery pins.
    ///
    /// # Errors
    /// [`CertificateError::Unreadable`].
    pub fn key_hash(&self) -> Result<Digest, CertificateError> {
        Ok(Digest::sha256(parse(&self.der)?.public_key().raw))
    }

    /// Whole days from `now` until it ends; negative where it has ended.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        self.not_after.duration_since(now).as_hours().div_euclid(24)
    }
}

/// `der`, PEM.
pub(crate) fn pem_of(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    // Base64 is ASCII: every piece is a text.
    for line in encoded.as_bytes().chunks(PEM_LINE) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + "-----END " + label + "-----\n"
}

/// Common names and organizations of a certificate. What is no text counts as another one.
pub(crate) fn subject_of(certificate: &X509Certificate<'_>) -> (Vec<String>, Vec<String>) {
    let subject = certificate.subject();
    let text = |one: &x509_parser::prelude::AttributeTypeAndValue<'_>| match one.as_str() {
        Ok(text) => text.to_owned(),
        Err(_) => format!("{:?}", one.as_slice()),
    };
    (subject.iter_common_name().map(text).collect(), subject.iter_organization().map(text).collect())
}

/// Whether the public key `public` and the private key `private` (both PEM) are each other's.
///
/// # Errors
/// One of them is none.
pub fn is_pair(private: &str, public: &str) -> Result<bool, CertificateError> {
    let private = key_pair(private)?;
    let pem = Pem::iter_from_buffer(public.as_bytes()).next().and_then(Result::ok);
    let pem = pem.filter(|pem| pem.label == "PUBLIC KEY").ok_or(CertificateError::Unreadable)?;
    Ok(pem.contents == private.subject_public_key_info())
}

/// The private key in the PEM text `text`. Whatever stands before it is passed over, like the parameters of its curve.
pub(crate) fn key_pair(text: &str) -> Result<KeyPair, CertificateError> {
    let pems = Pem::iter_from_buffer(text.as_bytes()).filter_map(Result::ok);
    let mut keys = pems.filter(|pem| PRIVATE.contains(&pem.label.as_str())).map(|pem| Zeroizing::new(pem.contents));
    let key = keys.next().ok_or(CertificateError::Key(rcgen::Error::CouldNotParseKeyPair))?;
    KeyPair::try_from(key.as_slice()).map_err(CertificateError::Key)
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    X509Certificate::from_der(der).map(|(_, certificate)| certificate).map_err(|_| CertificateError::Unreadable)
}

fn common_name(name: &x509_parser::prelude::X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned);
    common.unwrap_or_else(|| name.to_string())
}

/// A host name or an address.
pub(crate) fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            16 => Some(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn params(common_name: &str, now: Timestamp, days: i32) -> Result<CertificateParams, CertificateError> {
    let date = |days: i32| {
        let day = now.to_zoned(TimeZone::UTC).checked_add(days.days()).map_err(|_| CertificateError::Date(now))?;
        let month = u8::try_from(day.month()).map_err(|_| CertificateError::Date(now))?;
        let of_month = u8::try_from(day.day()).map_err(|_| CertificateError::Date(now))?;
        Ok(rcgen::date_time_ymd(i32::from(day.year()), month, of_month))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    // Machines whose clock is a little behind accept it too.
    params.not_before = date(-1)?;
    params.not_after = date(days)?;
    Ok(params)
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T21:00:00Z".parse().unwrap()
    }

    fn names() -> Vec<String> {
        ["10.0.0.1", "fd00::1", "etcd-1"].map(str::to_owned).to_vec()
    }

    #[test]
    fn what_is_issued_is_read_back_and_belongs_to_its_authority_only() {
        let made = Authority::generate("etcd", now()).unwrap();
        let authority = Authority::from_pem(made.certificate(), &made.key()).unwrap();
        let issued = authority.issue(Purpose::Peer, "etcd-1", &names(), (now(), 365)).unwrap();
        let (facts, ca) = (Facts::of(&issued.certificate).unwrap(), Facts::of(authority.certificate()).unwrap());
        assert_eq!((facts.name.as_str(), facts.issuer.as_str(), facts.authority), ("etcd-1", "etcd", false));
        assert_eq!(facts.covers(&names()), Ok(()));
        assert_eq!(facts.covers(&["10.0.0.2".to_owned()]), Err("10.0.0.2".to_owned()));
        assert_eq!(facts.days_left(now()), 364, "from midnight");
        assert!(facts.is_issued_by(&ca) && facts.has_key(&issued.key).unwrap());
        let other = Authority::generate("etcd", now()).unwrap();
        assert!(
            !facts.is_issued_by(&Facts::of(other.certificate()).unwrap()),
            "the same name is not the same authority"
        );
        assert!(!facts.has_key(&other.key()).unwrap());
        assert!(!Facts::of(&issued.certificate).unwrap().is_issued_by(&facts));
    }

    #[test]
    fn two_halves_of_a_key_are_told_from_two_keys() {
        let (one, two) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        assert!(is_pair(&one.serialize_pem(), &one.public_key_pem()).unwrap());
        assert!(!is_pair(&one.serialize_pem(), &two.public_key_pem()).unwrap());
        assert!(is_pair(&one.serialize_pem(), &one.serialize_pem()).is_err(), "a private key is no public one");
    }

    #[test]
    fn what_cannot_be_an_authority_is_refused() {
        let (one, two) = (Authority::generate("a", now()).unwrap(), Authority::generate("b", now()).unwrap());
        let leaf = one.issue(Purpose::Client, "c", &[], (now(), 1)).unwrap();
        let refused = |certificate: &str, key: &str| Authority::from_pem(certificate, key).unwrap_err();
        assert!(matches!(refused(&leaf.certificate, &leaf.key), CertificateError::NotAnAuthority(_)));
        assert!(matches!(refused(one.certificate(), &two.key()), CertificateError::OtherKey(_)));
        assert!(matches!(refused("", &one.key()), CertificateError::Unreadable));
        assert!(!format!("{one:?}{leaf:?}").contains("PRIVATE"));
    }
}
