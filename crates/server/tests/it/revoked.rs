//! What was revoked: pulls are blocked at once, but for what a live cluster uses.

use std::collections::BTreeSet;
use std::fs;

use http::StatusCode;
use jiff::Timestamp;
use sealock_server::RevocationSource;
use sealock_trust::directory::Candidate;
use sealock_trust::revocation::{Entry, ListTerms, RevocationList, Subject};
use sealock_trust::tuf::{RootSpec, create_root};
use sealock_trust::{Digest, FileKey, KeySet, Scheme, Signer, TrustDirectory};
use serde_json::Value;

use crate::site::{Content, Running, Site, layer, noise};

/// A release with a good image and a bad one, which have a layer in common.
struct Shelf {
    site: Site,
    server: Running,
    good: Value,
    bad: Value,
    bad_layer: Vec<u8>,
    shared_layer: Vec<u8>,
    root: Vec<u8>,
    revoker: FileKey,
    publisher: FileKey,
}

impl Shelf {
    async fn open() -> Self {
        let mut site = Site::new();
        site.revocations = Some(RevocationSource { trust: site.path("trust"), clusters: site.path("clusters") });
        let [root_key, publisher, revoker] = [(); 3].map(|()| FileKey::generate(Scheme::Ed25519).unwrap());
        let only = |key: &FileKey| KeySet::new([key.public_key().clone()], 1).unwrap();
        let spec = RootSpec {
            expires: "2099-01-01T00:00:00Z".parse().unwrap(),
            root: only(&root_key),
            publisher: only(&publisher),
            revoker: Some(only(&revoker)),
        };
        let root = create_root(&spec, &[&root_key]).unwrap();
        let (fingerprint, prefix) = (Digest::sha256(&root), "*".parse().unwrap());
        let candidate =
            Candidate { root: &root, fingerprint: &fingerprint, prefix: &prefix, from_sequence: None, names: &[] };
        TrustDirectory::open(&site.path("trust")).unwrap().enroll(&candidate, None).unwrap();

        let mut content = Content::default();
        let (shared_layer, bad_layer) = (layer(20_000), noise(30_000));
        let good = content.image(&[shared_layer.clone(), layer(10)]);
        content.name("docker.io/library/good:1", &good);
        let bad = content.image(&[shared_layer.clone(), bad_layer.clone()]);
        content.name("docker.io/library/bad:1", &bad);
        // In the repository of the good one as well.
        content.name("docker.io/library/good:2", &bad);
        site.publish(content);
        let server = site.serve().await;
        Self { site, server, good, bad, bad_layer, shared_layer, root, revoker, publisher }
    }

    fn directory(&self) -> TrustDirectory {
        TrustDirectory::open(&self.site.path("trust")).unwrap()
    }

    async fn revoke(&self, digest: &str, signers: &[&dyn Signer]) {
        let entry = Entry {
            subject: Subject::Digest(digest.parse().unwrap()),
            reason: "it calls home".parse().unwrap(),
            revoked: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        let terms = ListTerms {
            issued: "2026-01-01T00:00:00Z".parse().unwrap(),
            expires: "2098-01-01T00:00:00Z".parse().unwrap(),
        };
        let mut list = RevocationList::make(&self.root, None, &terms, [entry], &BTreeSet::new()).unwrap();
        list.add_signatures(signers).unwrap();
        self.directory().keep_revocations(&list.to_bytes().unwrap(), Timestamp::now(), None).unwrap();
        self.site.reload().await.unwrap();
    }

    /// A cluster was made from release 1.
    fn apply_a_cluster(&self) {
        let folder = self.site.path("clusters/plant-7");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("applied.json"), br#"{"release":{"number":1,"digest":"sha256:00"},"tasks":[]}"#).unwrap();
    }

    async fn status(&self, path: &str) -> StatusCode {
        self.server.client.get(path).await.status
    }
}

fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap()
}

const BAD: &str = "/v2/docker.io/library/bad/manifests/1";
const GOOD: &str = "/v2/docker.io/library/good/manifests/1";

