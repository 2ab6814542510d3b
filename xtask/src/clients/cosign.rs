//! cosign: signatures and attestations by a key of one's own, in both forms.

use anyhow::{Result, ensure};

use super::scene::{Scene, run};
use super::{Row, gotools, row, skopeo};

pub(super) const ROWS: &[Row] = &[
    row("cosign", "signs by a key and verifies; another key is refused", sign),
    row("cosign", "signs and verifies in the first form, by tags", sign_first_form),
    row("cosign", "attests provenance and verifies it", attest),
];

/// What keeps cosign from the world outside.
const ALONE: [&str; 3] = ["--tlog-upload=false", "--use-signing-config=false", "--yes"];

fn cosign(scene: &Scene, args: &[&str]) -> Result<String> {
    run(scene.command("cosign", args).env("COSIGN_PASSWORD", ""))
}

/// Keys, and an image of its own for each row.
fn image(scene: &Scene, name: &str) -> Result<String> {
    gotools::crane_login(scene)?;
    for key in ["signer", "stranger"] {
        if !scene.path(&format!("{key}.key")).exists() {
            cosign(scene, &["generate-key-pair", "--output-key-prefix", key])?;
        }
    }
    skopeo::copy(scene, "oci:images:one", &format!("docker://{}:1", scene.at(name)), &[])?;
    Ok(scene.at(&format!("{name}@{}", scene.layout.one)))
}

fn verified(scene: &Scene, words: &[&str], image: &str) -> Result<()> {
    let verify = |key: &str| cosign(scene, &[words, &["--insecure-ignore-tlog", "--key", key, image]].concat());
    verify("signer.pub")?;
    ensure!(verify("stranger.pub").is_err(), "cosign believes a key that signed nothing");
    Ok(())
}

fn sign(scene: &Scene) -> Result<()> {
    let image = image(scene, "cosign/bundle")?;
    cosign(scene, &[&["sign", "--key", "signer.key"][..], &ALONE, &[&image]].concat())?;
    verified(scene, &["verify"], &image)
}

fn sign_first_form(scene: &Scene) -> Result<()> {
    let image = image(scene, "cosign/tags")?;
    let sign = ["sign", "--key", "signer.key", "--new-bundle-format=false"];
    cosign(scene, &[&sign[..], &ALONE, &[&image]].concat())?;
    verified(scene, &["verify", "--new-bundle-format=false"], &image)
}

fn attest(scene: &Scene) -> Result<()> {
    let image = image(scene, "cosign/attested")?;
    std::fs::write(
        scene.path("predicate.json"),
        r#"{"builder": {"id": "https://builder.example"}, "buildType": "x"}"#,
    )?;
    let attest = ["attest", "--key", "signer.key", "--type", "slsaprovenance", "--predicate", "predicate.json"];
    cosign(scene, &[&attest[..], &ALONE, &[&image]].concat())?;
    verified(scene, &["verify-attestation", "--type", "slsaprovenance"], &image)
}
