//! Upstream signatures as cosign makes them with a key.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealock_trust::Digest;
use serde_json::json;

use crate::image::{CONFIG, Image, MANIFEST, bytes_of, descriptor};

/// A cosign key pair (ECDSA P-256).
pub struct Cosign {
    key: EcdsaKeyPair,
}

impl std::fmt::Debug for Cosign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cosign")
    }
}

impl Cosign {
    /// A new key pair.
    pub fn generate() -> Self {
        Self { key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap() }
    }

    /// The public key, as in `cosign.pub`.
    pub fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.key.public_key().as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..(at + 64).min(text.len())]).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// The tag of the signature of `digest`.
    pub fn tag(digest: &Digest) -> String {
        format!("sha256-{}.sig", digest.hex())
    }

    /// The signature image of `digest`, which was found under `reference`.
    pub fn sign(&self, reference: &str, digest: &Digest) -> Image {
        let payload = bytes_of(&json!({
            "critical": {
                "identity": {"docker-reference": reference},
                "image": {"docker-manifest-digest": digest.to_string()},
                "type": "cosign container image signature",
            },
            "optional": null,
        }));
        let signature = self.key.sign(&SystemRandom::new(), &payload).unwrap();
        let mut layer = descriptor("application/vnd.dev.cosign.simplesigning.v1+json", &payload);
        layer["annotations"] = json!({"dev.cosignproject.cosign/signature": STANDARD.encode(signature.as_ref())});
        let config = bytes_of(
            &json!({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}),
        );
        let manifest = bytes_of(&json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, &config), "layers": [layer],
        }));
        let digest = Digest::sha256(&manifest);
        let blobs = [config, payload].map(|bytes| (Digest::sha256(&bytes), bytes)).to_vec();
        Image { digest: digest.clone(), manifests: vec![(digest, MANIFEST.to_owned(), manifest)], blobs }
    }
}
