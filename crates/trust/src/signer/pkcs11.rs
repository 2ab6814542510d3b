//! Keys and signatures in the forms that PKCS#11 has for them (OASIS, versions 2.40 and 3.1), and what tokens make of these.
//!
//! Nothing here talks to a token: what one said comes in, what it shall be told goes out.

use aws_lc_rs::digest;
use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::{AnyRef, BitStringRef, OctetStringRef, UintRef};
use pkcs8::der::{self, Decode, Encode, Tag};
use pkcs8::spki::SubjectPublicKeyInfoRef;

use crate::key::{KeyError, Kind, PublicKey};
use crate::spki;

/// Curve names that tokens use for Ed25519: that of RFC 8410, and the one that GnuPG took before there was any.
const EDWARDS25519: [ObjectIdentifier; 2] = [spki::ED25519, ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11591.15.1")];
/// The curve's name as a PrintableString in DER form: what PKCS#11 3.0 suggests, and OpenSC writes.
const EDWARDS25519_NAME: &[u8] = b"\x13\x0cedwards25519";

/// What a token says of the public half of a key: values of attributes, as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicAttributes {
    /// `CKK_EC`.
    Ec {
        /// `CKA_EC_PARAMS`: the curve.
        params: Vec<u8>,
        /// `CKA_EC_POINT`: the point in an octet string; some tokens leave the string away.
        point: Vec<u8>,
    },
    /// `CKK_EC_EDWARDS`.
    Edwards {
        /// `CKA_EC_PARAMS`: the curve, by one of its names.
        params: Vec<u8>,
        /// `CKA_EC_POINT`: 32 bytes, in a string or not.
        point: Vec<u8>,
    },
    /// `CKK_RSA`.
    Rsa {
        /// `CKA_MODULUS`, the most significant byte first.
        modulus: Vec<u8>,
        /// `CKA_PUBLIC_EXPONENT`, likewise.
        exponent: Vec<u8>,
    },
    /// `CKA_PUBLIC_KEY_INFO`: a SubjectPublicKeyInfo in DER form.
    Info(Vec<u8>),
}

impl PublicAttributes {
    /// The public key.
    ///
    /// # Errors
    /// [`KeyError::Kind`] where it is of a kind that is not verified here, [`KeyError::Public`] where it is no key at all.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        let (kind, raw) = self.raw()?;
        PublicKey::from_raw(kind, &raw).map_err(|_| unfit(kind))
    }

    fn raw(&self) -> Result<(Kind, Vec<u8>), KeyError> {
        match self {
            Self::Ec { params, point } => {
                let curve = ObjectIdentifier::from_der(params).map_err(|_| KeyError::Kind)?;
                let (kind, length) = match curve {
                    spki::P256 => (Kind::EcdsaP256, 65),
                    spki::P384 => (Kind::EcdsaP384, 97),
                    _ => return Err(KeyError::Kind),
                };
                Ok((kind, unwrapped(point, length).ok_or_else(|| unfit(kind))?.to_vec()))
            }
            Self::Edwards { params, point } => {
                if !is_edwards25519(params) {
                    return Err(KeyError::Kind);
                }
                Ok((Kind::Ed25519, unwrapped(point, 32).ok_or_else(|| unfit(Kind::Ed25519))?.to_vec()))
            }
            Self::Rsa { modulus, exponent } => {
                let key = rsa_public_key(modulus, exponent).ok_or_else(|| unfit(Kind::RsaPss))?;
                Ok((Kind::RsaPss, key))
            }
            Self::Info(der) => {
                let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::Kind)?;
                spki::parse(&info).map_err(|_| KeyError::Kind)
            }
        }
    }
}

fn unfit(kind: Kind) -> KeyError {
    KeyError::Public(kind.names().1.to_owned())
}

/// The `length` bytes that are meant: as they are, or in a DER octet or bit string.
fn unwrapped(value: &[u8], length: usize) -> Option<&[u8]> {
    if value.len() == length {
        return Some(value);
    }
    let octets = OctetStringRef::from_der(value).ok().map(|string| string.as_bytes());
    let bits = || BitStringRef::from_der(value).ok().and_then(|string| string.as_bytes());
    octets.or_else(bits).filter(|bytes| bytes.len() == length)
}

fn is_edwards25519(params: &[u8]) -> bool {
    params == EDWARDS25519_NAME || ObjectIdentifier::from_der(params).is_ok_and(|curve| EDWARDS25519.contains(&curve))
}

fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let is_zero = |number: &[u8]| number.iter().all(|byte| *byte == 0);
    if is_zero(modulus) || is_zero(exponent) { None } else { two_numbers(modulus, exponent).ok() }
}

/// `RSAPublicKey` and `Ecdsa-Sig-Value` are both a sequence of two numbers (RFC 8017, A.1.1; RFC 3279, 2.2.3).
fn two_numbers(first: &[u8], second: &[u8]) -> Result<Vec<u8>, der::Error> {
    let numbers = [UintRef::new(first)?.to_der()?, UintRef::new(second)?.to_der()?].concat();
    AnyRef::new(Tag::Sequence, &numbers)?.to_der()
}

