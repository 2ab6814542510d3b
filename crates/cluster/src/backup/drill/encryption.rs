//! How the API server of a backup encrypts, and whether that opens a Secret which it wrote.
//!
//! A value begins with `k8s:enc:PROVIDER:v1:KEY:`, as Kubernetes has it (staging/src/k8s.io/apiserver/pkg/storage/value/encrypt).

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::etcd::Pair;

/// What every encrypted value begins with.
pub(super) const ENCRYPTED: &[u8] = b"k8s:enc:";
/// What an object begins with that the API server has written: protobuf, or JSON.
const OBJECTS: [&[u8]; 2] = [b"k8s\0", b"{"];
const IV: usize = 16;
const GCM_NONCE: usize = 12;
const BOX_NONCE: usize = 24;

/// What the API server's configuration makes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// It was opened, by this provider.
    By(String),
    /// It stands there in clear.
    Clear,
    /// Its key is in a service outside, which no backup holds.
    Elsewhere(String),
}

/// How an API server encrypts: `kind: EncryptionConfiguration`, and of that only what opens values.
#[derive(Deserialize)]
pub(super) struct Encryption {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    providers: Vec<Provider>,
}

#[derive(Default, Deserialize)]
struct Provider {
    aescbc: Option<Keys>,
    aesgcm: Option<Keys>,
    secretbox: Option<Keys>,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    name: String,
    #[serde(deserialize_with = "zeroizing")]
    secret: Zeroizing<String>,
}

fn zeroizing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

impl Encryption {
    /// The configuration in `bytes`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        // What a parser says of a document that holds keys may quote it.
        serde_saphyr::from_str(text).map_err(|_| "it is no EncryptionConfiguration".to_owned())
    }

    /// Opens what stands at a key of etcd.
    pub(super) fn open(&self, pair: &Pair) -> Result<Opened, String> {
        let Some(rest) = pair.value.strip_prefix(ENCRYPTED) else { return Ok(Opened::Clear) };
        let mut parts = rest.splitn(4, |byte| *byte == b':');
        let mut word = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
        let (Some(provider), Some(version), Some(key)) = (word(), word(), word()) else {
            return Err("it does not say by what it is encrypted".into());
        };
        if provider == "kms" {
            return Ok(Opened::Elsewhere(format!("kms {version}")));
        }
        let sealed = parts.next().unwrap_or_default();
        let keys = self.keys(provider).filter(|known| known.name == key);
        let mut tried = false;
        for known in keys {
            tried = true;
            let Some(secret) = BASE64_STANDARD.decode(&*known.secret).ok().map(Zeroizing::new) else { continue };
            let opened = decrypt(provider, &secret, (&pair.key, sealed));
            if opened.is_some_and(|text| OBJECTS.iter().any(|begin| text.starts_with(begin))) {
                return Ok(Opened::By(provider.to_owned()));
            }
        }
        let shown = |text: &str| text.chars().filter(|one| !one.is_control()).take(64).collect::<String>();
        let (provider, key) = (shown(provider), shown(key));
        Err(match tried {
            true => format!("the key {key} of {provider} does not open it"),
            false => format!("no key {key} of {provider} is in the configuration"),
        })
    }

    fn keys<'a>(&'a self, provider: &str) -> impl Iterator<Item = &'a Key> {
        let providers = self.resources.iter().flat_map(|resource| &resource.providers);
        let of = providers.filter_map(move |one| match provider {
            "aescbc" => one.aescbc.as_ref(),
            "aesgcm" => one.aesgcm.as_ref(),
            "secretbox" => one.secretbox.as_ref(),
            _ => None,
        });
        of.flat_map(|keys| &keys.keys).collect::<Vec<_>>().into_iter()
    }
}

fn decrypt(provider: &str, secret: &[u8], (path, sealed): (&[u8], &[u8])) -> Option<Zeroizing<Vec<u8>>> {
    match provider {
        "aescbc" => cbc(secret, sealed),
        "aesgcm" => gcm(secret, path, sealed),
        "secretbox" => {
            let (nonce, sealed) = sealed.split_at_checked(BOX_NONCE)?;
            let opened = XSalsa20Poly1305::new_from_slice(secret).ok()?.decrypt(nonce.into(), sealed);
            opened.ok().map(Zeroizing::new)
        }
        _ => None,
    }
}

fn cbc(secret: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let algorithm = match secret.len() {
        16 => &cipher::AES_128,
        24 => &cipher::AES_192,
        32 => &cipher::AES_256,
        _ => return None,
    };
    let (iv, sealed) = sealed.split_at_checked(IV)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(algorithm, secret).ok()?).ok()?;
    let iv: &[u8; IV] = iv.try_into().ok()?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let length = key.decrypt(&mut buffer, DecryptionContext::Iv128(iv.into())).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

