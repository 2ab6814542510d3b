//! Somebody sets the clock of the machine by a year while the registry serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use sealock_server::upkeep::Collect;
use sealock_server::{Clock, UpkeepPolicy};
use sealock_trust::Digest;

use crate::client::Client;
use crate::push::{image, push_blob, put};
use crate::site::{Content, MANIFEST, Running, Site, USER, layer, noise};

const A_YEAR: i64 = 365 * 24 * 3600;

/// A site whose clock goes wrong by as much as a test says.
struct World {
    site: Site,
    server: Running,
    /// In seconds.
    wrong_by: Arc<AtomicI64>,
}

impl World {
    /// A release and a pushed image are there, a blob that no manifest names yet, and half of an upload.
    async fn new() -> Self {
        let wrong_by = Arc::new(AtomicI64::new(0));
        let mut site = Site::with_pushes();
        let offset = wrong_by.clone();
        site.clock = Clock::new(move || Timestamp::now() + SignedDuration::from_secs(offset.load(Ordering::SeqCst)));
        // Whatever is collected is collected now, unless it was promised.
        site.upkeep = UpkeepPolicy { collect_every: None, grace: Duration::ZERO, ..UpkeepPolicy::default() };
        let mut content = Content::default();
        let released = content.image(&[layer(1_000)]);
        content.name("quay.io/x/y:1", &released);
        site.publish(content);
        let server = site.serve().await;
        Self { site, server, wrong_by }
    }

    fn user(&self) -> Client {
        self.server.client.logged_in(USER.0, USER.1)
    }

    fn set_clock(&self, wrong_by: i64) {
        self.wrong_by.store(wrong_by, Ordering::SeqCst);
    }

    async fn collect(&self) {
        for _ in 0..2 {
            let outcome = self.site.collect(Collect { dry_run: false, grace: Some(0), retain: Some(0) }).await.unwrap();
            assert!(outcome.plan.doubts.is_empty() && outcome.deleted.blobs == 0, "{outcome:?}");
        }
    }
}

async fn works(world: &World, promised: &serde_json::Value) {
    let user = world.user();
    world.collect().await;
    for path in ["/v2/quay.io/x/y/manifests/1", "/v2/team/app/manifests/1", "/healthz"] {
        assert_eq!(user.get(path).await.status, StatusCode::OK, "{path}");
    }
    let blob = format!("/v2/team/app/blobs/{}", promised["digest"].as_str().unwrap());
    assert_eq!(user.head(&blob).await.status, StatusCode::OK, "what was promised is there");
    let another = push_blob(&user, "team/app", &noise(3_000)).await;
    assert_eq!(put(&user, "/v2/team/app/manifests/2", MANIFEST, image(&[&another])).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn nothing_that_was_promised_goes_and_uploads_go_on() {
    let mut world = World::new().await;
    let user = world.user();
    let pushed = push_blob(&user, "team/app", &noise(1_000)).await;
    put(&user, "/v2/team/app/manifests/1", MANIFEST, image(&[&pushed])).await;
    let promised = push_blob(&user, "team/app", &noise(2_000)).await;
    let begun = user.send(Method::POST, "/v2/team/app/blobs/uploads/", &[]).await;
    let mut upload = begun.header("location").to_owned();
    for (wrong_by, piece) in [(A_YEAR, "a year ahead, "), (-A_YEAR, "and two years back")] {
        world.set_clock(wrong_by);
        works(&world, &promised).await;
        let sent = user.carry(Method::PATCH, &upload, &[], piece).await;
        assert_eq!(sent.status, StatusCode::ACCEPTED, "{sent:?}");
        upload = sent.header("location").to_owned();
    }
    let digest = Digest::sha256(b"a year ahead, and two years back");
    let done = user.send(Method::PUT, &format!("{upload}?digest={digest}"), &[]).await;
    assert_eq!(done.status, StatusCode::CREATED, "{done:?}");

    // What was written into the log by a clock that was wrong is read by one that is right, and by one that is wrong again.
    for wrong_by in [0, -A_YEAR, A_YEAR] {
        world.server.ask_to_stop();
        world.server.stopped().await;
        world.set_clock(wrong_by);
        world.server = world.site.serve().await;
        works(&world, &promised).await;
    }
}

/// A token is a promise for minutes by the clock: of one that went wrong nobody believes it, and whoever says again who they are gets
/// another one.
#[tokio::test]
async fn tokens_of_another_year_are_refused_with_the_reason() {
    let mut world = World::new().await;
    world.site.write_access(
        "  login: {challenge: bearer}
  anonymous: {pull: ['**']}
",
    );
    world.server.ask_to_stop();
    world.server.stopped().await;
    world.server = world.site.serve().await;
    let token = || async {
        let answer = world.server.client.get("/token?service=registry.test&scope=repository:quay.io/x/y:pull").await;
        format!("Bearer {}", answer.json()["token"].as_str().unwrap())
    };
    let old = token().await;
    let ask = async |token: &str| {
        let headers = [("authorization", token)];
        world.server.client.send(Method::GET, "/v2/quay.io/x/y/manifests/1", &headers).await
    };
    assert_eq!(ask(&old).await.status, StatusCode::OK);
    for (wrong_by, reason) in [(A_YEAR, "the token has expired at"), (-A_YEAR, "the token is not valid before")] {
        world.set_clock(wrong_by);
        let refused = ask(&old).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        let said = String::from_utf8_lossy(&refused.body).into_owned();
        assert!(said.contains(reason), "{said}");
        assert_eq!(ask(&token().await).await.status, StatusCode::OK, "a token of today");
    }
}
