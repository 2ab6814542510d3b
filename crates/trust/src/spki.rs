//! Public keys in their X.509 wrapping (SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7), as PEM.

use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::{AnyRef, BitStringRef, Null};
use pkcs8::der::pem::LineEnding;
use pkcs8::der::{Decode, Document, Encode};
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::key::{KeyError, Kind};

pub(crate) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
pub(crate) const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(crate) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
pub(crate) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
pub(crate) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

const LABEL: &str = "PUBLIC KEY";
/// Bits of an RSA modulus: fewer are weak, and more cannot be verified here.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

/// The kind of the key in `pem` and its raw public value.
pub(crate) fn parse_pem(pem: &str) -> Result<(Kind, Vec<u8>), KeyError> {
    let (label, document) = Document::from_pem(pem).map_err(|_| KeyError::Pem)?;
    if label != LABEL {
        return Err(KeyError::Pem);
    }
    parse(&SubjectPublicKeyInfoRef::from_der(document.as_bytes()).map_err(|_| KeyError::Pem)?)
}

/// The kind of the key in `info` and its raw public value.
pub(crate) fn parse(info: &SubjectPublicKeyInfoRef<'_>) -> Result<(Kind, Vec<u8>), KeyError> {
    let kind = kind(&info.algorithm)?;
    let raw = info.subject_public_key.as_bytes().ok_or(KeyError::Pem)?;
    // One key has one spelling: a compressed point would count as a second key.
    let fits = match kind {
        Kind::Ed25519 => raw.len() == 32,
        Kind::EcdsaP256 => raw.len() == 65 && raw[0] == 4,
        Kind::EcdsaP384 => raw.len() == 97 && raw[0] == 4,
        Kind::RsaPss => RsaPublicKey::from_der(raw).is_ok_and(|key| RSA_BITS.contains(&key.bits)),
    };
    if fits { Ok((kind, raw.to_vec())) } else { Err(KeyError::Pem) }
}

fn kind(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<Kind, KeyError> {
    let curve = || algorithm.parameters_oid().map_err(|_| KeyError::Kind);
    match algorithm.oid {
        ED25519 => Ok(Kind::Ed25519),
        RSA => Ok(Kind::RsaPss),
        EC_PUBLIC_KEY => match curve()? {
            P256 => Ok(Kind::EcdsaP256),
            P384 => Ok(Kind::EcdsaP384),
            _ => Err(KeyError::Kind),
        },
        _ => Err(KeyError::Kind),
    }
}

/// The PEM form of a raw public value.
pub(crate) fn to_pem(kind: Kind, raw: &[u8]) -> Result<String, KeyError> {
    encode(kind, raw).map_err(|_| KeyError::Pem)
}

fn encode(kind: Kind, raw: &[u8]) -> Result<String, pkcs8::der::Error> {
    let (oid, parameters) = match kind {
        Kind::Ed25519 => (ED25519, None),
        Kind::EcdsaP256 => (EC_PUBLIC_KEY, Some(AnyRef::from(&P256))),
        Kind::EcdsaP384 => (EC_PUBLIC_KEY, Some(AnyRef::from(&P384))),
        Kind::RsaPss => (RSA, Some(AnyRef::from(Null))),
    };
    let info = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid, parameters },
        subject_public_key: BitStringRef::from_bytes(raw)?,
    };
    Document::try_from(info.to_der()?)?.to_pem(LABEL, LineEnding::LF)
}

/// `RSAPublicKey` (RFC 8017, A.1.1): parsed for its size, and to refuse a second DER spelling of one key.
struct RsaPublicKey {
    bits: u32,
}

impl RsaPublicKey {
    fn from_der(der: &[u8]) -> Result<Self, pkcs8::der::Error> {
        use pkcs8::der::asn1::UintRef;
        use pkcs8::der::{Reader, SliceReader};
        let mut reader = SliceReader::new(der)?;
        let bits = reader.sequence(|fields| {
            let modulus = UintRef::decode(fields)?;
            UintRef::decode(fields)?;
            Ok(bits(modulus.as_bytes()))
        })?;
        reader.finish(Self { bits })
    }
}

/// Bits of a big-endian number.
fn bits(number: &[u8]) -> u32 {
    let first = number.first().map_or(0, |byte| byte.leading_zeros());
    u32::try_from(number.len()).unwrap_or(u32::MAX / 8).saturating_mul(8) - first
}
