//! The packager's part: from a spec to a signed bundle in the courier's hands.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::desk::{Desk, STATION_HOME, copy};
use super::run;

/// The bundle's file, on both sides.
pub const BUNDLE: &str = "plant-7.tar";

/// What the packager writes beside the spec.
const WRITTEN: &[&str] = &["sealock.yaml", "values", "manifests"];

pub(super) fn init(desk: &Desk) -> Result<()> {
    settings(desk)?;
    let passphrase = desk.outside.join("passphrase");
    fs::write(&passphrase, "correct horse battery staple\n")?;
    fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600))?;
    run(&mut desk.packager(&[
        "init",
        ".",
        "--name",
        "plant-7",
        "--site",
        "plant-7",
        "--passphrase-file",
        "passphrase",
    ]))?;
    for name in WRITTEN {
        copy(&desk.written(name), &desk.outside.join(name))?;
    }
    copy(&desk.lab.dir().join("outside/cosign.pub"), &desk.outside.join("keys/upstream.pub"))
}

/// The settings of a desk behind a corporate mirror: where the real hosts are to be found, and who vouches for it.
fn settings(desk: &Desk) -> Result<()> {
    let folder = desk.outside.join("home/.config/sealock");
    fs::create_dir_all(&folder)?;
    let upstream = desk.lab.dir().join("outside");
    let mirrors = fs::read_to_string(upstream.join("mirrors.yaml")).context("the lab has no mirrors.yaml")?;
    let text = format!("caFiles: [{}]\n{mirrors}", upstream.join("ca.crt").display());
    fs::write(folder.join("config.yaml"), text)?;
    Ok(())
}

pub(super) fn lock(desk: &Desk) -> Result<()> {
    run(&mut desk.packager(&["lock"]))
}

pub(super) fn build(desk: &Desk) -> Result<()> {
    run(&mut desk.packager(&["build", "--to", BUNDLE, "--passphrase-file", "passphrase"]))?;
    run(&mut desk.packager(&["inspect", BUNDLE]))
}

/// The site kit (inside binary and root) and the bundle.
pub(super) fn carry(desk: &Desk) -> Result<()> {
    desk.carry(&desk.binaries.inside, "station", "/usr/local/bin/sealock")?;
    desk.carry(&desk.outside.join("trust/root.json"), "station", &format!("{STATION_HOME}/root.json"))?;
    desk.carry(&desk.outside.join(BUNDLE), "station", &format!("{STATION_HOME}/{BUNDLE}"))?;
    for name in ["site.yaml", "app.yaml", "values", "manifests"] {
        desk.carry(&desk.written(name), "station", &format!("{STATION_HOME}/{name}"))?;
    }
    cluster_spec(desk, "cluster.yaml")?;
    println!("      the root's fingerprint, on paper: {}", fingerprint(desk)?);
    Ok(())
}

/// The cluster spec `name` for the operator, with the host keys that the lab's machines have: a person reads them off the consoles.
pub fn cluster_spec(desk: &Desk, name: &str) -> Result<()> {
    let mut text = fs::read_to_string(desk.written(name))?;
    for node in desk.nodes {
        let key = fs::read_to_string(desk.lab.root_of(node).join("etc/ssh/ssh_host_ed25519_key.pub"))?;
        let key: Vec<&str> = key.split_whitespace().take(2).collect();
        text = text.replace(&format!("HOST-KEY-OF-{node}"), &key.join(" "));
    }
    let home = desk.lab.root_of("station").join(STATION_HOME.trim_start_matches('/'));
    Ok(fs::write(home.join(name), text)?)
}

/// SHA-256 of the publisher's root, as it would stand on paper.
pub fn fingerprint(desk: &Desk) -> Result<String> {
    Ok(fingerprint_of(&fs::read(desk.outside.join("trust/root.json"))?))
}

/// The fingerprint of a root: the SHA-256 of its file.
pub fn fingerprint_of(root: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(root)))
}
