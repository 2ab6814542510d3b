//! skopeo, from Debian.

use anyhow::{Result, ensure};

use super::layout::sha256;
use super::scene::Scene;
use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row("skopeo", "logs in; another password is refused", login),
    row("skopeo", "pushes an image and pulls it back under the same digest", one),
    row("skopeo", "pushes an index of two platforms with both images, and pulls all of it", many),
    row("skopeo", "copies from one repository to another, and deletes the copy", between),
];

const CERTIFICATES: &str = "--cert-dir=certificates";

fn login(scene: &Scene) -> Result<()> {
    let login = |password: &str| {
        let args = ["login", CERTIFICATES, "-u", &scene.login.user, "-p", password, &scene.endpoint.address];
        scene.tool("skopeo", &args)
    };
    ensure!(login("another").is_err(), "a wrong password is taken");
    login(&scene.login.password).map(drop)
}

/// `skopeo copy` with the login as a flag.
pub(super) fn copy(scene: &Scene, from: &str, to: &str, flags: &[&str]) -> Result<()> {
    let credentials = scene.credentials();
    let mut args = vec!["copy", "--quiet", "--insecure-policy", "--preserve-digests"];
    args.extend_from_slice(flags);
    for (side, place) in [("src", from), ("dest", to)] {
        if place.starts_with("docker://") {
            args.push(if side == "src" { "--src-cert-dir=certificates" } else { "--dest-cert-dir=certificates" });
            args.extend([if side == "src" { "--src-creds" } else { "--dest-creds" }, &credentials]);
        }
    }
    args.extend([from, to]);
    scene.tool("skopeo", &args).map(drop)
}

fn raw(scene: &Scene, name: &str) -> Result<String> {
    scene.tool("skopeo", &["inspect", "--raw", CERTIFICATES, "--creds", &scene.credentials(), name])
}

fn one(scene: &Scene) -> Result<()> {
    let there = format!("docker://{}", scene.at("skopeo/one:1"));
    copy(scene, "oci:images:one", &there, &[])?;
    ensure!(sha256(raw(scene, &there)?) == scene.layout.one, "another digest");
    scene.fresh("skopeo-one")?;
    copy(scene, &there, "oci:skopeo-one:one", &[])
}

fn many(scene: &Scene) -> Result<()> {
    let there = format!("docker://{}", scene.at("skopeo/many:1"));
    copy(scene, "oci:images:many", &there, &["--all"])?;
    ensure!(sha256(raw(scene, &there)?) == scene.layout.many, "another digest");
    scene.fresh("skopeo-many")?;
    copy(scene, &there, "oci:skopeo-many:many", &["--all"])
}

fn between(scene: &Scene) -> Result<()> {
    let (from, to) = (scene.at("skopeo/one:1"), scene.at("skopeo/copy:1"));
    copy(scene, "oci:images:one", &format!("docker://{from}"), &[])?;
    let copied = format!("docker://{to}");
    copy(scene, &format!("docker://{from}"), &copied, &[])?;
    scene.tool("skopeo", &["delete", CERTIFICATES, "--creds", &scene.credentials(), &copied])?;
    ensure!(raw(scene, &copied).is_err(), "the copy is still there");
    Ok(())
}
