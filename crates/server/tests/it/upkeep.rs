//! A server keeps its store: garbage goes while images are pulled, and rot is found.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use sealock_server::control::ControlError;
use sealock_server::upkeep::Collect;
use sealock_server::{Server, UpkeepPolicy};
use sealock_store::StoreError;
use sealock_store::gc::{Moment, Offline};
use sealock_trust::Digest;
use tokio::time::timeout;

use crate::push::{image, push_blob, put};
use crate::site::{Content, MANIFEST, Site, USER, layer};

/// Nobody pushes: no promise has to be waited for.
fn at_once() -> UpkeepPolicy {
    UpkeepPolicy {
        collect_every: None,
        lease: Duration::ZERO,
        grace: Duration::ZERO,
        scrub_rate: None,
        ..UpkeepPolicy::default()
    }
}

/// Two releases; the layer of the first is garbage once that is retired. Returns where the two layers stand.
fn two_releases(site: &Site) -> [PathBuf; 2] {
    [1_000, 2_000].map(|size| {
        let mut content = Content::default();
        let image = content.image(&[layer(size)]);
        content.name("quay.io/x/y:1", &image);
        site.publish(content);
        site.store().blob_path(&Digest::sha256(&layer(size)))
    })
}

const PLAN: Collect = Collect { dry_run: true, grace: None, retain: Some(0) };
const RUN: Collect = Collect { dry_run: false, grace: None, retain: Some(0) };

#[tokio::test]
async fn garbage_goes_by_the_servers_hand_and_what_it_serves_stays() {
    let mut site = Site::new();
    site.upkeep = at_once();
    let [old, new] = two_releases(&site);
    let server = site.serve().await;
    let plan = site.collect(PLAN).await.unwrap();
    assert_eq!((plan.plan.retire.as_slice(), plan.plan.doubts.len()), (&[1][..], 0), "{plan:?}");
    // A layer, its config, the image's manifest and the bundle's.
    assert_eq!((plan.plan.garbage.len(), plan.deleted.blobs), (4, 0));
    assert!(old.exists());

    let first = site.collect(RUN).await.unwrap();
    assert_eq!((first.condemned.blobs, first.deleted.blobs), (4, 0));
    let second = site.collect(RUN).await.unwrap();
    assert_eq!((second.condemned.blobs, second.deleted.blobs), (0, 4));
    assert!(!old.exists() && new.exists());
    assert_eq!(server.client.get("/v2/quay.io/x/y/manifests/1").await.status, StatusCode::OK);
}

