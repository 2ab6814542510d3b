//! A client that others wrote: skopeo, over TLS, with the site's authority.

use std::path::Path;
use std::process::{Command, Output};

use sealock_trust::Digest;
use serde_json::{Value, json};

use crate::site::{Content, INDEX, Site, layer};

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
