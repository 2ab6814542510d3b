//! A packager's folder with a real upstream on loopback.

use sealock_testkit::corpus;
use sealock_testkit::image::Image;
use sealock_testkit::upstream::Upstream;

use crate::sandbox::Sandbox;

pub const SPEC: &str = r#"apiVersion: sealock/v1alpha1
kind: Bundle
metadata: {name: plant, stream: base}
spec:
  audience: {sites: [plant-7]}
  images:
    - {ref: "quay.io/team/app:v1", verify: {unsigned: "made for this test"}}
    - {ref: "docker.io/library/web:2", verify: {unsigned: "made for this test"}}
"#;

/// A sandbox with `plant/` initialised, and the upstream that its spec names.
pub struct Packager {
    pub sandbox: Sandbox,
    pub upstream: Upstream,
}

impl Packager {
    pub fn new() -> Self {
        let (sandbox, upstream) = (Sandbox::new(), Upstream::start());
        let images = corpus::images(2, 300_000);
        upstream.push("quay.io/team/app:v1", &Image::index(&[("linux/amd64", images[0].clone())]));
        upstream.push("docker.io/library/web:2", &images[1]);
        let mirrors = ["quay.io", "docker.io"].map(|host| format!("  {host}: {}\n", upstream.mirror_of(host))).concat();
        let settings = format!("caFiles: [{}]\nretries: 0\nmirrors:\n{mirrors}", upstream.ca_file().display());
        sandbox.write("home/.config/sealock/config.yaml", settings);
        sandbox.must(&["init", "plant", "--site", "plant-7", "--unencrypted-keys"]);
        sandbox.write("plant/sealock.yaml", SPEC);
        Self { sandbox, upstream }
    }

    pub fn lock(&self) -> String {
        self.sandbox.must(&["lock", "-f", "plant/sealock.yaml"])
    }

    /// Locks and builds; the bundle is `plant/plant-1.tar`.
    pub fn build(&self) -> String {
        self.lock();
        self.sandbox.must(&["build", "--lock", "plant/sealock.lock"])
    }
}

/// What the output of a JSON command says.
pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}
