//! What clients do when their connection is cut: they go on, and have the right bytes in the end.

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};

use super::containerd::Daemon;
use super::relay::{Relay, Way};
use super::scene::Scene;
use super::{Row, gotools, row, skopeo};
use crate::registries::body::Content;
use crate::registries::client::{Ask, Connector, blocking};
use crate::registries::upload;

pub(super) const ROWS: &[Row] = &[
    row("skopeo", "pulls what was cut off when it tries again", pull_skopeo),
    row("podman 4.5+", "goes on with a layer by bytes=N-, which must be answered with 206", pull_by_range),
    row("containerd", "goes on with a layer whose connection was cut twice", pull_containerd),
    row("crane", "pushes again what was cut off", push_crane),
    row("upload", "is asked how far it came after a cut, goes on there, and refuses a gap with 416", resume),
];

/// Well inside the layer of 24 MB.
const AFTER: u64 = 9_000_000;

fn behind(scene: &Scene, way: Way, times: u64) -> Result<Relay> {
    Relay::start(&scene.endpoint.address, way, AFTER, times)
}

fn pull_skopeo(scene: &Scene) -> Result<()> {
    skopeo::copy(scene, "oci:images:one", &format!("docker://{}", scene.at("cut/skopeo:1")), &[])?;
    let relay = behind(scene, Way::Down, 1)?;
    scene.fresh("cut-skopeo")?;
    let there = format!("docker://{}/cut/skopeo:1", relay.address);
    // The version in Debian ends here; later ones go on by a range.
    if skopeo::copy(scene, &there, "oci:cut-skopeo:one", &[]).is_err() {
        skopeo::copy(scene, &there, "oci:cut-skopeo:one", &[])?;
    }
    ensure!(relay.cuts() == 1, "nothing was cut");
    Ok(())
}

/// As containers/image does since 5.24: it gives up on anything but 206 with the range that it asked for.
fn pull_by_range(scene: &Scene) -> Result<()> {
    skopeo::copy(scene, "oci:images:one", &format!("docker://{}", scene.at("cut/range:1")), &[])?;
    let relay = behind(scene, Way::Down, 1)?;
    let mut cut = scene.endpoint.clone();
    cut.address.clone_from(&relay.address);
    let path = format!("/v2/cut/range/blobs/{}", scene.layout.layer);
    let whole = scene.layout.blob(&scene.layout.layer)?;
    blocking(async {
        let connector = Connector::new(&cut)?;
        let mut got = Vec::new();
        let request = (Method::GET, path.as_str());
        let mut connection = connector.connect().await?;
        let first =
            connection.read(request, Ask::default(), StatusCode::OK, |piece| got.extend_from_slice(piece)).await;
        ensure!(first.is_err() && relay.cuts() == 1, "nothing was cut");
        ensure!(!got.is_empty() && got.len() < whole.len(), "{} bytes came before the cut", got.len());
        let ask = Ask::default().header("range", format!("bytes={}-", got.len()));
        let answer = connector.connect().await?.send(Method::GET, &path, ask).await?;
        let answer = answer.expect(StatusCode::PARTIAL_CONTENT, "bytes=N-")?;
        let range = answer.headers.get("content-range").context("206 without Content-Range")?.to_str()?;
        let expected = format!("bytes {}-{}/{}", got.len(), whole.len() - 1, whole.len());
        ensure!(range == expected, "Content-Range is {range} and not {expected}");
        got.extend_from_slice(&answer.body);
        ensure!(got == whole, "other bytes in the end");
        Ok(())
    })
}

fn pull_containerd(scene: &Scene) -> Result<()> {
    skopeo::copy(scene, "oci:images:one", &format!("docker://{}", scene.at("cut/containerd:1")), &[])?;
    let relay = behind(scene, Way::Down, 2)?;
    let daemon = Daemon::start(scene, &relay.address, 0)?;
    daemon.pull(&format!("{}/cut/containerd:1", relay.address), &[])?;
    ensure!(relay.cuts() == 2, "cut {} times", relay.cuts());
    Ok(())
}

fn push_crane(scene: &Scene) -> Result<()> {
    let relay = behind(scene, Way::Up, 1)?;
    let there = format!("{}/cut/crane:1", relay.address);
    let login = ["auth", "login", "-u", &scene.login.user, "-p", &scene.login.password, &relay.address];
    scene.tool("crane", &login)?;
    gotools::crane_login(scene)?;
    scene.tool("crane", &["push", "images", &there, "--index"])?;
    ensure!(relay.cuts() == 1, "nothing was cut");
    scene.tool("crane", &["validate", "--remote", &scene.at(&format!("cut/crane@{}", scene.layout.one))]).map(drop)
}

/// The specification's way to go on: GET of the upload says the last byte that is there.
fn resume(scene: &Scene) -> Result<()> {
    let bytes = scene.layout.blob(&scene.layout.layer)?;
    let relay = behind(scene, Way::Up, 1)?;
    let mut cut = scene.endpoint.clone();
    cut.address.clone_from(&relay.address);
    blocking(async {
        let mut direct = Connector::new(&scene.endpoint)?.connect().await?;
        let location = upload::begin(&mut direct, "cut/upload").await?;
        let mut behind = Connector::new(&cut)?.connect().await?;
        let whole = Content::whole(bytes.clone());
        let sent = upload::patch(&mut behind, &location, &whole, None).await;
        ensure!(sent.is_err() && relay.cuts() == 1, "the upload was not cut");

        let answer = direct.send(Method::GET, &location, Ask::default()).await?;
        let answer = answer.expect(StatusCode::NO_CONTENT, "GET of the upload")?;
        let (kept, location) = (kept(&answer.headers)?, answer.location()?);
        ensure!(kept + 1001 < bytes.len(), "all of it is there, though it was cut");
        println!("            {kept} of {} bytes outlived the cut", bytes.len());

        let gap = Content::whole(bytes[kept + 1..kept + 1001].to_vec());
        let ask = Ask::default()
            .header("content-type", "application/octet-stream")
            .header("content-range", format!("{}-{}", kept + 1, kept + 1000))
            .body(gap.body());
        let refused = direct.send(Method::PATCH, &location, ask).await?;
        ensure!(refused.status == StatusCode::RANGE_NOT_SATISFIABLE, "a gap is answered with {}", refused.status);

        let rest = Content::whole(bytes[kept..].to_vec());
        let location = upload::patch(&mut direct, &location, &rest, Some(kept as u64)).await?;
        upload::finish(&mut direct, &location, &scene.layout.layer, &Content::default()).await
    })
}

/// How many bytes `Range: 0-LAST` speaks of. Registries say `0-0` where there is nothing, and where there is one byte.
fn kept(headers: &http::HeaderMap) -> Result<usize> {
    let range = headers.get("range").context("the upload's answer has no Range")?.to_str()?;
    let last: usize = range.trim_start_matches("bytes=").split_once('-').context("no range")?.1.parse()?;
    Ok(if last == 0 { 0 } else { last + 1 })
}
