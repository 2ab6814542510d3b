//! OpenPGP keys and signatures by the real `gpg`.

use std::io::Write;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// One person's GnuPG with one key.
#[derive(Debug)]
pub struct Gpg {
    home: TempDir,
    /// The time it is for this person, as GnuPG writes it; the real one where there is none.
    time: Option<&'static str>,
}

impl Gpg {
    /// Makes an Ed25519 key that signs and never expires.
    ///
    /// # Panics
    /// `gpg` is missing or fails.
    pub fn new() -> Self {
        Self::with("never", None)
    }

    /// Makes a key that was good for an hour, years ago; whatever it signs, it signs in that hour.
    ///
    /// # Panics
    /// `gpg` is missing or fails.
    pub fn expired() -> Self {
        // The exclamation mark stops the clock: however slow the machine is, the key is good while it signs.
        Self::with("seconds=3600", Some("20200101T000000!"))
    }

    fn with(expires: &str, time: Option<&'static str>) -> Self {
        let gpg = Self { home: tempfile::tempdir().unwrap(), time };
        let person = "Team <team@example.org>";
        gpg.run(&["--passphrase", "", "--quick-generate-key", person, "ed25519", "sign", expires], &[]);
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

    /// A detached signature of `content`, without armour: several may stand one behind the other.
    pub fn bare(&self, content: &[u8]) -> Vec<u8> {
        self.run(&["--detach-sign"], content)
    }

    /// A signature of SHA-1, which nobody should believe.
    pub fn weakly_detached(&self, content: &[u8]) -> Vec<u8> {
        self.run(&["--armor", "--digest-algo", "SHA1", "--detach-sign"], content)
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("gpg")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--batch", "--quiet"])
            .args(self.time.map(|time| format!("--faked-system-time={time}")))
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
