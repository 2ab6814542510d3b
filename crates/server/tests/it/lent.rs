//! A bundle that the store has taken in is served as it is, and migrated while it is pulled.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use http::StatusCode;
use sealock_server::UpkeepPolicy;
use sealock_server::control::ControlError;
use sealock_store::lent::Lent;
use sealock_trust::Digest;
use serde_json::Value;
use tokio::time::timeout;

use crate::site::{Content, MANIFEST, Running, Site, layer};

/// Nothing happens by itself.
fn by_hand() -> UpkeepPolicy {
    UpkeepPolicy {
        collect_every: None,
        scrub_rate: None,
        migrate_rate: None,
        migrate_headroom: 0,
        ..UpkeepPolicy::default()
    }
}

/// A site whose only bundle was imported in place; the image has two layers.
struct Lending {
    site: Site,
    image: Value,
    layers: [Vec<u8>; 2],
}

impl Lending {
    fn new(upkeep: UpkeepPolicy) -> Self {
        let mut site = Site::new();
        site.upkeep = upkeep;
        let layers = [layer(700), layer(2_500_000)];
        let mut content = Content::default();
        let image = content.image(&layers);
        content.name("quay.io/x/y:1", &image);
        site.publish_in_place(content);
        Self { site, image, layers }
    }

    fn path_of(layer: &[u8]) -> String {
        format!("/v2/quay.io/x/y/blobs/{}", Digest::sha256(layer))
    }

    /// Pulls everything, whole and in part, and asks for what there is.
    async fn check_pulls(&self, server: &Running) {
        let client = &server.client;
        let manifest = client.get("/v2/quay.io/x/y/manifests/1").await;
        assert_eq!((manifest.status, manifest.header("content-type")), (StatusCode::OK, MANIFEST));
        assert_eq!(Digest::sha256(&manifest.body).to_string(), self.image["digest"].as_str().unwrap());
        for layer in &self.layers {
            let path = Self::path_of(layer);
            let head = client.head(&path).await;
            assert_eq!(
                (head.status, head.header("content-length")),
                (StatusCode::OK, layer.len().to_string().as_str())
            );
            let whole = client.get(&path).await;
            assert!(whole.status == StatusCode::OK && whole.body == layer);
            let part = client.range(&path, "bytes=513-600").await;
            assert!(part.status == StatusCode::PARTIAL_CONTENT && part.body == layer[513..=600]);
            let last = client.range(&path, "bytes=-9").await;
            assert!(last.status == StatusCode::PARTIAL_CONTENT && last.body == layer[layer.len() - 9..]);
            let rest = client.range(&path, "bytes=600-").await;
            assert!(rest.status == StatusCode::PARTIAL_CONTENT && rest.body == layer[600..]);
            let beyond = client.range(&path, &format!("bytes={}-", layer.len())).await;
            assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
        }
        assert_eq!(client.get("/healthz").await.json()["status"], "ok");
    }

    fn lent(&self) -> Lent {
        self.site.store().lent().unwrap()
    }
}

#[tokio::test]
async fn lent_blobs_are_pulled_before_migration_and_after() {
    let lending = Lending::new(by_hand());
    let server = lending.site.serve().await;
    assert_eq!((lending.lent().bundles, lending.lent().blobs.blobs), (1, 5));
    lending.check_pulls(&server).await;
    let migrated = lending.site.migrate().await.unwrap();
    assert_eq!((migrated.moved.blobs, migrated.bundles, migrated.left.blobs), (5, 1, 0), "{migrated:?}");
    assert_eq!(lending.lent(), Lent::default());
    lending.check_pulls(&server).await;
    assert_eq!(lending.site.migrate().await.unwrap().moved.blobs, 0);
}

/// As slow as can be: blobs stay lent while others are moved.
#[tokio::test]
async fn pulls_go_on_while_it_migrates_by_itself_and_who_asks_does_not_wait_for_it() {
    let slow = UpkeepPolicy { migrate_rate: Some(1), migrate_every: Duration::from_millis(1), ..by_hand() };
    let lending = Lending::new(slow);
    let server = lending.site.serve().await;
    let begun = async {
        while !lending.site.path("store/lent/partial").exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), begun).await.expect("no migration has begun after 30 s");
    lending.check_pulls(&server).await;
    assert!(lending.lent().blobs.blobs > 0, "a byte in a second");
    // The pass that is under way hurries, and what it leaves is done by the one that was asked for.
    lending.site.migrate().await.unwrap();
    assert_eq!(lending.lent(), Lent::default());
    lending.check_pulls(&server).await;
}

