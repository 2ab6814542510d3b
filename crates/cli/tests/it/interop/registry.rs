//! The site registry, over TLS, with the site's authority, and with no way out.

use sealock_trust::Digest;

use super::file::two_referrers;
use super::scene::{APP, CA, Scene, WEB, ensure};
use super::{Level, Row};

pub const ROWS: &[Row] = &[
    Row { tool: "skopeo", level: Level::Ci, what: "pulls an image and an index from the site registry", run: skopeo },
    Row { tool: "crane", level: Level::Ci, what: "pulls from the site registry and checks every layer", run: crane },
    Row { tool: "oras", level: Level::All, what: "finds and pulls the referrers of an image at the site", run: oras },
    Row { tool: "cosign", level: Level::All, what: "verify --key at the site; another key is refused", run: verify },
    Row {
        tool: "cosign",
        level: Level::All,
        what: "verify --key at the site of a signature in the first form",
        run: verify_first_form,
    },
    Row {
        tool: "cosign",
        level: Level::All,
        what: "verify-attestation --key of provenance at the site",
        run: provenance,
    },
    Row { tool: "cosign", level: Level::All, what: "tree and download signature at the site", run: tree },
];

fn skopeo(scene: &Scene) -> Result<(), String> {
    let copy = ["copy", "--quiet", "--insecure-policy", "--all", "--preserve-digests", "--src-cert-dir=certificates"];
    for (name, target) in [(WEB, "oci:site-web:2"), (APP, "oci:site-app:v1")] {
        let source = format!("docker://{}", scene.at_site(name));
        scene.tool("skopeo", &[&copy[..], &[source.as_str(), target]].concat())?;
    }
    Ok(())
}

fn crane(scene: &Scene) -> Result<(), String> {
    let image = scene.at_site(WEB);
    let manifest = scene.tool("crane", &["manifest", &image])?;
    ensure(Digest::sha256(manifest.as_bytes()) == scene.web, &manifest)?;
    scene.tool("crane", &["validate", "--remote", &image])?;
    scene.tool("crane", &["pull", "--format", "oci", &scene.at_site(APP), "crane-app"]).map(drop)
}

fn oras(scene: &Scene) -> Result<(), String> {
    let image = scene.at_site(WEB);
    two_referrers(&scene.tool("oras", &["discover", "--ca-file", CA, "--format", "json", &image])?)?;
    let to = ["--to-oci-layout", "oras-site:2"];
    let copy = ["copy", "--recursive", "--from-ca-file", CA, &image];
    scene.tool("oras", &[&copy[..], &to].concat())?;
    two_referrers(&scene.tool("oras", &["discover", "--oci-layout", "--format", "json", "oras-site:2"])?)
}

/// The log of the world outside is no part of a signature by a key of one's own.
const VERIFY: [&str; 2] = ["--insecure-ignore-tlog", "--key"];

fn verify(scene: &Scene) -> Result<(), String> {
    verified_by(scene, &[])
}

fn verify_first_form(scene: &Scene) -> Result<(), String> {
    verified_by(scene, &["--new-bundle-format=false"])
}

fn verified_by(scene: &Scene, form: &[&str]) -> Result<(), String> {
    let image = scene.at_site(WEB);
    let verify = |key: &str| {
        scene.tool("cosign", &[&["verify"][..], form, &VERIFY[..], &[key, "--output", "json", &image]].concat())
    };
    let said = verify("plant/keys/web.pub")?;
    ensure(said.contains(&scene.web.to_string()), &said)?;
    ensure(verify("stranger.pub").is_err(), "cosign believes a key that signed nothing")
}

fn provenance(scene: &Scene) -> Result<(), String> {
    let image = scene.at_site(WEB);
    let verify = |key: &str| {
        let kind = ["verify-attestation", "--type", "slsaprovenance1"];
        scene.tool("cosign", &[&kind[..], &VERIFY[..], &[key, &image]].concat())
    };
    verify("plant/keys/web.pub")?;
    ensure(verify("stranger.pub").is_err(), "cosign believes a key that signed nothing")
}

fn tree(scene: &Scene) -> Result<(), String> {
    let image = scene.at_site(WEB);
    // cosign asks for this word before it lists what refers to an image.
    let tree = ["COSIGN_EXPERIMENTAL=1", "cosign", "tree", "--registry-referrers-mode", "oci-1-1", &image];
    let tree = scene.tool("env", &tree)?;
    for expected in ["https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1", ".sig"] {
        ensure(tree.contains(expected), &tree)?;
    }
    let downloaded = scene.tool("cosign", &["download", "signature", &image])?;
    ensure(!downloaded.trim().is_empty(), "cosign downloads no signature")
}
