//! Clients that mean no good.

use std::time::{Duration, Instant};

use http::StatusCode;
use sealock_server::Limits;
use sealock_trust::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::site::{Content, Running, Site, layer};

/// For tests that wait for a limit; the others have the usual ones, which also a slow machine keeps.
const SHORT: Duration = Duration::from_millis(500);

async fn running() -> (Site, Running) {
    running_with(|_| {}).await
}

async fn running_with(set: impl FnOnce(&mut Limits)) -> (Site, Running) {
    let mut site = Site::new();
    set(&mut site.limits);
    let mut content = Content::default();
    let image = content.image(&[layer(30_000_000)]);
    content.name("quay.io/x/y:1", &image);
    site.publish(content);
    let server = site.serve().await;
    (site, server)
}

/// Sends `bytes` as they are, and returns the first line of the answer.
async fn raw(server: &Running, bytes: &[u8]) -> String {
    let mut stream = server.client.connect().await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = timeout(Duration::from_secs(10), stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..length]).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn hostile_names_are_errors_of_the_client() {
    let (_site, server) = running().await;
    let digest = Digest::sha256(b"x");
    let long = "a".repeat(3000);
    for path in [
        "/v2/../../etc/passwd",
        "/v2/..%2f..%2fetc/passwd/manifests/1",
        "/v2/a/../b/manifests/1",
        "/v2/%00/manifests/1",
        "/v2/%ff%fe/manifests/1",
        "/v2/a/manifests/%2e%2e",
        "/v2/a/manifests/",
        "/v2//manifests/1",
        "/v2/a//b/manifests/1",
        "/v2/UPPER/manifests/1",
        "/v2/a/manifests/sha256:abc",
        "/v2/a/manifests/md5:abc",
        "/v2/a/blobs/sha256:../../../../etc/passwd",
        "/v2/a/blobs/latest",
        "/v2/a/blobs/",
        "/v2/a/blobs/sha256%3A",
        "/v2/x",
        &format!("/v2/{long}/manifests/1"),
        &format!("/v2/a/manifests/{long}"),
        &format!("/v2/%2e%2e/blobs/{digest}"),
    ] {
        let answer = server.client.get(path).await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
        assert!(!answer.error().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_colon_may_come_escaped() {
    let (_site, server) = running().await;
    let digest = server.client.head("/v2/quay.io/x/y/manifests/1").await.header("docker-content-digest").to_owned();
    let escaped = digest.replace(':', "%3A");
    let answer = server.client.head(&format!("/v2/quay.io/x/y/manifests/{escaped}")).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn nonsense_on_the_wire_is_refused() {
    let (_site, server) = running().await;
    for bytes in [
        b"GET /v2/ HTTP/9.9\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x00\x00 hello\r\n\r\n".to_vec(),
        [b"GET /".to_vec(), vec![b'a'; 200_000], b" HTTP/1.1\r\n\r\n".to_vec()].concat(),
        [b"GET / HTTP/1.1\r\n".to_vec(), b"x: y\r\n".repeat(500), b"\r\n".to_vec()].concat(),
    ] {
        let mut stream = server.client.connect().await.unwrap();
        // It may hang up before all of it came.
        let _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let _ =
            timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("the connection stays open");
        let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        assert!(line.is_empty() || line.starts_with("HTTP/1.1 4"), "{line}");
    }
    assert_eq!(raw(&server, b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n").await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn who_never_finishes_the_handshake_is_sent_away() {
    let (_site, server) = running_with(|limits| limits.handshake = SHORT).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut nothing = [0; 1];
    let read = timeout(Duration::from_secs(10), silent.read(&mut nothing)).await.expect("a silent client is kept");
    assert!(matches!(read, Ok(0) | Err(_)));
}

#[tokio::test]
async fn who_never_finishes_a_header_is_sent_away() {
    let (_site, server) = running_with(|limits| limits.header = SHORT).await;
    let mut slow = server.client.connect().await.unwrap();
    slow.write_all(b"GET /v2/ HTTP/1.1\r\nhost: ").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(10), slow.read_to_end(&mut answer)).await.expect("a slow client is kept");
}

#[tokio::test]
async fn who_does_not_read_its_download_is_sent_away() {
    let (_site, server) = running_with(|limits| limits.stalled = SHORT).await;
    let blob = server.client.get("/v2/quay.io/x/y/manifests/1").await.json()["layers"][0]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut stream = server.client.connect().await.unwrap();
    let request = format!("GET /v2/quay.io/x/y/blobs/{blob} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    // Without reading, wait until the server lets go: then writing fails.
    let deadline = Instant::now() + Duration::from_secs(20);
    let (tcp, _) = stream.get_ref();
    while tcp.take_error().unwrap().is_none() && socket_is_open(tcp) {
        assert!(Instant::now() < deadline, "a client that does not read is kept");
        tokio::task::yield_now().await;
    }
}

/// Whether the kernel still counts the connection as established (`TCP_INFO`'s state 1).
fn socket_is_open(stream: &TcpStream) -> bool {
    let local = stream.local_addr().unwrap();
    let wanted = format!("0100007F:{:04X}", local.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    // The server's end: our port is its remote one.
    table.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.len() > 3 && fields[2] == wanted && fields[3] == "01"
    })
}
