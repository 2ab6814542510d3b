//! The bundle file, read with no Sealock at hand.

use std::fs;

use sealock_trust::Digest;
use serde_json::Value;

use super::scene::{APP, BUNDLE, Scene, WEB, ensure};
use super::{Level, Row};

pub const ROWS: &[Row] = &[
    Row {
        tool: "tar",
        level: Level::Ci,
        what: "unpacks the bundle; each blob has the digest in its name",
        run: unpack,
    },
    Row { tool: "skopeo", level: Level::Ci, what: "copies an image out of the bundle (oci-archive)", run: skopeo },
    Row {
        tool: "umoci",
        level: Level::Ci,
        what: "lists the layout and unpacks an image's root file system",
        run: umoci,
    },
    Row { tool: "crane", level: Level::Ci, what: "pushes the layout into a registry of its own", run: crane },
    Row { tool: "oras", level: Level::All, what: "copies an image with its referrers out of the bundle", run: oras },
];

fn unpack(scene: &Scene) -> Result<(), String> {
    let listed = scene.tool("tar", &["-tf", BUNDLE])?;
    let mut blobs = 0;
    for name in listed.lines().filter(|name| name.starts_with("blobs/sha256/")) {
        let bytes = fs::read(scene.path("layout").join(name)).map_err(|error| format!("{name}: {error}"))?;
        ensure(name.ends_with(Digest::sha256(&bytes).hex()), name)?;
        blobs += 1;
    }
    ensure(blobs > 10, &format!("only {blobs} blobs"))
}

fn skopeo(scene: &Scene) -> Result<(), String> {
    let source = format!("oci-archive:{BUNDLE}:{WEB}");
    let raw = scene.tool("skopeo", &["inspect", "--raw", &source])?;
    ensure(Digest::sha256(raw.as_bytes()) == scene.web, &raw)?;
    let copy = ["copy", "--quiet", "--insecure-policy", "--all", "--preserve-digests"];
    let index = format!("oci-archive:{BUNDLE}:{APP}");
    for (source, target) in [(source.as_str(), "oci:skopeo-web:2"), (&index, "oci:skopeo-app:v1")] {
        scene.tool("skopeo", &[&copy[..], &[source, target]].concat())?;
    }
    Ok(())
}

fn umoci(scene: &Scene) -> Result<(), String> {
    let listed = scene.tool("umoci", &["list", "--layout", "layout"])?;
    ensure(listed.lines().any(|line| line == WEB), &listed)?;
    let image = format!("layout:{WEB}");
    scene.tool("umoci", &["unpack", "--rootless", "--image", &image, "umoci-web"])?;
    let program = fs::read(scene.path("umoci-web/rootfs/app")).map_err(|error| error.to_string())?;
    ensure(program == sealock_testkit::corpus::content(2, 300_000), "the file in the image is another one")
}

fn crane(scene: &Scene) -> Result<(), String> {
    let address = "127.0.0.1:5000";
    let server: (&str, &[&str]) = ("crane", &["registry", "serve", "--address", address]);
    scene.beside(server, &format!("http://{address}/v2/"), || {
        let target = format!("{address}/bundle:1");
        scene.tool("crane", &["push", "layout", &target, "--index"])?;
        let image = format!("{address}/bundle@{}", scene.web);
        let manifest = scene.tool("crane", &["manifest", &image])?;
        ensure(Digest::sha256(manifest.as_bytes()) == scene.web, &manifest)?;
        scene.tool("crane", &["validate", "--remote", &image]).map(drop)
    })
}

fn oras(scene: &Scene) -> Result<(), String> {
    let copy = ["copy", "--recursive", "--from-oci-layout-path", BUNDLE, WEB, "--to-oci-layout", "oras-web:2"];
    scene.tool("oras", &copy)?;
    let discovered = scene.tool("oras", &["discover", "--oci-layout", "--format", "json", "oras-web:2"])?;
    two_referrers(&discovered)
}

/// A signature and a statement of provenance.
pub fn two_referrers(discovered: &str) -> Result<(), String> {
    let discovered: Value = serde_json::from_str(discovered).map_err(|error| error.to_string())?;
    let referrers = discovered["referrers"].as_array().map(Vec::len);
    ensure(referrers == Some(2), &discovered.to_string())
}
