//! What the site's rules do to pushes.

use http::{Method, StatusCode};
use sealock_testkit::cosign::Cosign;
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
async fn what_nobody_vouched_for_is_seen_by_pushers_only() {
    let site = Site::with_rules("[{repositories: ['signed/**'], signedBy: [team.pub]}, {repositories: ['team/**']}]");
    std::fs::write(site.path("team.pub"), Cosign::generate().public_pem()).unwrap();
    let world = world_of(site).await;
    for repository in ["signed/app", "team/app"] {
        assert_eq!(world.blob(repository, b"x").await, StatusCode::CREATED);
        assert_eq!(world.image(repository, b"x", "1").await.0, StatusCode::CREATED);
        assert_eq!(world.user.get(&format!("/v2/{repository}/manifests/1")).await.status, StatusCode::OK);
    }
    let blob = Digest::sha256(b"x");
    for path in ["manifests/1".to_owned(), format!("blobs/{blob}"), "tags/list".to_owned()] {
        let (withheld, open) = (format!("/v2/signed/app/{path}"), format!("/v2/team/app/{path}"));
        assert_eq!(world.reader.get(&withheld).await.status, StatusCode::NOT_FOUND, "{withheld}");
        assert_eq!(world.reader.get(&open).await.status, StatusCode::OK, "{open}");
    }
}
