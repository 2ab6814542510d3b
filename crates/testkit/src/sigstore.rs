//! A Sigstore of one's own: an authority as Fulcio is one, a certificate log, and a transparency log as Rekor is one.
//!
//! Certificates, timestamps, proofs and checkpoints are made as RFC 5280, RFC 6962, C2SP's `tlog-checkpoint` and Rekor say,
//! so that any verifier of Sigstore bundles can judge them by [`Sigstore::trusted_root`].

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use sealock_trust::Digest;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::cosign::{BUNDLE, dsse_message, envelope, pem, raw};
use crate::image::bytes_of;

/// Within the certificate's two days: 2024-05-01, 12:00 UTC.
const SIGNED_AT: i64 = 1_714_564_800;

/// The authority and both logs.
pub struct Sigstore {
    authority: Issuer<'static, KeyPair>,
    authority_der: Vec<u8>,
    authority_spki: Vec<u8>,
    certificate_log: EcdsaKeyPair,
    log: EcdsaKeyPair,
}

impl std::fmt::Debug for Sigstore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sigstore")
    }
}

/// An identity's certificate and the key that it is about.
pub struct Identity {
    certificate: Vec<u8>,
    key: EcdsaKeyPair,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// The certificate in PEM form.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

impl Sigstore {
    /// A new authority and new logs.
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "identity test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 1), date_time_ymd(2044, 1, 1));
        let certificate = params.self_signed(&key).unwrap();
        let authority_der = certificate.der().to_vec();
        let authority_spki = spki_of(&authority_der);
        let new_log = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let authority = Issuer::new(params, key);
        Self { authority, authority_der, authority_spki, certificate_log: new_log(), log: new_log() }
    }

