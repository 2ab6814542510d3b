//! OpenPGP keys and signatures by the real `gpg`.

use std::io::Write;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// One person's GnuPG with one key.
#[derive(Debug)]
pub struct Gpg {
    home: TempDir,
}

impl Gpg {
    /// Makes an Ed25519 key that signs and never expires.
    ///
    /// # Panics
    /// `gpg` is missing or fails.
    pub fn new() -> Self {
        Self::with("ed25519", "never")
    }

    /// Makes a key of this kind that is good for so long, in GnuPG's words: `seconds=1`.
    ///
    /// # Panics
    /// `gpg` is missing or fails.
    pub fn with(kind: &str, expires: &str) -> Self {
        let gpg = Self { home: tempfile::tempdir().unwrap() };
        gpg.run(&["--passphrase", "", "--quick-generate-key", "Team <team@example.org>", kind, "sign", expires], &[]);
        gpg
    }

    /// The public key, armoured.
    pub fn public_key(&self) -> String {
        String::from_utf8(self.run(&["--armor", "--export"], &[])).unwrap()
    }

    /// The public key as packets.
    pub fn binary_key(&self) -> Vec<u8> {
        self.run(&["--export"], &[])
    }

    /// `text`, clear-signed.
    pub fn clear_sign(&self, text: &str) -> Vec<u8> {
        self.run(&["--clear-sign"], text.as_bytes())
    }

    /// A detached signature of `content`, armoured.
    pub fn detached(&self, content: &[u8]) -> Vec<u8> {
        self.run(&["--armor", "--detach-sign"], content)
    }

    /// A signature of SHA-1, which nobody should believe.
    pub fn weakly_detached(&self, content: &[u8]) -> Vec<u8> {
        self.run(&["--armor", "--digest-algo", "SHA1", "--detach-sign"], content)
    }

    /// Whether the key has expired by now.
    pub fn has_expired(&self) -> bool {
        let listed = self.run(&["--with-colons", "--list-keys"], &[]);
        String::from_utf8(listed).unwrap().lines().any(|line| line.starts_with("pub:e:"))
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("gpg")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--batch", "--quiet"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("gpg (Debian's package gnupg) does not start: {error}"));
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "gpg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Default for Gpg {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Gpg {
    /// Ends the agent that `gpg` started for this home.
    fn drop(&mut self) {
        let ended = Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).status();
        // Where even gpgconf is missing, no agent was started.
        drop(ended);
    }
}
