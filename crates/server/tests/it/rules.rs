//! What the site's rules do to pushes.

use http::{Method, StatusCode};
use sealock_testkit::cosign::{Cosign, attachment};
use sealock_testkit::image::Image;
use sealock_trust::Digest;
use serde_json::json;

use crate::client::Client;
use crate::site::{MANIFEST, Running, Site, USER};

const TYPE: [(&str, &str); 1] = [("content-type", MANIFEST)];

struct World {
    _site: Site,
    _server: Running,
    user: Client,
    reader: Client,
}

async fn world(rules: &str) -> World {
    world_of(Site::with_rules(rules)).await
}

async fn world_of(site: Site) -> World {
    let server = site.serve().await;
    let user = server.client.logged_in(USER.0, USER.1);
    let reader = server.client.logged_in("robot+reader", USER.1);
    World { _site: site, _server: server, user, reader }
}

impl World {
    async fn blob(&self, repository: &str, content: &[u8]) -> StatusCode {
        let path = format!("/v2/{repository}/blobs/uploads/?digest={}", Digest::sha256(content));
        self.user.carry(Method::POST, &path, &[], content.to_vec()).await.status
    }

    /// An image of one blob, under a tag.
    async fn image(&self, repository: &str, content: &[u8], tag: &str) -> (StatusCode, String) {
        let blob =
            json!({"mediaType": "application/x", "digest": Digest::sha256(content).to_string(), "size": content.len()});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": blob, "layers": []});
        let path = format!("/v2/{repository}/manifests/{tag}");
        let answer = self.user.carry(Method::PUT, &path, &TYPE, manifest.to_string()).await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        (answer.status, said)
    }
}

#[tokio::test]
async fn what_no_rule_names_takes_no_push() {
    let world = world("[{repositories: ['team/**']}]").await;
    assert_eq!(world.blob("team/app", b"x").await, StatusCode::CREATED);
    assert_eq!(world.blob("other/app", b"x").await, StatusCode::FORBIDDEN);
    assert_eq!(world.blob("docker.io/library/web", b"x").await, StatusCode::FORBIDDEN);
    assert_eq!(world.user.get("/v2/_catalog").await.json()["repositories"], json!(["team/app"]));
}

#[tokio::test]
async fn a_tag_is_written_once_unless_a_rule_lets_it_move() {
    let world = world("[{repositories: ['team/**'], mutableTags: [latest]}]").await;
    for content in [b"one", b"two"] {
        assert_eq!(world.blob("team/app", content).await, StatusCode::CREATED);
    }
    for (content, tag, status) in [
        (b"one", "1", StatusCode::CREATED),
        (b"one", "1", StatusCode::CREATED),
        (b"one", "latest", StatusCode::CREATED),
        (b"two", "latest", StatusCode::CREATED),
        (b"two", "1", StatusCode::FORBIDDEN),
    ] {
        let (actual, said) = world.image("team/app", content, tag).await;
        assert_eq!(actual, status, "{tag}: {said}");
    }
    let tags = world.reader.get("/v2/team/app/tags/list").await.json();
    assert_eq!(tags["tags"], json!(["1", "latest"]));
}

#[tokio::test]
async fn a_type_that_is_not_wanted_is_refused() {
    let world = world("[{repositories: ['team/**'], mediaTypes: ['application/vnd.oci.**']}]").await;
    assert_eq!(world.blob("team/app", b"x").await, StatusCode::CREATED);
    let (status, said) = world.image("team/app", b"x", "1").await;
    assert!(status == StatusCode::FORBIDDEN && said.contains("application/x"), "{status} {said}");
}

#[tokio::test]
async fn a_quota_holds_however_the_bytes_come() {
    let world = world("[{repositories: ['team/**'], quota: '1000'}]").await;
    assert_eq!(world.blob("team/app", &[1; 600]).await, StatusCode::CREATED);
    assert_eq!(world.blob("team/app", &[2; 600]).await, StatusCode::FORBIDDEN);
    // In pieces, which say nothing of the whole.
    let begun = world.user.send(Method::POST, "/v2/team/app/blobs/uploads/", &[]).await;
    let location = begun.header("location").to_owned();
    assert_eq!(world.user.carry(Method::PATCH, &location, &[], vec![2; 300]).await.status, StatusCode::ACCEPTED);
    let over = world.user.carry(Method::PATCH, &location, &[], vec![2; 300]).await;
    assert!(!over.status.is_success(), "{over:?}");
    assert_eq!(world.blob("team/other", &[2; 600]).await, StatusCode::CREATED, "each repository has its own");
}

