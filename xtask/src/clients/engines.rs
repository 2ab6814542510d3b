//! podman and buildah, from Debian, with storage that needs no kernel module.

use anyhow::{Result, ensure};

use super::scene::Scene;
use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row("podman", "logs in, pulls an image, pushes it elsewhere, and pulls that by digest", podman),
    row("buildah", "builds an image from a file and pushes it; the index of it is pulled by skopeo", buildah),
];

/// Storage below the scene's folder, whatever the machine's is.
fn stored(scene: &Scene, args: &[&str]) -> Vec<String> {
    let storage = scene.path("containers");
    let places = [("--root", "storage"), ("--runroot", "run")];
    let mut all: Vec<String> = vec!["--storage-driver".to_owned(), "vfs".to_owned()];
    for (flag, name) in places {
        all.extend([flag.to_owned(), storage.join(name).display().to_string()]);
    }
    all.extend(args.iter().map(|&arg| arg.to_owned()));
    all
}

fn engine(scene: &Scene, program: &str, args: &[&str]) -> Result<String> {
    let all = stored(scene, args);
    scene.tool(program, &all.iter().map(String::as_str).collect::<Vec<_>>())
}

const CERTIFICATES: &str = "--cert-dir=certificates";

fn podman(scene: &Scene) -> Result<()> {
    policy(scene)?;
    let podman = |args: &[&str]| engine(scene, "podman", args);
    podman(&["login", CERTIFICATES, "-u", &scene.login.user, "-p", &scene.login.password, &scene.endpoint.address])?;
    let (first, second) = (scene.at("podman/one:1"), scene.at("podman/two:1"));
    super::skopeo::copy(scene, "oci:images:one", &format!("docker://{first}"), &[])?;
    podman(&["pull", "--quiet", CERTIFICATES, &first])?;
    podman(&["push", "--quiet", CERTIFICATES, "--digestfile", "podman-digest", &first, &second])?;
    let digest = std::fs::read_to_string(scene.path("podman-digest"))?;
    podman(&["rmi", "--all", "--force"])?;
    let by_digest = scene.at(&format!("podman/two@{}", digest.trim()));
    podman(&["pull", "--quiet", CERTIFICATES, &by_digest])?;
    podman(&["logout", &scene.endpoint.address]).map(drop)
}

fn buildah(scene: &Scene) -> Result<()> {
    policy(scene)?;
    let buildah = |args: &[&str]| engine(scene, "buildah", args);
    std::fs::write(scene.path("word"), "built inside")?;
    let container = buildah(&["from", "--name", "plant", "scratch"])?;
    buildah(&["copy", container.trim(), "word", "/word"])?;
    buildah(&["commit", "--quiet", "--rm", container.trim(), "built:1"])?;
    let there = format!("docker://{}", scene.at("buildah/built:1"));
    buildah(&["push", "--quiet", CERTIFICATES, "--creds", &scene.credentials(), "built:1", &there])?;
    scene.fresh("buildah-out")?;
    super::skopeo::copy(scene, &there, "oci:buildah-out:built", &[])?;
    ensure!(scene.path("buildah-out/index.json").exists(), "nothing was pulled");
    Ok(())
}

/// What these two believe: everything, as it is our registry that is looked at.
fn policy(scene: &Scene) -> Result<()> {
    let folder = scene.path("home/.config/containers");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)?;
    Ok(())
}
