//! Ten thousand connections that do nothing cost little, and nobody else's place.

use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpStream;

use crate::site::Site;

/// What ten thousand of them may add to the process, their own client ends included; in bytes.
const MOST_MEMORY: u64 = 900 << 20;

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
    let before = resident();
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let count = usize::try_from((descriptors / 2).saturating_sub(200)).unwrap().min(10_000);
    assert!(count >= 1_000, "the limit of open files is too low for this test");
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert_eq!(server.client.get("/healthz").await.status, StatusCode::OK);
    let grown = resident().saturating_sub(before);
    assert!(grown < MOST_MEMORY * count as u64 / 10_000, "{count} idle connections cost {grown} bytes");
    println!("{count} idle connections: {} KiB each", grown / 1024 / count as u64);
}