    /// What a verifier must know: `trusted_root.json`.
    pub fn trusted_root(&self) -> Value {
        let log = |key: &EcdsaKeyPair| {
            json!({
                "baseUrl": "https://log.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(spki(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": "2024-01-01T00:00:00Z"},
                },
                "logId": {"keyId": STANDARD.encode(log_id(key))},
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.log)],
            "certificateAuthorities": [{
                "subject": {"organization": "test", "commonName": "identity test authority"},
                "uri": "https://authority.example",
                "certChain": {"certificates": [{"rawBytes": STANDARD.encode(&self.authority_der)}]},
                "validFor": {"start": "2024-01-01T00:00:00Z"},
            }],
            "ctlogs": [log(&self.certificate_log)],
            "timestampAuthorities": [],
        })
    }

    /// A certificate for the URI `identity`, by the word of `issuer`.
    pub fn certify(&self, identity: &str, issuer: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(identity.try_into().unwrap())];
        params.serial_number = Some(SerialNumber::from(7_u64));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (date_time_ymd(2024, 5, 1), date_time_ymd(2024, 5, 3));
        params.custom_extensions = vec![fulcio_issuer(issuer)];
        // The certificate log signs what the certificate says without the log's own word in it (RFC 6962, section 3.2).
        let before = params.signed_by(&key, &self.authority).unwrap();
        let (_, parsed) = X509Certificate::from_der(before.der()).unwrap();
        params.custom_extensions.push(self.timestamp(parsed.tbs_certificate.as_ref()));
        let certificate = params.signed_by(&key, &self.authority).unwrap().der().to_vec();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der()).unwrap();
        Identity { certificate, key }
    }

    /// The signed certificate timestamp list (RFC 6962, sections 3.2 and 3.3).
    fn timestamp(&self, tbs: &[u8]) -> CustomExtension {
        let time = (u64::try_from(SIGNED_AT).unwrap() * 1000).to_be_bytes();
        let mut message = vec![0, 0];
        message.extend(time);
        message.extend([0, 1]);
        message.extend(raw(&Digest::sha256(&self.authority_spki)));
        message.extend(&u32::try_from(tbs.len()).unwrap().to_be_bytes()[1..]);
        message.extend(tbs);
        message.extend([0, 0]);
        let signature = self.certificate_log.sign(&SystemRandom::new(), &message).unwrap();
        let mut entry = vec![0];
        entry.extend(log_id(&self.certificate_log));
        entry.extend(time);
        entry.extend([0, 0, 4, 3]);
        entry.extend(with_length(signature.as_ref()));
        let list = with_length(&with_length(&entry));
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], der(0x04, &list))
    }

    /// The bundle by which `identity` signs a statement, with its entry in the log.
    pub fn bundle(&self, identity: &Identity, statement: &Value) -> Value {
        let payload = bytes_of(statement);
        let signature = identity.sign(&dsse_message(&payload));
        let hash = json!({"algorithm": "sha256", "value": Digest::sha256(&payload).hex()});
        let body = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": hash, "payloadHash": hash,
            "signatures": [{"signature": STANDARD.encode(&signature), "verifier": STANDARD.encode(identity.pem())}],
        }});
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "certificate": {"rawBytes": STANDARD.encode(&identity.certificate)},
                "tlogEntries": [self.entry("dsse", &bytes_of(&body))],
            },
            "dsseEnvelope": envelope(&payload, &signature),
        })
    }

    /// The annotations by which `identity` signs a payload in cosign's first form.
    pub fn simple_annotations(&self, identity: &Identity, payload: &[u8]) -> Value {
        let signature = STANDARD.encode(identity.sign(payload));
        let body = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": Digest::sha256(payload).hex()}},
            "signature": {"content": signature, "publicKey": {"content": STANDARD.encode(identity.pem())}},
        }});
        let promise = self.promise(&STANDARD.encode(bytes_of(&body)), 1);
        let entry = json!({"SignedEntryTimestamp": promise, "Payload": {
            "body": STANDARD.encode(bytes_of(&body)), "integratedTime": SIGNED_AT, "logIndex": 1,
            "logID": hex(&log_id(&self.log)),
        }});
        json!({
            "dev.cosignproject.cosign/signature": signature,
            "dev.sigstore.cosign/certificate": identity.pem(),
            "dev.sigstore.cosign/chain": pem("CERTIFICATE", &self.authority_der),
            "dev.sigstore.cosign/bundle": entry.to_string(),
        })
    }

    /// The log's entry with the body `body`, as the second of two: promise, proof of inclusion, checkpoint.
    fn entry(&self, kind: &str, body: &[u8]) -> Value {
        let leaf = |content: &[u8]| raw(&Digest::sha256(&[&[0], content].concat()));
        let (first, second) = (leaf(b"the entry before"), leaf(body));
        let root = raw(&Digest::sha256(&[&[1], first.as_slice(), &second].concat()));
        let note = format!("log.example - 1\n2\n{}\n", STANDARD.encode(&root));
        let signature = self.log.sign(&SystemRandom::new(), note.as_bytes()).unwrap();
        let signed = [&log_id(&self.log)[..4], signature.as_ref()].concat();
        let checkpoint = format!("{note}\n\u{2014} log.example {}\n", STANDARD.encode(signed));
        json!({
            "logIndex": "1",
            "logId": {"keyId": STANDARD.encode(log_id(&self.log))},
            "kindVersion": {"kind": kind, "version": "0.0.1"},
            "integratedTime": SIGNED_AT.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": self.promise(&STANDARD.encode(body), 1)},
            "inclusionProof": {
                "logIndex": "1", "treeSize": "2", "rootHash": STANDARD.encode(&root),
                "hashes": [STANDARD.encode(&first)], "checkpoint": {"envelope": checkpoint},
            },
            "canonicalizedBody": STANDARD.encode(body),
        })
    }

    /// The log's signed word that it will take an entry in: over RFC 8785 JSON, whose keys are in this order.
    fn promise(&self, body: &str, index: u64) -> String {
        let id = hex(&log_id(&self.log));
        let message =
            format!("{{\"body\":\"{body}\",\"integratedTime\":{SIGNED_AT},\"logID\":\"{id}\",\"logIndex\":{index}}}");
        STANDARD.encode(self.log.sign(&SystemRandom::new(), message.as_bytes()).unwrap())
    }
}

impl Default for Sigstore {
    fn default() -> Self {
        Self::new()
    }
}

/// Fulcio's "Issuer (V2)".
fn fulcio_issuer(issuer: &str) -> CustomExtension {
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], der(0x0c, issuer.as_bytes()))
}

/// DER of one value.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let head = match length {
        0..=127 => vec![tag, low],
        128..=255 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, content.to_vec()].concat()
}

/// Two bytes of length, and the content.
fn with_length(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [length.as_slice(), content].concat()
}

fn spki(key: &EcdsaKeyPair) -> Vec<u8> {
    key.public_key().as_der().unwrap().as_ref().to_vec()
}

fn log_id(key: &EcdsaKeyPair) -> Vec<u8> {
    raw(&Digest::sha256(&spki(key)))
}

fn spki_of(certificate: &[u8]) -> Vec<u8> {
    let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
    parsed.tbs_certificate.subject_pki.raw.to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