/// A pod that is started anew on another node pulls what it ran from.
#[tokio::test]
async fn what_a_cluster_was_made_from_can_be_pulled_and_a_tag_is_the_newest() {
    let mut site = Site::new();
    let clusters = site.path("clusters");
    site.upkeep = UpkeepPolicy { clusters: Some(clusters.clone()), ..at_once() };
    let digests = [1_000, 2_000].map(|size| {
        let mut content = Content::default();
        let image = content.image(&[layer(size)]);
        content.name("quay.io/x/y:1", &image);
        content.name(&format!("quay.io/x/only:{size}"), &image);
        site.publish(content);
        image["digest"].as_str().unwrap().to_owned()
    });
    let server = site.serve().await;
    let status = async |path: String| server.client.get(&path).await.status;
    let old = || format!("/v2/quay.io/x/y/manifests/{}", digests[0]);
    assert_eq!(status(old()).await, StatusCode::NOT_FOUND, "nothing needs the old release");

    std::fs::create_dir_all(clusters.join("lab")).unwrap();
    std::fs::write(clusters.join("lab/applied.json"), r#"{"release":{"number":1}}"#).unwrap();
    site.reload().await.unwrap();
    assert_eq!(status(old()).await, StatusCode::OK);
    assert_eq!(status("/v2/quay.io/x/only/manifests/1000".into()).await, StatusCode::OK);
    let blob = Digest::sha256(&layer(1_000));
    assert_eq!(status(format!("/v2/quay.io/x/y/blobs/{blob}")).await, StatusCode::OK);
    let tagged = server.client.head("/v2/quay.io/x/y/manifests/1").await;
    assert_eq!(tagged.headers["docker-content-digest"], digests[1].as_str());
    assert_eq!(server.client.get("/healthz").await.json()["status"], "ok");
    assert_eq!(site.collect(PLAN).await.unwrap().plan.garbage, [], "what is served is no garbage");

    site.store().lock().unwrap().retire(1, jiff::Timestamp::UNIX_EPOCH).unwrap();
    site.reload().await.unwrap();
    assert_eq!(status(old()).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_it_answers_for_and_the_mark_does_not_find_stops_it() {
    let mut site = Site::new();
    site.upkeep = UpkeepPolicy { look_every: Duration::from_secs(3600), ..at_once() };
    two_releases(&site);
    let _server = site.serve().await;
    // A release that the server has not been told of: its view is of one that goes.
    let mut content = Content::default();
    let image = content.image(&[layer(3_000)]);
    content.name("quay.io/x/z:1", &image);
    site.publish(content);
    let outcome = site.collect(PLAN).await.unwrap();
    assert!(outcome.plan.doubts.iter().any(|doubt| doubt.contains("the server answers for")), "{outcome:?}");
    site.reload().await.unwrap();
    assert!(site.collect(PLAN).await.unwrap().plan.doubts.is_empty());
}

#[tokio::test]
async fn beside_an_import_it_says_that_it_is_busy() {
    let site = Site::new();
    two_releases(&site);
    let _server = site.serve().await;
    let import = site.store().lock().unwrap();
    let error = site.collect(RUN).await.unwrap_err();
    assert!(
        matches!(&error, ControlError::Busy(problem) if problem.contains("in use by another process")),
        "{error:?}"
    );
    assert!(error.is_environment());
    drop(import);
    site.collect(RUN).await.unwrap();
}

#[tokio::test]
async fn nobody_else_collects_while_it_serves() {
    let site = Site::new();
    let mut server = site.serve().await;
    let offline = || {
        let moment = Moment { boot: "0f".into(), seconds: 1 };
        Offline::begin(&site.store(), sealock_store::gc::protocol::Terms { lease: 1, grace: 1 }, moment)
    };
    assert!(matches!(offline(), Err(StoreError::Served { .. })));
    // A second one serves, and leaves the store to the first.
    let mut config = site.config();
    config.control_socket = None;
    drop(Server::bind(config).await.unwrap());
    server.ask_to_stop();
    server.stopped().await;
    offline().unwrap();
}

#[tokio::test]
async fn it_collects_by_itself() {
    let mut site = Site::new();
    site.upkeep = UpkeepPolicy { collect_every: Some(Duration::from_millis(20)), retain: Some(0), ..at_once() };
    let [old, new] = two_releases(&site);
    let _server = site.serve().await;
    let gone = async {
        while old.exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), gone).await.expect("the garbage is still there after 30 s");
    assert!(new.exists());
}

#[tokio::test]
async fn it_finds_rot_and_answers_404_for_it() {
    let mut site = Site::new();
    site.upkeep = UpkeepPolicy { scrub_rate: Some(1 << 30), scrub_every: Duration::from_millis(20), ..at_once() };
    let [_, new] = two_releases(&site);
    std::fs::remove_file(&new).unwrap();
    let mut rotten = layer(2_000);
    rotten[600] ^= 1;
    std::fs::write(&new, rotten).unwrap();
    let server = site.serve().await;
    let path = format!("/v2/quay.io/x/y/blobs/{}", Digest::sha256(&layer(2_000)));
    let taken_out = async {
        while server.client.get(&path).await.status != StatusCode::NOT_FOUND {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), taken_out).await.expect("the rotten blob is still served after 30 s");
    assert_eq!(site.store().quarantined().unwrap(), [Digest::sha256(&layer(2_000))]);
}

#[tokio::test]
async fn a_slow_scrub_does_not_keep_it_from_stopping() {
    let mut site = Site::new();
    // A day for the first blob.
    site.upkeep = UpkeepPolicy { scrub_rate: Some(1), scrub_every: Duration::from_millis(1), ..at_once() };
    two_releases(&site);
    let mut server = site.serve().await;
    server.ask_to_stop();
    timeout(Duration::from_secs(10), server.stopped()).await.expect("the scrub keeps the server");
}

/// Its layers look as if nobody needed them.
#[tokio::test]
async fn what_a_lost_manifest_refers_to_stays_and_health_says_so() {
    let mut site = Site::with_pushes();
    site.upkeep = at_once();
    let mut server = site.serve().await;
    let user = server.client.logged_in(USER.0, USER.1);
    let layer = push_blob(&user, "team/app", b"layer").await;
    let bytes = image(&[&layer]);
    assert_eq!(put(&user, "/v2/team/app/manifests/1", MANIFEST, bytes.clone()).await.status, StatusCode::CREATED);
    server.ask_to_stop();
    server.stopped().await;
    let digest = Digest::sha256(&bytes);
    std::fs::remove_file(site.store().blob_path(&digest)).unwrap();

    let server = site.serve().await;
    let user = server.client.logged_in(USER.0, USER.1);
    for _ in 0..3 {
        let outcome = site.collect(RUN).await.unwrap();
        assert!(outcome.plan.doubts.iter().any(|doubt| doubt.contains(&digest.to_string())), "{outcome:?}");
        assert_eq!((outcome.condemned.blobs, outcome.deleted.blobs), (0, 0));
    }
    let health = user.get("/healthz").await.json();
    assert_eq!((&health["status"], health["problems"].as_array().unwrap().len()), (&"degraded".into(), 1), "{health}");
    assert!(!health.to_string().contains("team/app"), "who asks for health need not know what was pushed: {health}");

    // The layer is there still: the manifest alone makes it whole again.
    assert_eq!(put(&user, "/v2/team/app/manifests/1", MANIFEST, bytes).await.status, StatusCode::CREATED);
    assert_eq!(user.get("/healthz").await.json()["status"], "ok");
    assert!(site.collect(RUN).await.unwrap().plan.doubts.is_empty());
}
