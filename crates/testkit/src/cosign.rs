//! Upstream signatures as cosign makes them with a key: in its first form, and as Sigstore bundles.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealock_trust::Digest;
use serde_json::{Value, json};

use crate::image::{CONFIG, Image, MANIFEST, bytes_of, descriptor};

/// Media type of a Sigstore bundle.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What the statement says by which cosign signs an image.
pub const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// Media type of a payload in cosign's first form.
pub const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// Which key signs, and how.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// ECDSA on P-256: cosign's own.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA of 2048 bits, PKCS #1 v1.5.
    Rsa,
}

enum Key {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A cosign key pair.
pub struct Cosign {
    key: Key,
}

impl std::fmt::Debug for Cosign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cosign")
    }
}

impl Cosign {
    /// A new key pair of cosign's own kind.
    pub fn generate() -> Self {
        Self::of(Kind::P256)
    }

    /// A new key pair.
    pub fn of(kind: Kind) -> Self {
        let ecdsa = |algorithm| Key::Ecdsa(EcdsaKeyPair::generate(algorithm).unwrap());
        let key = match kind {
            Kind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            Kind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            Kind::Ed25519 => Key::Ed25519(Ed25519KeyPair::generate().unwrap()),
            Kind::Rsa => Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        };
        Self { key }
    }

    /// The public key, as in `cosign.pub`.
    pub fn public_pem(&self) -> String {
        let der = match &self.key {
            Key::Ecdsa(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
            Key::Ed25519(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
            Key::Rsa(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
        };
        pem("PUBLIC KEY", &der)
    }

    /// A signature over `message`.
    pub fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Ecdsa(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// The tag of the signature of `digest`.
    pub fn tag(digest: &Digest) -> String {
        format!("sha256-{}.sig", digest.hex())
    }

    /// The signature image of `digest`, which was found under `reference`.
    pub fn sign(&self, reference: &str, digest: &Digest) -> Image {
        let payload = simple_payload(reference, digest);
        self.simple_image(&payload, &json!({}))
    }

    /// A signature image of any payload, with more annotations on its layer.
    pub fn simple_image(&self, payload: &[u8], annotations: &Value) -> Image {
        let signature = STANDARD.encode(self.sign_bytes(payload));
        let mut annotations = annotations.clone();
        annotations["dev.cosignproject.cosign/signature"] = signature.into();
        simple_image(payload, &annotations)
    }

    /// The bundle by which cosign 3 signs the image `digest`.
    pub fn bundle(&self, digest: &Digest) -> Value {
        self.statement_bundle(&statement(digest, SIGN))
    }

    /// A bundle around any in-toto statement.
    pub fn statement_bundle(&self, statement: &Value) -> Value {
        let payload = bytes_of(statement);
        let signature = self.sign_bytes(&dsse_message(&payload));
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": "test"}},
            "dsseEnvelope": envelope(&payload, &signature),
        })
    }

    /// A bundle that signs the bytes of a manifest.
    pub fn message_bundle(&self, manifest: &[u8]) -> Value {
        let digest = STANDARD.encode(raw(&Digest::sha256(manifest)));
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": "test"}},
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": digest},
                "signature": STANDARD.encode(self.sign_bytes(manifest)),
            },
        })
    }
}

/// What cosign's first form signs.
pub fn simple_payload(reference: &str, digest: &Digest) -> Vec<u8> {
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": reference},
            "image": {"docker-manifest-digest": digest.to_string()},
            "type": "cosign container image signature",
        },
        "optional": {"stage": "prod"},
    });
    bytes_of(&payload).to_vec()
}

/// A signature image in cosign's first form.
pub fn simple_image(payload: &[u8], annotations: &Value) -> Image {
    let mut layer = descriptor(SIMPLE, payload);
    layer["annotations"] = annotations.clone();
    let config =
        bytes_of(&json!({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}));
    let manifest = bytes_of(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, &config), "layers": [layer],
    }));
    let digest = Digest::sha256(&manifest);
    let blobs = [config, payload.to_vec().into()].map(|bytes| (Digest::sha256(&bytes), bytes)).to_vec();
    Image { digest: digest.clone(), manifests: vec![(digest, MANIFEST.to_owned(), manifest)], blobs }
}

/// An in-toto statement about `digest`.
pub fn statement(digest: &Digest, predicate_type: &str) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.hex()}, "annotations": {"stage": "prod"}}],
        "predicateType": predicate_type,
        "predicate": {},
    })
}

/// What a DSSE signature around an in-toto statement signs.
pub fn dsse_message(payload: &[u8]) -> Vec<u8> {
    let kind = "application/vnd.in-toto+json";
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

/// A DSSE envelope as it stands in a bundle.
pub fn envelope(payload: &[u8], signature: &[u8]) -> Value {
    json!({
        "payloadType": "application/vnd.in-toto+json",
        "payload": STANDARD.encode(payload),
        "signatures": [{"sig": STANDARD.encode(signature)}],
    })
}

/// A bundle as cosign attaches it to `subject`.
pub fn attachment(bundle: &Value, subject: &Image) -> Image {
    let payload = bundle["dsseEnvelope"]["payload"].as_str().map(|text| STANDARD.decode(text).unwrap());
    let statement: Value = payload.map_or(Value::Null, |payload| serde_json::from_slice(&payload).unwrap());
    let mut annotations = json!({"org.opencontainers.image.created": "2026-11-23T00:00:00Z"});
    if let Some(kind) = statement["predicateType"].as_str() {
        annotations["dev.sigstore.bundle.predicateType"] = kind.into();
    }
    let layers = vec![(BUNDLE.to_owned(), bytes_of(bundle))];
    let config = ("application/vnd.oci.empty.v1+json", bytes_of(&json!({})));
    Image::artifact(Some(BUNDLE), config, layers, &annotations).refer_to(subject)
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..(at + 64).min(text.len())]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(crate) fn raw(digest: &Digest) -> Vec<u8> {
    let hex = digest.hex();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
