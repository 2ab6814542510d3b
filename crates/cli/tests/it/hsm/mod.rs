//! Keys in PKCS#11 tokens, in every place where a private key is taken: SoftHSM behind the real `sealock-hsm`.

mod errors;
mod signing;

use std::process::{Command, Output};

use sealock_testkit::hsm::helper;
use sealock_testkit::softhsm::{PIN, SoftHsm};

use crate::sandbox::Sandbox;

/// The key schemes, by the names that keys in the token have.
pub const SCHEMES: [(&str, &str); 4] = [
    ("p256", "ecdsa-sha2-nistp256"),
    ("p384", "ecdsa-sha2-nistp384"),
    ("rsa", "rsassa-pss-sha256"),
    ("ed25519", "ed25519"),
];

/// A token called `plant` with keys of all schemes, and a sandbox in which it is plugged in.
pub struct Desk<'a> {
    pub sandbox: &'a Sandbox,
    pub hsm: SoftHsm,
}

impl<'a> Desk<'a> {
    pub fn new(sandbox: &'a Sandbox) -> Self {
        sandbox.write_private("pin", &format!("{PIN}\n"));
        Self { sandbox, hsm: SoftHsm::with_keys("plant") }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.sandbox.command(args);
        command.env("SOFTHSM2_CONF", self.hsm.settings()).env("SEALOCK_HSM_HELPER", helper());
        command.env("SEALOCK_PKCS11_MODULE", SoftHsm::module());
        command.env("SEALOCK_PASSPHRASE_FILE", self.sandbox.join("pin"));
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the command runs")
    }

    pub fn see(&self, args: &[&str]) -> String {
        self.seen(&self.run(args))
    }

    /// As a person sees it, without what differs from machine to machine.
    pub fn seen(&self, output: &Output) -> String {
        let text = self.sandbox.seen(output).replace(&SoftHsm::module().display().to_string(), "[MODULE]");
        text.replace(&self.hsm.path().display().to_string(), "[HSM]")
    }

    pub fn must(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "sealock {args:?}\n{}", self.seen(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Writes the public half of a key to `NAME.pub.pem`, and answers its id.
    pub fn export(&self, name: &str) -> String {
        let exported = crate::packager::json(&self.must(&["trust", "export", &uri(name), "-o", "json"]));
        exported["keyid"].as_str().expect("a key id").to_owned()
    }
}

/// The URI of a key; the library is named by the environment.
pub fn uri(name: &str) -> String {
    format!("pkcs11:token=plant;object={name}")
}
