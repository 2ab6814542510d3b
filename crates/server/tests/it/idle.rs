//! Ten thousand connections that do nothing cost little, and nobody else's place.

use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpStream;

use crate::site::Site;

/// What one connection may add to the process, its own client end included; in bytes.
const MOST_MEMORY: u64 = 64 << 10;

/// Of the connections, how many also finish their TLS handshake: it is these that cost time, not memory.
const SECURED: usize = 1_000;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_cheap() {
    let mut site = Site::new();
    site.limits.handshake = Duration::from_secs(60);
    let server = site.serve().await;
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let count = usize::try_from((descriptors / 2).saturating_sub(200)).unwrap().min(10_000);
    assert!(count > SECURED, "the limit of open files is too low for this test");
    let before = resident();
    let mut secured = Vec::new();
    for _ in 0..SECURED {
        secured.push(server.client.connect().await.unwrap());
    }
    let each_secured = resident().saturating_sub(before) / SECURED as u64;
    let before = resident();
    let mut connected = Vec::new();
    for _ in SECURED..count {
        connected.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert_eq!(server.client.get("/healthz").await.status, StatusCode::OK);
    let each = resident().saturating_sub(before) / connected.len() as u64;
    println!("bytes per idle connection: {each_secured} with TLS, {each} before");
    assert!(each_secured < MOST_MEMORY && each < MOST_MEMORY, "{each_secured} bytes with TLS, {each} before");
}
