//! A client that others wrote: skopeo, over TLS, with the site's authority.

use std::path::Path;
use std::process::{Command, Output};

use sealock_trust::Digest;
use serde_json::{Value, json};

use crate::site::{Content, INDEX, Site, USER, layer};

async fn skopeo(certificates: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("skopeo");
    command.args(arguments).arg(format!(
        "--{}cert-dir={}",
        if arguments[0] == "copy" { "src-" } else { "" },
        certificates.display()
    ));
    tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .expect("this test needs skopeo (Debian: apt-get install skopeo)")
}

#[tokio::test]
async fn skopeo_copies_an_image_and_an_index() {
    let site = Site::new();
    let mut content = Content::default();
    let large = layer(5_000_000);
    let image = content.image(&[layer(100), large.clone()]);
    content.name("registry.k8s.io/pause:3.10.2", &image);
    let mut platform = image.clone();
    platform["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let index = content.manifest(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [platform]}));
    content.name("quay.io/x/multi:1", &index);
    site.publish(content);
    let server = site.serve().await;
    let certificates = site.path("certificates");
    std::fs::create_dir(&certificates).unwrap();
    std::fs::copy(site.path("ca.crt"), certificates.join("ca.crt")).unwrap();

    for (source, digest) in [("registry.k8s.io/pause:3.10.2", &image), ("quay.io/x/multi:1", &index)] {
        let from = format!("docker://{}/{source}", server.address);
        let to = site.path(&source.replace(['/', ':'], "-"));
        let output = skopeo(
            &certificates,
            &["copy", "--quiet", "--all", "--preserve-digests", &from, &format!("oci:{}", to.display())],
        )
        .await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let copied: Value = serde_json::from_slice(&std::fs::read(to.join("index.json")).unwrap()).unwrap();
        assert_eq!(copied["manifests"][0]["digest"], digest["digest"], "{source}");
        let blob = std::fs::read(to.join("blobs/sha256").join(Digest::sha256(&large).hex())).unwrap();
        assert!(blob == large);
    }
    let output =
        skopeo(&certificates, &["list-tags", &format!("docker://{}/registry.k8s.io/pause", server.address)]).await;
    let tags: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(tags["Tags"], json!(["3.10.2"]));
}

#[tokio::test]
async fn skopeo_pushes_what_it_pulled() {
    let mut site = Site::with_pushes();
    let mut content = Content::default();
    let image = content.image(&[layer(100), layer(5_000_000)]);
    content.name("registry.k8s.io/pause:3.10.2", &image);
    site.publish(content);
    site.limits.stalled = std::time::Duration::from_secs(20);
    let server = site.serve().await;
    let certificates = site.path("certificates");
    std::fs::create_dir(&certificates).unwrap();
    std::fs::copy(site.path("ca.crt"), certificates.join("ca.crt")).unwrap();
    let login = format!("{}:{}", USER.0, USER.1);
    let (from_login, to_login) = (format!("--src-creds={login}"), format!("--dest-creds={login}"));
    let to_certificates = format!("--dest-cert-dir={}", certificates.display());
    let layout = format!("oci:{}:1", site.path("layout").display());
    let released = format!("docker://{}/registry.k8s.io/pause:3.10.2", server.address);
    let pushed = format!("docker://{}/team/pause:1", server.address);
    // From one registry to a folder, from there back, and from repository to repository.
    for arguments in [
        vec!["copy", "--quiet", "--preserve-digests", &from_login, &released, &layout],
        vec!["copy", "--quiet", "--preserve-digests", &to_login, &to_certificates, &layout, &pushed],
        vec![
            "copy",
            "--quiet",
            "--preserve-digests",
            &from_login,
            &to_login,
            &to_certificates,
            &pushed,
            &format!("{pushed}-again"),
        ],
    ] {
        let output = skopeo(&certificates, &arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let user = server.client.logged_in(USER.0, USER.1);
    for tag in ["1", "1-again"] {
        let answer = user.head(&format!("/v2/team/pause/manifests/{tag}")).await;
        assert_eq!(answer.header("docker-content-digest"), image["digest"].as_str().unwrap(), "{tag}");
    }
}
