//! Issuers of tokens: an identity provider, or the API server of a cluster.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

enum Key {
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// Somebody who signs tokens with one key.
pub struct Issuer {
    key: Key,
    id: String,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Issuer {
    /// An issuer with a new key on P-256, called `id`.
    pub fn p256(id: &str) -> Self {
        Self { key: Key::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()), id: id.into() }
    }

    /// An issuer with a new RSA key, as API servers have, called `id`.
    pub fn rsa(id: &str) -> Self {
        Self { key: Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()), id: id.into() }
    }

    /// The key set that it publishes.
    pub fn jwks(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut key = match &self.key {
            Key::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])})
            }
            Key::Rsa(pair) => {
                let public = pair.public_key();
                let modulus = public.modulus().big_endian_without_leading_zero();
                json!({"kty": "RSA", "n": encode(modulus), "e": encode(public.exponent().big_endian_without_leading_zero())})
            }
        };
        key["kid"] = self.id.as_str().into();
        key["use"] = "sig".into();
        key["alg"] = self.algorithm().into();
        json!({"keys": [key]})
    }

    /// The public key in DER form, as whoever confuses algorithms would use it.
    pub fn public_der(&self) -> Vec<u8> {
        match &self.key {
            Key::P256(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Key::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self.key {
            Key::P256(_) => "ES256",
            Key::Rsa(_) => "RS256",
        }
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"alg": self.algorithm(), "kid": self.id, "typ": "JWT"}), claims)
    }

    /// A token with this header, whatever that says.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}