/// More than any socket takes unasked: the server has to read on after the bundle is gone.
#[tokio::test]
async fn a_download_that_has_begun_outlives_the_bundle() {
    let (mut site, mut content, large) = (Site::new(), Content::default(), layer(30_000_000));
    site.upkeep = by_hand();
    let image = content.image(std::slice::from_ref(&large));
    content.name("quay.io/x/y:1", &image);
    site.publish_in_place(content);
    let server = site.serve().await;
    let mut download = server.client.begin(&Lending::path_of(&large)).await;
    let mut body = download.next().await.expect("a first piece");
    site.migrate().await.unwrap();
    assert_eq!(site.store().lent().unwrap(), Lent::default());
    while let Some(piece) = download.next().await {
        body.extend_from_slice(&piece);
    }
    assert!(body == large);
}

#[tokio::test]
async fn it_migrates_by_itself_and_a_slow_pass_does_not_keep_it_from_stopping() {
    let every = Duration::from_millis(5);
    let lending = Lending::new(UpkeepPolicy { migrate_rate: Some(1 << 30), migrate_every: every, ..by_hand() });
    let server = lending.site.serve().await;
    let done = async {
        while lending.lent().bundles > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), done).await.expect("a bundle still lends after 30 s");
    lending.check_pulls(&server).await;

    let lending = Lending::new(UpkeepPolicy { migrate_rate: Some(1), migrate_every: every, ..by_hand() });
    let mut server = lending.site.serve().await;
    server.ask_to_stop();
    timeout(Duration::from_secs(10), server.stopped()).await.expect("the migration keeps the server");
    assert_eq!(lending.lent().bundles, 1);
}

#[tokio::test]
async fn a_bundle_that_comes_while_it_serves_is_found_without_a_restart() {
    let site = {
        let mut site = Site::new();
        site.upkeep = by_hand();
        site
    };
    let server = site.serve().await;
    let (mut content, large) = (Content::default(), layer(300_000));
    let image = content.image(std::slice::from_ref(&large));
    content.name("quay.io/x/y:1", &image);
    site.publish_in_place(content);
    site.reload().await.unwrap();
    assert!(server.client.get(&Lending::path_of(&large)).await.body == large);
}

#[tokio::test]
async fn rot_in_a_bundle_is_answered_with_404_once_migration_has_found_it() {
    let lending = Lending::new(by_hand());
    let server = lending.site.serve().await;
    let small = &lending.layers[0];
    let bundle = std::fs::read_dir(lending.site.path("store/lent")).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&bundle).unwrap();
    let place = bytes.windows(small.len()).position(|window| window == small.as_slice()).unwrap();
    std::fs::set_permissions(&bundle, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&bundle).unwrap();
    file.write_all_at(&[bytes[place] ^ 1], place as u64).unwrap();
    let migrated = lending.site.migrate().await.unwrap();
    assert_eq!((migrated.moved.blobs, migrated.rotten.len(), migrated.bundles), (4, 1, 1), "{migrated:?}");
    assert_eq!(server.client.get(&Lending::path_of(small)).await.status, StatusCode::NOT_FOUND);
    assert!(server.client.get(&Lending::path_of(&lending.layers[1])).await.body == lending.layers[1]);
    assert_eq!(lending.site.store().quarantined().unwrap(), [Digest::sha256(small)]);
}

#[tokio::test]
async fn beside_an_import_the_bundle_stays_and_goes_later() {
    let lending = Lending::new(by_hand());
    let server = lending.site.serve().await;
    let import = lending.site.store().lock().unwrap();
    let migrated = lending.site.migrate().await.unwrap();
    assert_eq!((migrated.moved.blobs, migrated.bundles), (5, 0));
    lending.check_pulls(&server).await;
    drop(import);
    assert_eq!(lending.site.migrate().await.unwrap().bundles, 1);
}

#[tokio::test]
async fn a_server_that_leaves_the_store_to_another_does_not_migrate_it() {
    let mut lending = Lending::new(by_hand());
    let _server = lending.site.serve().await;
    lending.site.upkeep.migrate_every = Duration::from_millis(1);
    let mut config = lending.site.config();
    config.control_socket = Some(lending.site.path("second.sock"));
    let second = sealock_server::Server::bind(config).await.unwrap();
    let task = tokio::spawn(second.run(std::future::pending()));
    let path = lending.site.path("second.sock");
    let asked = tokio::task::spawn_blocking(move || sealock_server::control::migrate(&path)).await.unwrap();
    assert!(
        matches!(&asked, Err(ControlError::Undone(problem)) if problem.contains("does not keep the store")),
        "{asked:?}"
    );
    task.abort();
}
