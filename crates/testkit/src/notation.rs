//! Signatures by the real `notation` (Notary Project), where it is in the PATH.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use sealock_trust::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::image::{Image, bytes_of, descriptor};

/// One signer with a certificate of its own.
#[derive(Debug)]
pub struct Notation {
    home: TempDir,
}

impl Notation {
    /// Makes a key with a certificate for `C=US, ST=WA, L=Seattle, O=Notary, CN=<name>`.
    ///
    /// # Panics
    /// `notation` is missing or fails.
    pub fn new(name: &str) -> Self {
        let signer = Self { home: tempfile::tempdir().unwrap() };
        signer.run(&["cert", "generate-test", "--default", name]);
        signer
    }

    /// The certificate, PEM.
    pub fn certificate(&self) -> String {
        let keys = self.home.path().join(".config/notation/localkeys");
        let files = std::fs::read_dir(keys).unwrap().map(|entry| entry.unwrap().path());
        let mut files = files.filter(|path| path.extension().is_some_and(|extension| extension == "crt"));
        std::fs::read_to_string(files.next().unwrap()).unwrap()
    }

    /// A signature of `image` in this format, `jws` or `cose`, as it refers to the image.
    pub fn sign(&self, image: &Image, format: &str) -> Image {
        let layout = tempfile::tempdir_in(self.home.path()).unwrap();
        write_layout(layout.path(), image);
        let reference = format!("{}@{}", layout.path().display(), image.digest);
        self.run(&["sign", "--oci-layout", "--signature-format", format, &reference]);
        signature_in(layout.path(), image)
    }

    fn run(&self, arguments: &[&str]) {
        let output = Command::new("notation")
            .args(arguments)
            .env("HOME", self.home.path())
            .env_remove("XDG_CONFIG_HOME")
            .env("NOTATION_EXPERIMENTAL", "1")
            .output()
            .unwrap_or_else(|error| panic!("notation does not start: {error}"));
        assert!(output.status.success(), "notation {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn write_layout(folder: &Path, image: &Image) {
    let manifests = image.manifests.iter().map(|(digest, _, bytes)| (digest, bytes));
    for (digest, bytes) in manifests.chain(image.blobs.iter().map(|(digest, bytes)| (digest, bytes))) {
        let path = blob(folder, digest);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let (_, media_type, bytes) = image.manifests.last().unwrap();
    let index = json!({"schemaVersion": 2, "manifests": [descriptor(media_type, bytes)]});
    std::fs::write(folder.join("index.json"), bytes_of(&index)).unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// The manifest in the layout that refers to `image`, with its blobs.
fn signature_in(folder: &Path, image: &Image) -> Image {
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let digests = entries.iter().map(|entry| entry["digest"].as_str().unwrap().parse::<Digest>().unwrap());
    let digest = digests.into_iter().find(|digest| *digest != image.digest).unwrap();
    let read = |digest: &Digest| Bytes::from(std::fs::read(blob(folder, digest)).unwrap());
    let bytes = read(&digest);
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(manifest["subject"]["digest"], image.digest.to_string());
    let parts = std::iter::once(&manifest["config"]).chain(manifest["layers"].as_array().unwrap());
    let parts = parts.map(|part| part["digest"].as_str().unwrap().parse::<Digest>().unwrap());
    let blobs = parts.map(|digest| (digest.clone(), read(&digest))).collect();
    let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
    Image { digest: digest.clone(), manifests: vec![(digest, media_type, bytes)], blobs }
}

fn blob(folder: &Path, digest: &Digest) -> std::path::PathBuf {
    folder.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
}
