//! SoftHSM: a PKCS#11 library whose tokens are folders. Each test has its own, in a temporary folder.
//!
//! `hsm/tests/it` includes this very file, for that package stands outside the workspace: so it uses `std` and `tempfile` only.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helper fails by panicking")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The PIN of every token.
pub const PIN: &str = "246802";
const SO_PIN: &str = "135791";

/// Where Debian, Ubuntu and Fedora put the library.
const MODULES: &[&str] = &[
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

/// Tokens in a temporary folder.
#[derive(Debug)]
pub struct SoftHsm {
    folder: TempDir,
}

impl SoftHsm {
    /// No token yet.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("sealock-hsm-").tempdir().unwrap();
        let this = Self { folder };
        std::fs::create_dir(this.tokens()).unwrap();
        let settings = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
            this.tokens().display()
        );
        std::fs::write(this.settings(), settings).unwrap();
        this
    }

    /// One token with a key of each kind that is signed with, called `p256`, `p384`, `rsa` and `ed25519`.
    pub fn with_keys(token: &str) -> Self {
        let this = Self::new();
        this.init(token);
        for (name, kind) in
            [("p256", "EC:prime256v1"), ("p384", "EC:secp384r1"), ("rsa", "rsa:2048"), ("ed25519", "EC:edwards25519")]
        {
            this.generate(token, name, kind, &[]);
        }
        this
    }

    /// The library.
    pub fn module() -> PathBuf {
        let found = MODULES.iter().map(PathBuf::from).find(|module| module.exists());
        found.expect("libsofthsm2.so (Debian package softhsm2) is needed for this test")
    }

    /// What the library finds its tokens by, as `SOFTHSM2_CONF`.
    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    /// The folder with a folder for each token.
    pub fn tokens(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    /// Makes a token.
    pub fn init(&self, token: &str) {
        let args = ["--init-token", "--free", "--label", token, "--pin", PIN, "--so-pin", SO_PIN];
        self.run("softhsm2-util", "softhsm2", &args);
    }

    /// Generates a key pair; its id is `id_of` its name. `kind` and `more` are what `pkcs11-tool` takes.
    pub fn generate(&self, token: &str, name: &str, kind: &str, more: &[&str]) {
        let id = id_of(name);
        let args = ["--keypairgen", "--key-type", kind, "--label", name, "--id", &id];
        self.pkcs11_tool(token, &[&args[..], more].concat());
    }

    /// Runs `pkcs11-tool`, logged in to a token.
    pub fn pkcs11_tool(&self, token: &str, args: &[&str]) {
        let module = Self::module();
        let module = module.to_str().unwrap();
        let login = ["--module", module, "--token-label", token, "--login", "--pin", PIN];
        self.run("pkcs11-tool", "opensc", &[&login[..], args].concat());
    }

    /// The URI of a key, with the library in it.
    pub fn uri(token: &str, name: &str) -> String {
        format!("pkcs11:token={token};object={name}?module-path={}", Self::module().display())
    }

    fn run(&self, program: &str, package: &str, args: &[impl AsRef<OsStr>]) {
        let output = Command::new(program).args(args).env("SOFTHSM2_CONF", self.settings()).output();
        let output = output.unwrap_or_else(|_| panic!("{program} (Debian package {package}) is needed for this test"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Takes a token away, as if it were pulled out.
    pub fn pull_out(&self) {
        for entry in std::fs::read_dir(self.tokens()).unwrap() {
            std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
    }

    /// The folder of it all.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Default for SoftHsm {
    fn default() -> Self {
        Self::new()
    }
}

/// The id of the key with this name, in hexadecimal.
pub fn id_of(name: &str) -> String {
    name.bytes().map(|byte| format!("{byte:02x}")).collect()
}
