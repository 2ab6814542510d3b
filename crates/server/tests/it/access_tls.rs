//! Client certificates: who shows one that the site believes is known, and nobody has to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::access::Guarded;
use crate::alone::is_alone;

/// An authority for client certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "clients");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for the holder `name`, from year to year.
    fn issue(&self, name: &str, (from, to): (i32, i32)) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![SanType::URI("spiffe://plant-7/web".try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        (certificate.der().clone(), key)
    }
}

fn connector(guarded: &Guarded, shown: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(guarded.site.path("ca.crt")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = match shown {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    TlsConnector::from(Arc::new(config))
}

/// The status of an answer; none where the connection is not taken.
async fn ask(connector: &TlsConnector, address: SocketAddr, path: &str) -> Option<StatusCode> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect(ServerName::try_from("registry.test").unwrap(), stream).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: registry.test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    // In TLS 1.3 a client learns only now that its certificate was refused.
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await.unwrap().ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

const MANIFEST: &str = "/v2/team/app/manifests/1";

fn guarded(authority: &Authority, name: &str, subject: &str) -> Guarded {
    let guarded = Guarded::new(&format!(
        "  clientCertificates: {{ca: clients.crt, name: {name}}}
  grants: [{{subjects: ['{subject}'], repositories: [team/**], actions: [pull]}}]
"
    ));
    std::fs::write(guarded.site.path("clients.crt"), &authority.pem).unwrap();
    guarded
}

#[tokio::test]
async fn the_holder_of_a_certificate_is_known_by_its_name() {
    let authority = Authority::new();
    for (name, subject) in [("commonName", "certificate/node-*"), ("uri", "certificate/spiffe://plant-7/web")] {
        let guarded = guarded(&authority, name, subject);
        let server = guarded.site.serve().await;
        let known = connector(&guarded, Some(authority.issue("node-7", (2020, 2099))));
        assert_eq!(ask(&known, server.address, MANIFEST).await, Some(StatusCode::OK));
        assert_eq!(ask(&known, server.address, "/v2/").await, Some(StatusCode::OK));
        // On a resumed session too.
        assert_eq!(ask(&known, server.address, MANIFEST).await, Some(StatusCode::OK));
        assert_eq!(ask(&known, server.address, "/v2/other/app/manifests/1").await, Some(StatusCode::FORBIDDEN));
        let nobody = connector(&guarded, None);
        assert_eq!(ask(&nobody, server.address, MANIFEST).await, Some(StatusCode::UNAUTHORIZED));
        assert_eq!(ask(&nobody, server.address, "/v2/public/app/manifests/1").await, Some(StatusCode::OK));
    }
}

#[tokio::test]
async fn another_name_gets_nothing_by_its_certificate() {
    let authority = Authority::new();
    let guarded = guarded(&authority, "commonName", "certificate/node-*");
    let server = guarded.site.serve().await;
    for name in ["person", "node-7/x", ""] {
        let other = connector(&guarded, Some(authority.issue(name, (2020, 2099))));
        let status = ask(&other, server.address, MANIFEST).await;
        assert!(matches!(status, Some(StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED)), "{name}: {status:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_time_is_refused() {
    let authority = Authority::new();
    let guarded = guarded(&authority, "commonName", "certificate/*");
    let server = guarded.site.serve().await;
    for shown in [
        Authority::new().issue("node-7", (2020, 2099)),
        authority.issue("node-7", (2000, 2001)),
        authority.issue("node-7", (2090, 2099)),
    ] {
        let stranger = connector(&guarded, Some(shown));
        assert_eq!(ask(&stranger, server.address, MANIFEST).await, None);
    }
}

#[tokio::test]
async fn a_session_that_goes_on_does_not_outlive_its_authority() {
    if !is_alone("access_tls::a_session_that_goes_on_does_not_outlive_its_authority") {
        return;
    }
    let authority = Authority::new();
    let guarded = guarded(&authority, "commonName", "certificate/*");
    let server = guarded.site.serve().await;
    let known = connector(&guarded, Some(authority.issue("node-7", (2020, 2099))));
    assert_eq!(ask(&known, server.address, MANIFEST).await, Some(StatusCode::OK));
    std::fs::write(guarded.site.path("clients.crt"), Authority::new().pem).unwrap();
    let gone = async {
        loop {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
            if ask(&known, server.address, MANIFEST).await != Some(StatusCode::OK) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("the old authority is still believed");
}
