//! What the server says of its work: metrics and the access log.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sealock_trust::Digest;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::{Content, Site, noise};

/// What a scraper gets for `path`: the status line, headers and text.
async fn scrape(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// The records of the access log, once there are `count`: they are written behind the answers.
fn records(site: &Site, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = std::fs::read_to_string(site.path("access.log")).unwrap_or_default();
        if text.ends_with('\n') && text.lines().count() >= count {
            return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        assert!(Instant::now() < deadline, "there are no {count} lines: {text}");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_and_written_down() {
    let site = Site::new();
    let mut content = Content::default();
    let image = content.image(&[b"a layer".to_vec()]);
    content.name("quay.io/team/app:1", &image);
    site.publish(content);
    let running = site.serve().await;
    let digest = image["digest"].as_str().unwrap();
    assert_eq!(running.client.get("/v2/quay.io/team/app/manifests/1").await.status, 200);
    assert_eq!(running.client.head(&format!("/v2/quay.io/team/app/manifests/{digest}")).await.status, 200);
    assert_eq!(running.client.get("/v2/quay.io/team/app/manifests/2").await.status, 404);

    let log = records(&site, 3);
    let got = &log[0];
    assert_eq!((&got["method"], &got["status"], &got["complete"]), (&"GET".into(), &200.into(), &true.into()));
    assert_eq!(got["path"], "/v2/quay.io/team/app/manifests/1");
    assert!(got["bytes"].as_u64() > Some(100) && got["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{got}");
    assert_eq!((&log[1]["bytes"], &log[1]["complete"], &log[2]["status"]), (&0.into(), &true.into(), &404.into()));

    let text = scrape(running.metrics, "/metrics").await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("application/openmetrics-text"), "{text}");
    for line in [
        r#"sealock_registry_requests_total{method="GET",route="manifest",status="200"} 1"#,
        r#"sealock_registry_requests_total{method="GET",route="manifest",status="404"} 1"#,
        r#"sealock_registry_requests_total{method="HEAD",route="manifest",status="200"} 1"#,
        "sealock_release 1",
        "sealock_registry_requests_in_progress 0",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line} is missing: {text}");
    }
    assert!(scrape(running.metrics, "/v2/").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_that_a_newer_release_cannot_be_read() {
    let site = Site::new();
    site.publish(Content::default());
    let running = site.serve().await;
    assert_eq!(running.client.get("/readyz").await.status, 200);
    let second = site.publish(Content::default()).release.number;
    let file = site.path("store/releases").join(format!("{second}.json"));
    let whole = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, b"{}").unwrap();
    site.reload().await.unwrap_err();
    let (ready, health) = (running.client.get("/readyz").await, running.client.get("/healthz").await);
    assert_eq!(
        (ready.status.as_u16(), health.status.as_u16(), health.json()["status"].as_str()),
        (503, 200, Some("degraded"))
    );
    assert!(ready.json()["fault"].as_str().unwrap().contains("2.json"), "{:?}", ready.json());
    assert!(scrape(running.metrics, "/metrics").await.contains("\nsealock_ready 0\n"));
    std::fs::write(&file, whole).unwrap();
    site.reload().await.unwrap();
    assert_eq!(running.client.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_runs_full_degrades_health() {
    let mut site = Site::new();
    site.limits.headroom = u64::MAX;
    site.publish(Content::default());
    let running = site.serve().await;
    let text = scrape(running.metrics, "/metrics").await;
    assert!(text.contains("\nsealock_store_low 1\n"), "{text}");
    let health = running.client.get("/healthz").await.json();
    assert_eq!((&health["status"], &health["disk-is-low"]), (&"degraded".into(), &true.into()), "{health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_is_counted_as_cut_off() {
    let site = Site::new();
    let mut content = Content::default();
    let layer = noise(16 << 20);
    let image = content.image(std::slice::from_ref(&layer));
    content.name("quay.io/team/app:1", &image);
    site.publish(content);
    let running = site.serve().await;
    let path = format!("/v2/quay.io/team/app/blobs/{}", Digest::sha256(&layer));
    let mut stream = running.client.connect().await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut first = [0; 1000];
    stream.read_exact(&mut first).await.unwrap();
    drop(stream);
    let record = &records(&site, 1)[0];
    assert_eq!((&record["status"], &record["complete"]), (&200.into(), &false.into()));
    assert!(record["bytes"].as_u64().unwrap() < layer.len() as u64);
    let text = scrape(running.metrics, "/metrics").await;
    assert!(text.contains("sealock_registry_cut_off_total{route=\"blob\"} 1\n"), "{text}");
}