/// The key's path in etcd is authenticated with it.
fn gcm(secret: &[u8], path: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let algorithm = match secret.len() {
        16 => &aead::AES_128_GCM,
        24 => &aead::AES_192_GCM,
        32 => &aead::AES_256_GCM,
        _ => return None,
    };
    let (nonce, sealed) = sealed.split_at_checked(GCM_NONCE)?;
    let key = LessSafeKey::new(UnboundKey::new(algorithm, secret).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let length = key.open_in_place(nonce, Aad::from(path), &mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::cipher::{EncryptionContext, PaddedBlockEncryptingKey};

    use super::*;

    const PATH: &[u8] = b"/registry/secrets/demo/key";
    const SECRET: [u8; 32] = [7; 32];
    const OBJECT: &[u8] = b"k8s\0 and an object";

    fn configuration() -> Encryption {
        let secret = BASE64_STANDARD.encode(SECRET);
        let other = BASE64_STANDARD.encode([8; 32]);
        let provider = |name: &str| {
            format!(
                "  - {name}:\n      keys:\n      - {{name: old, secret: {other}}}\n      - {{name: key1, secret: {secret}}}\n"
            )
        };
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n{}{}{}  - identity: {{}}\n",
            provider("aescbc"),
            provider("aesgcm"),
            provider("secretbox")
        );
        Encryption::read(text.as_bytes()).unwrap()
    }

    fn pair(prefix: &str, sealed: &[u8]) -> Pair {
        Pair { key: PATH.to_vec(), value: [prefix.as_bytes(), sealed].concat().into() }
    }

    fn by_cbc() -> Vec<u8> {
        let key = UnboundCipherKey::new(&cipher::AES_256, &SECRET).unwrap();
        let iv = [3; IV];
        let mut buffer = OBJECT.to_vec();
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap();
        key.less_safe_encrypt(&mut buffer, EncryptionContext::Iv128((&iv).into())).unwrap();
        [&iv[..], &buffer].concat()
    }

    fn by_gcm() -> Vec<u8> {
        let key = LessSafeKey::new(UnboundKey::new(&aead::AES_256_GCM, &SECRET).unwrap());
        let nonce = [4; GCM_NONCE];
        let mut buffer = OBJECT.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(PATH), &mut buffer).unwrap();
        [&nonce[..], &buffer].concat()
    }

    fn by_box() -> Vec<u8> {
        let nonce = [5; BOX_NONCE];
        let sealed = XSalsa20Poly1305::new_from_slice(&SECRET).unwrap().encrypt((&nonce).into(), OBJECT).unwrap();
        [&nonce[..], &sealed].concat()
    }

    #[test]
    fn what_the_api_server_encrypts_is_opened_with_its_configuration_and_with_nothing_else() {
        let encryption = configuration();
        for (provider, sealed) in [("aescbc", by_cbc()), ("aesgcm", by_gcm()), ("secretbox", by_box())] {
            let named = |key: &str| pair(&format!("k8s:enc:{provider}:v1:{key}:"), &sealed);
            assert_eq!(encryption.open(&named("key1")), Ok(Opened::By(provider.into())));
            let wrong = encryption.open(&named("old")).unwrap_err();
            assert_eq!(wrong, format!("the key old of {provider} does not open it"));
            let missing = encryption.open(&named("key9")).unwrap_err();
            assert_eq!(missing, format!("no key key9 of {provider} is in the configuration"));
            let cut = pair(&format!("k8s:enc:{provider}:v1:key1:"), &sealed[..7]);
            encryption.open(&cut).unwrap_err();
        }
        let elsewhere = Pair { key: b"/registry/secrets/demo/another".to_vec(), ..named_gcm() };
        encryption.open(&elsewhere).unwrap_err();
    }

    fn named_gcm() -> Pair {
        pair("k8s:enc:aesgcm:v1:key1:", &by_gcm())
    }

    #[test]
    fn what_is_not_encrypted_or_by_a_service_outside_is_told_apart() {
        let encryption = configuration();
        assert_eq!(encryption.open(&pair("", OBJECT)), Ok(Opened::Clear));
        assert_eq!(encryption.open(&pair("k8s:enc:kms:v2:vault:", b"x")), Ok(Opened::Elsewhere("kms v2".into())));
        encryption.open(&pair("k8s:enc:aescbc", b"")).unwrap_err();
    }

    /// What a parser would quote of it is somebody's key.
    #[test]
    fn a_configuration_that_is_none_is_refused_without_a_word_of_it() {
        for text in
            ["", "resources: 1", "resources:\n- providers:\n  - aescbc: {keys: [{name: a, secret: [hunter2]}]}\n"]
        {
            let refused = Encryption::read(text.as_bytes()).err().unwrap();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        Encryption::read(b"\xff").err().unwrap();
    }
}