#[tokio::test]
async fn a26_pulls_of_a_revoked_image_are_blocked_at_once_and_say_why() {
    let shelf = Shelf::open().await;
    let client = &shelf.server.client;
    assert_eq!(shelf.status(BAD).await, StatusCode::OK);
    shelf.revoke(digest(&shelf.bad), &[&shelf.revoker]).await;

    let answer = client.get(BAD).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::FORBIDDEN, "DENIED"));
    let detail = answer.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("it calls home") && detail.contains(digest(&shelf.bad)), "{detail}");
    let own = Digest::sha256(&shelf.bad_layer);
    for path in [
        format!("/v2/docker.io/library/bad/manifests/{}", digest(&shelf.bad)),
        format!("/v2/docker.io/library/bad/blobs/{}", digest(&shelf.bad)),
        format!("/v2/docker.io/library/bad/blobs/{own}"),
        "/v2/docker.io/library/good/manifests/2".to_owned(),
        format!("/v2/docker.io/library/good/blobs/{own}"),
    ] {
        assert_eq!(client.get(&path).await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(client.head(&path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    // What is unknown stays unknown, and the others are served, with all that they share.
    assert_eq!(shelf.status("/v2/docker.io/library/bad/manifests/9").await, StatusCode::NOT_FOUND);
    let shared = Digest::sha256(&shelf.shared_layer);
    for path in [
        GOOD.to_owned(),
        format!("/v2/docker.io/library/good/manifests/{}", digest(&shelf.good)),
        format!("/v2/docker.io/library/good/blobs/{shared}"),
    ] {
        assert_eq!(shelf.status(&path).await, StatusCode::OK, "{path}");
    }
    let tags = client.get("/v2/docker.io/library/good/tags/list").await.json();
    assert_eq!(tags["tags"], serde_json::json!(["1"]));
    let health = client.get("/healthz").await.json();
    assert_eq!(health["revoked"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a26_a_revoked_layer_blocks_every_image_that_has_it() {
    let shelf = Shelf::open().await;
    let shared = Digest::sha256(&shelf.shared_layer).to_string();
    shelf.revoke(&shared, &[&shelf.revoker]).await;
    assert_eq!((shelf.status(GOOD).await, shelf.status(BAD).await), (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN));
}

#[tokio::test]
async fn what_a_live_cluster_uses_is_served_until_the_site_confirms() {
    let shelf = Shelf::open().await;
    shelf.apply_a_cluster();
    shelf.revoke(digest(&shelf.bad), &[&shelf.revoker]).await;
    assert_eq!(shelf.status(BAD).await, StatusCode::OK);
    let health = shelf.server.client.get("/healthz").await.json();
    assert_eq!(health["revoked"][0]["blocked"], false, "{health}");

    let revoked: Digest = digest(&shelf.bad).parse().unwrap();
    assert!(shelf.directory().confirm_revocations(&[Digest::sha256(b"good")], None).is_err());
    let digests = [revoked];
    assert_eq!(shelf.directory().confirm_revocations(&digests, None).unwrap(), digests);
    assert_eq!(shelf.directory().confirm_revocations(&digests, None).unwrap(), []);
    shelf.site.reload().await.unwrap();
    assert_eq!(shelf.status(BAD).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_the_publisher_signs_too_is_blocked_whoever_uses_it() {
    let shelf = Shelf::open().await;
    shelf.apply_a_cluster();
    shelf.revoke(digest(&shelf.bad), &[&shelf.revoker, &shelf.publisher]).await;
    assert_eq!(shelf.status(BAD).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_cluster_that_was_given_back_uses_nothing_any_more() {
    let shelf = Shelf::open().await;
    shelf.apply_a_cluster();
    shelf.revoke(digest(&shelf.bad), &[&shelf.revoker]).await;
    assert_eq!(shelf.status(BAD).await, StatusCode::OK);
    fs::remove_file(shelf.site.path("clusters/plant-7/applied.json")).unwrap();
    shelf.site.reload().await.unwrap();
    assert_eq!(shelf.status(BAD).await, StatusCode::FORBIDDEN);
}

/// Whoever makes a cluster from a release that holds something revoked does not bring that back to life.
#[tokio::test]
async fn what_was_blocked_when_the_cluster_was_made_stays_blocked() {
    let shelf = Shelf::open().await;
    shelf.revoke(digest(&shelf.bad), &[&shelf.revoker]).await;
    assert_eq!(shelf.status(BAD).await, StatusCode::FORBIDDEN);
    shelf.apply_a_cluster();
    let blocked = serde_json::to_vec(&[digest(&shelf.bad)]).unwrap();
    fs::write(shelf.site.path("clusters/plant-7/blocked.json"), blocked).unwrap();
    shelf.site.reload().await.unwrap();
    assert_eq!(shelf.status(BAD).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_damaged_plan_leaves_what_is_served_as_it_is() {
    let shelf = Shelf::open().await;
    shelf.revoke(digest(&shelf.bad), &[&shelf.revoker]).await;
    shelf.apply_a_cluster();
    fs::write(shelf.site.path("clusters/plant-7/applied.json"), b"{").unwrap();
    assert!(shelf.site.reload().await.is_err());
    assert_eq!(shelf.status(BAD).await, StatusCode::FORBIDDEN);
}
