//! The life of a server: start, new releases, new certificates, the end.

use std::time::Duration;

use http::StatusCode;
use sealock_server::control::ControlError;
use sealock_server::revoked::RevokedError;
use sealock_server::{ServeError, Server};
use sealock_store::StoreError;
use sealock_trust::{FileKey, KeySet, Scheme, Signer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::alone::is_alone;
use crate::site::{Content, Running, Site, layer};

fn publish_image(site: &Site, name: &str, size: usize) {
    let mut content = Content::default();
    let image = content.image(&[layer(size)]);
    content.name(name, &image);
    site.publish(content);
}

#[tokio::test]
async fn a_new_release_is_served_when_the_control_socket_says_so() {
    let site = Site::new();
    let server = site.serve().await;
    assert_eq!(site.reload().await.unwrap(), "no release yet");
    publish_image(&site, "quay.io/x/y:1", 1);
    assert_eq!(site.reload().await.unwrap(), "release 1");
    assert_eq!(server.client.head("/v2/quay.io/x/y/manifests/1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_new_release_is_found_without_being_told() {
    let site = Site::new();
    let server = site.serve().await;
    publish_image(&site, "quay.io/x/y:1", 1);
    let found = async {
        while server.client.head("/v2/quay.io/x/y/manifests/1").await.status != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), found).await.expect("the release was not found in 30 s");
}

#[tokio::test]
async fn a_damaged_release_leaves_the_one_before() {
    let mut site = Site::new();
    // It must not find the next release while that is whole.
    site.upkeep.look_every = Duration::from_secs(3600);
    publish_image(&site, "quay.io/x/y:1", 1);
    let server = site.serve().await;
    publish_image(&site, "quay.io/x/z:1", 1);
    let file = site.path("store/releases/2.json");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "{}").unwrap();
    let error = site.reload().await.unwrap_err();
    assert!(matches!(&error, ControlError::Refused(problem) if problem.contains("2.json")), "{error:?}");
    assert_eq!(server.client.head("/v2/quay.io/x/y/manifests/1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_release_of_another_site_is_not_served() {
    let site = Site::new();
    publish_image(&site, "quay.io/x/y:1", 1);
    let stranger = FileKey::generate(Scheme::Ed25519).unwrap();
    let mut config = site.config();
    config.site_keys = KeySet::new([stranger.public_key().clone()], 1).unwrap();
    let error = Server::bind(config).await.unwrap_err();
    assert!(
        matches!(error, ServeError::Content(RevokedError::Store(StoreError::ReleaseSignature { .. }))),
        "{error:?}"
    );
    assert!(error.is_refusal());
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let site = Site::new();
    let server = site.serve().await;
    let mut config = site.config();
    config.control_socket = None;
    config.listen = vec![server.address];
    let error = Server::bind(config).await.unwrap_err();
    assert!(matches!(error, ServeError::PortInUse { address, .. } if address == server.address), "{error:?}");
}

#[tokio::test]
async fn two_servers_do_not_share_a_control_socket_but_a_dead_one_leaves_its_place() {
    let site = Site::new();
    // What kill -9 leaves behind: a socket that nobody answers.
    drop(std::os::unix::net::UnixListener::bind(site.path("control.sock")).unwrap());
    assert!(matches!(site.reload().await, Err(ControlError::NotRunning { .. })));
    let mut server = site.serve().await;
    let error = Server::bind(site.config()).await.unwrap_err();
    assert!(matches!(error, ServeError::AlreadyRunning { .. }), "{error:?}");
    server.ask_to_stop();
    server.stopped().await;
    assert!(!site.path("control.sock").exists());
    assert!(matches!(site.reload().await, Err(ControlError::NotRunning { .. })));
}

#[tokio::test]
async fn a_certificate_and_a_key_that_do_not_fit_are_named() {
    let site = Site::new();
    let old_key = std::fs::read(site.path("tls.key")).unwrap();
    site.issue_certificate();
    std::fs::write(site.path("tls.key"), old_key).unwrap();
    let error = Server::bind(site.config()).await.unwrap_err();
    assert!(error.to_string().contains("cannot be used together"), "{error}");
    std::fs::write(site.path("tls.crt"), "nothing").unwrap();
    let error = Server::bind(site.config()).await.unwrap_err();
    assert!(matches!(error, ServeError::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn sighup_brings_a_new_certificate() {
    if !is_alone("life::sighup_brings_a_new_certificate") {
        return;
    }
    let site = Site::new();
    let server = site.serve().await;
    let shown = || async { server.client.connect().await.unwrap().get_ref().1.peer_certificates().unwrap()[0].clone() };
    let before = shown().await;
    site.issue_certificate();
    let pid = rustix::process::getpid();
    let changed = async {
        loop {
            rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
            if shown().await != before {
                return;
            }
        }
    };
    timeout(Duration::from_secs(30), changed).await.expect("the certificate stays the same");
}

/// Begins a download, and reads only its first bytes.
async fn begin_download(server: &Running) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let manifest = server.client.get("/v2/quay.io/x/y/manifests/1").await.json();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    let mut stream = server.client.connect().await.unwrap();
    let request = format!("GET /v2/quay.io/x/y/blobs/{digest} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 64]).await.unwrap();
    stream
}

#[tokio::test]
async fn a_stop_lets_downloads_end_and_takes_no_new_ones() {
    let size = 30_000_000;
    let site = Site::new();
    publish_image(&site, "quay.io/x/y:1", size);
    let mut server = site.serve().await;
    let mut stream = begin_download(&server).await;
    let idle = server.client.connect().await.unwrap();
    server.ask_to_stop();
    let refused = async { while server.client.connect().await.is_ok() {} };
    timeout(Duration::from_secs(10), refused).await.expect("new connections are taken after the stop");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > size);
    timeout(Duration::from_secs(10), server.stopped()).await.expect("an idle connection keeps the server");
    drop(idle);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let mut site = Site::new();
    site.limits.grace = Duration::from_millis(300);
    publish_image(&site, "quay.io/x/y:1", 30_000_000);
    let mut server = site.serve().await;
    let stream = begin_download(&server).await;
    server.ask_to_stop();
    timeout(Duration::from_secs(10), server.stopped()).await.expect("a client that does not read keeps the server");
    drop(stream);
}