/// How a token is made to sign what [`PublicKey::verify`] believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// `CKM_ECDSA` over a digest.
    Ecdsa,
    /// `CKM_EDDSA` without parameters, over the message itself: Ed25519 hashes it twice, with secrets.
    Eddsa,
    /// `CKM_RSA_PKCS_PSS` over a SHA-256 digest, MGF1 with SHA-256, a salt of 32 bytes.
    RsaPssSha256,
}

impl Mechanism {
    /// The mechanism for `key`; `None` where its scheme is unknown.
    pub fn of(key: &PublicKey) -> Option<Self> {
        Some(match key.kind()? {
            Kind::EcdsaP256 | Kind::EcdsaP384 => Self::Ecdsa,
            Kind::Ed25519 => Self::Eddsa,
            Kind::RsaPss => Self::RsaPssSha256,
        })
    }

    /// The name in the PKCS#11 specification.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ecdsa => "CKM_ECDSA",
            Self::Eddsa => "CKM_EDDSA",
            Self::RsaPssSha256 => "CKM_RSA_PKCS_PSS",
        }
    }

    /// What the token is given in order to sign `message` with `key`: a digest, or the message.
    pub fn input(self, key: &PublicKey, message: &[u8]) -> Vec<u8> {
        let algorithm = match (self, key.kind()) {
            (Self::Eddsa, _) => return message.to_vec(),
            (Self::Ecdsa, Some(Kind::EcdsaP384)) => &digest::SHA384,
            (Self::Ecdsa | Self::RsaPssSha256, _) => &digest::SHA256,
        };
        digest::digest(algorithm, message).as_ref().to_vec()
    }

    /// The signature over `message` in the form that [`crate::Signer::sign`] answers, out of what the token made, and only
    /// if it is one by `key`.
    ///
    /// # Errors
    /// [`KeyError::Signature`].
    pub fn signature(self, key: &PublicKey, message: &[u8], made: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = match self {
            Self::Ecdsa => {
                let (r, s) = made.split_at_checked(made.len() / 2).ok_or(KeyError::Signature)?;
                if r.len() != s.len() || r.is_empty() {
                    return Err(KeyError::Signature);
                }
                two_numbers(r, s).map_err(|_| KeyError::Signature)?
            }
            Self::Eddsa | Self::RsaPssSha256 => made.to_vec(),
        };
        key.verify(message, &signature)?;
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use proptest::prelude::*;

    use super::*;
    use crate::signer::{FileKey, Scheme, Signer as _};

    const P256_PARAMS: &str = "06082a8648ce3d030107";
    /// From a key that SoftHSM 2.6 generated.
    const P256_POINT: &str = "0441043915fe352d10cb5dc2d212de6e3bc5a77236cc846255cc42b18f9483c1a8f643714cccc844c073dc3348ff\
                              5db746517e269634b4795b54bb63ae24b3acb628c1";
    const P384_PARAMS: &str = "06052b81040022";
    const P384_POINT: &str = "046104f4b04151ba9738937daf9284dc23fd4d6b9f52121d7ee32ce0a3803510c85c2928db9fd753901a6d6467e2\
                              d14ab89f566cce5fef0d2ff78f82db962ca604a42b832353d5263dc5a738dc037080264997f9e649ddfa94e6eba1f66\
                              63850d55880";
    const ED25519_POINT: &str = "0420bc26a13b211c8de3e18ce7dd14c9ed6923b78f8a2fcac22095a6094fc36fe5dc";

    fn bytes(hex: &str) -> Vec<u8> {
        hex::decode(hex).unwrap()
    }

    fn edwards(params: &str, point: &str) -> PublicAttributes {
        PublicAttributes::Edwards { params: bytes(params), point: bytes(point) }
    }

    #[test]
    fn points_are_read_with_and_without_their_string() {
        for (params, point, scheme) in
            [(P256_PARAMS, P256_POINT, "ecdsa-sha2-nistp256"), (P384_PARAMS, P384_POINT, "ecdsa-sha2-nistp384")]
        {
            let read = |point: &[u8]| {
                PublicAttributes::Ec { params: bytes(params), point: point.to_vec() }.public_key().unwrap()
            };
            let point = bytes(point);
            assert_eq!(read(&point).scheme(), scheme);
            assert_eq!(read(&point), read(&point[2..]));
        }
    }

    #[test]
    fn ed25519_is_known_by_all_its_names() {
        let wrapped = edwards("06032b6570", ED25519_POINT).public_key().unwrap();
        assert_eq!(wrapped.scheme(), "ed25519");
        let as_bits = ED25519_POINT.replacen("0420", "032100", 1);
        for (params, point) in [
            ("06032b6570", &ED25519_POINT[4..]),
            ("130c656477617264733235353139", ED25519_POINT),
            ("06092b06010401da470f01", ED25519_POINT),
            ("06032b6570", &as_bits),
        ] {
            assert_eq!(edwards(params, point).public_key().unwrap(), wrapped, "{params} {point}");
        }
        // Ed448, and a name that nobody gave.
        for params in ["06032b6571", "130a6564776172647334343800"] {
            assert!(matches!(edwards(params, ED25519_POINT).public_key(), Err(KeyError::Kind)), "{params}");
        }
    }

    #[test]
    fn points_of_another_length_and_other_curves_are_refused() {
        let ec = |params: &str, point: &str| PublicAttributes::Ec { params: bytes(params), point: bytes(point) };
        assert!(matches!(ec("06052b8104000a", P256_POINT).public_key(), Err(KeyError::Kind)), "secp256k1");
        assert!(matches!(ec(P256_PARAMS, P384_POINT).public_key(), Err(KeyError::Public(_))));
        assert!(matches!(ec(P256_PARAMS, "").public_key(), Err(KeyError::Public(_))));
        assert!(ec(P256_PARAMS, &format!("02{}", &P256_POINT[6..])).public_key().is_err(), "neither point nor string");
        assert!(matches!(edwards("06032b6570", "0420bc").public_key(), Err(KeyError::Public(_))));
    }

    #[test]
    fn weak_rsa_keys_are_refused() {
        let rsa = |bytes: usize| PublicAttributes::Rsa { modulus: vec![0xc5; bytes], exponent: vec![0, 1, 0, 1] };
        assert_eq!(rsa(256).public_key().unwrap().scheme(), "rsassa-pss-sha256");
        assert!(matches!(rsa(128).public_key(), Err(KeyError::Public(_))));
        assert!(matches!(rsa(0).public_key(), Err(KeyError::Public(_))));
        let nothing = PublicAttributes::Rsa { modulus: vec![0xc5; 256], exponent: vec![0] };
        assert!(nothing.public_key().is_err());
    }

    #[test]
    fn leading_zeros_make_no_second_key() {
        let modulus = vec![0xc5; 256];
        let padded = [&[0, 0][..], &modulus].concat();
        let read = |modulus| PublicAttributes::Rsa { modulus, exponent: vec![1, 0, 1] }.public_key().unwrap();
        assert_eq!(read(modulus), read(padded));
    }

    #[test]
    fn a_public_key_info_is_a_public_key() {
        for scheme in [Scheme::Ed25519, Scheme::EcdsaP256, Scheme::EcdsaP384, Scheme::RsaPss] {
            let key = FileKey::generate(scheme).unwrap();
            let (_, der) = pkcs8::der::Document::from_pem(&key.public_key().to_pem().unwrap()).unwrap();
            let read = PublicAttributes::Info(der.as_bytes().to_vec()).public_key().unwrap();
            assert_eq!(read, *key.public_key());
        }
        assert!(PublicAttributes::Info(vec![0x30, 0]).public_key().is_err());
    }

    #[test]
    fn a_raw_ecdsa_signature_becomes_the_one_that_is_verified() {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let key = PublicKey::from_raw(Kind::EcdsaP256, pair.public_key().as_ref()).unwrap();
        let mechanism = Mechanism::of(&key).unwrap();
        // Often enough for numbers that begin with zero bits, zero bytes, and neither.
        for message in 0..600_u32 {
            let message = message.to_be_bytes();
            let made = pair.sign(&random, &message).unwrap();
            let signature = mechanism.signature(&key, &message, made.as_ref()).unwrap();
            key.verify(&message, &signature).unwrap();
        }
    }

    #[test]
    fn a_signature_that_does_not_fit_the_key_is_never_answered() {
        for scheme in [Scheme::Ed25519, Scheme::EcdsaP256, Scheme::RsaPss] {
            let (key, other) = (FileKey::generate(scheme).unwrap(), FileKey::generate(scheme).unwrap());
            let mechanism = Mechanism::of(key.public_key()).unwrap();
            let made = other.sign(b"message").unwrap();
            let answered = mechanism.signature(key.public_key(), b"message", &made);
            assert!(matches!(answered, Err(KeyError::Signature)), "{scheme}");
        }
    }

    proptest! {
        #[test]
        fn no_signature_panics(made in proptest::collection::vec(any::<u8>(), 0..200)) {
            let key = edwards("06032b6570", ED25519_POINT).public_key().unwrap();
            for mechanism in [Mechanism::Ecdsa, Mechanism::Eddsa, Mechanism::RsaPssSha256] {
                prop_assert!(mechanism.signature(&key, b"message", &made).is_err());
            }
        }

        #[test]
        fn no_attribute_panics(params in proptest::collection::vec(any::<u8>(), 0..20),
                               point in proptest::collection::vec(any::<u8>(), 0..120)) {
            for attributes in [
                PublicAttributes::Ec { params: params.clone(), point: point.clone() },
                PublicAttributes::Edwards { params: params.clone(), point: point.clone() },
                PublicAttributes::Rsa { modulus: point.clone(), exponent: params.clone() },
                PublicAttributes::Info(point.clone()),
            ] {
                let _ = attributes.public_key();
            }
        }
    }
}