#[tokio::test]
async fn what_nobody_vouched_for_is_seen_by_pushers_only_until_somebody_does() {
    let site = Site::with_rules("[{repositories: ['**'], signedBy: [team.pub]}]");
    let key = Cosign::generate();
    std::fs::write(site.path("team.pub"), key.public_pem()).unwrap();
    let world = world_of(site).await;
    let image = Image::new("linux/amd64", &[&[("file", b"content")]]);
    world.push("team/app", &image, "1").await;
    let paths =
        ["manifests/1".to_owned(), format!("manifests/{}", image.digest), format!("blobs/{}", image.blobs[0].0)];
    let statuses = async |client: &Client| {
        let mut found = Vec::new();
        for path in &paths {
            found.push(client.get(&format!("/v2/team/app/{path}")).await.status.as_u16());
        }
        found
    };
    assert_eq!(statuses(&world.user).await, [200, 200, 200]);
    assert_eq!(statuses(&world.reader).await, [403, 403, 404]);
    let said = world.reader.get("/v2/team/app/manifests/1").await.json()["errors"][0].to_string();
    assert!(said.contains("UNSIGNED") && said.contains("no signature by team.pub"), "{said}");
    assert_eq!(world.reader.get("/v2/team/app/tags/list").await.json()["tags"], json!([]));

    let stranger = Cosign::generate().sign("team/app", &image.digest);
    world.push("team/app", &stranger, &Cosign::tag(&image.digest)).await;
    assert_eq!(statuses(&world.reader).await, [403, 403, 404], "somebody else's signature counts for nothing");
    world.push("team/app", &key.sign("team/app", &image.digest), &Cosign::tag(&image.digest)).await;
    assert_eq!(statuses(&world.reader).await, [200, 200, 200]);
    let unsigned = Image::new("linux/amd64", &[&[("file", b"other content")]]);
    world.push("team/app", &unsigned, "2").await;
    assert_eq!(statuses(&world.reader).await, [200, 200, 200], "each stands for itself");
    let tags = world.reader.get("/v2/team/app/tags/list").await.json();
    assert_eq!(tags["tags"], json!(["1", Cosign::tag(&image.digest)]));
}

#[tokio::test]
async fn a_bundle_that_refers_to_an_image_vouches_for_it_and_goes_with_its_key() {
    let site = Site::with_rules("[{repositories: ['**'], signedBy: [team.pub]}]");
    let key = Cosign::generate();
    std::fs::write(site.path("team.pub"), key.public_pem()).unwrap();
    let image = Image::new("linux/amd64", &[&[("file", b"content")]]);
    let mut server = site.serve().await;
    let user = server.client.logged_in(USER.0, USER.1);
    let reader = server.client.logged_in("robot+reader", USER.1);
    push(&user, "team/app", &image, "1").await;
    let signature = attachment(&key.bundle(&image.digest), &image);
    push(&user, "team/app", &signature, &signature.digest.to_string()).await;
    assert_eq!(reader.get("/v2/team/app/manifests/1").await.status, StatusCode::OK);

    server.ask_to_stop();
    server.stopped().await;
    drop(server);
    std::fs::write(site.path("team.pub"), Cosign::generate().public_pem()).unwrap();
    let server = site.serve().await;
    let reader = server.client.logged_in("robot+reader", USER.1);
    assert_eq!(reader.get("/v2/team/app/manifests/1").await.status, StatusCode::FORBIDDEN, "another key counts now");
}

/// Pushes everything of an image.
async fn push(user: &Client, repository: &str, image: &Image, reference: &str) {
    for (digest, content) in &image.blobs {
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let pushed = user.carry(Method::POST, &path, &[], content.clone()).await;
        assert_eq!(pushed.status, StatusCode::CREATED, "{pushed:?}");
    }
    let path = format!("/v2/{repository}/manifests/{reference}");
    let (_, media_type, bytes) = image.manifests.last().unwrap();
    let pushed = user.carry(Method::PUT, &path, &[("content-type", media_type.as_str())], bytes.clone()).await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{pushed:?}");
}

impl World {
    async fn push(&self, repository: &str, image: &Image, reference: &str) {
        push(&self.user, repository, image, reference).await;
    }
}
