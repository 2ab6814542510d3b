//! Ten thousand connections that do nothing cost little, and nobody else's place.

use std::time::Duration;

use http::StatusCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;

use crate::alone::is_alone;
use crate::push::{image, push_blob, put};
use crate::site::{MANIFEST, Site, USER, noise};

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

/// How many files this process may have open, once it may have as many as it can.
fn descriptors() -> u64 {
    // The server does that too, but only once it runs.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// In a process of its own, where no other test's memory counts.
#[test]
fn idle_connections_are_cheap() {
    if is_alone("idle::idle_connections_are_cheap") {
        tokio::runtime::Runtime::new().unwrap().block_on(measure());
    }
}

async fn measure() {
    let mut site = Site::with_pushes();
    site.limits.handshake = Duration::from_secs(60);
    let server = site.serve().await;
    let count = usize::try_from((descriptors() / 2).saturating_sub(200)).unwrap().min(10_000);
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
    let user = server.client.logged_in(USER.0, USER.1);
    let layer = push_blob(&user, "team/app", &noise(1 << 20)).await;
    let pushed = put(&user, "/v2/team/app/manifests/1", MANIFEST, image(&[&layer])).await;
    assert_eq!(pushed.status, StatusCode::CREATED, "a push beside them");
    println!("bytes per idle connection: {each_secured} with TLS, {each} before");
    assert!(each_secured < MOST_MEMORY && each < MOST_MEMORY, "{each_secured} bytes with TLS, {each} before");
}
