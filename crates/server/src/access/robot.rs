//! Secrets of robot accounts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealock_trust::Digest;

/// What a secret begins with, so that scanners for lost secrets find it.
const PREFIX: &str = "slk_";

/// Bytes of random in a secret.
const BYTES: usize = 32;

/// Longest secret that is looked at, in bytes.
pub(crate) const LONGEST_SECRET: usize = 256;

/// A new secret, and the digest of it that the registry's file holds.
///
/// # Errors
/// Where the system has no random numbers.
pub fn new_secret() -> std::io::Result<(String, Digest)> {
    let mut random = [0; BYTES];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| std::io::Error::other("the system has no random numbers"))?;
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let digest = Digest::sha256(secret.as_bytes());
    Ok((secret, digest))
}

/// The bcrypt hash of a password, as a line of a htpasswd file has it behind the name.
///
/// # Errors
/// Where the password is empty or longer than bcrypt looks, or the system has no random numbers.
pub fn hash_password(password: &str) -> std::io::Result<String> {
    use super::htpasswd::{COST, LONGEST_PASSWORD};
    if password.is_empty() || password.len() > LONGEST_PASSWORD {
        let problem = format!("a password has 1 to {LONGEST_PASSWORD} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, problem));
    }
    bcrypt::hash(password, COST).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_secrets_are_the_same_and_each_has_its_digest() {
        let ((one, digest), (two, _)) = (new_secret().unwrap(), new_secret().unwrap());
        assert_ne!(one, two);
        assert_eq!((one.len(), digest), (47, Digest::sha256(one.as_bytes())));
    }

    #[test]
    fn a_password_that_bcrypt_would_cut_is_refused() {
        assert!(bcrypt::verify("secret", &hash_password("secret").unwrap()).unwrap());
        assert!(hash_password("").is_err());
        assert!(hash_password(&"a".repeat(73)).is_err());
    }
}
