//! Which certificate a server shows to whoever connects.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::certificates::Facts;

const PATIENCE: Duration = Duration::from_secs(5);

/// The certificate that the server at `address` shows, which must be for `name` and hold now by the authority `ca` (PEM; of several the first one).
///
/// # Errors
/// Nobody listens, or what it shows does not hold.
pub fn certificate(address: SocketAddr, name: &'static str, ca: &str) -> io::Result<Facts> {
    let invalid = |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).map_err(|error| invalid(&error))?;
    roots.add(ca).map_err(|error| invalid(&error))?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name).map_err(|error| invalid(&error))?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| invalid(&error))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // A server that asks for the client's own may hang up after this: it has shown what it has.
    while connection.peer_certificates().is_none() {
        connection.complete_io(&mut stream)?;
    }
    let shown = connection.peer_certificates().and_then(|chain| chain.first()).map(|first| Facts::of_der(first));
    shown.and_then(Result::ok).ok_or_else(|| invalid(&"it shows no certificate"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use jiff::Timestamp;
    use rustls::server::WebPkiClientVerifier;
    use rustls::{ServerConfig, ServerConnection};
    use rustls_pki_types::PrivateKeyDer;

    use super::*;
    use crate::certificates::{Authority, Issued, Purpose};

    /// A server as etcd is one: whoever does not show a certificate is not served. Answers its address.
    fn server(authority: &Authority, issued: &Issued) -> SocketAddr {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut connection = ServerConnection::new(config.clone()).unwrap();
                while connection.is_handshaking() && connection.complete_io(&mut client).is_ok() {}
            }
        });
        address
    }

    #[test]
    fn a_server_that_serves_nobody_still_shows_its_certificate() {
        let now = Timestamp::now();
        let authority = Authority::generate("etcd-ca", now).unwrap();
        let issued = authority.issue(Purpose::Server, "cp1", &["localhost".to_owned()], (now, 365)).unwrap();
        let address = server(&authority, &issued);
        let shown = certificate(address, "localhost", authority.certificate()).unwrap();
        assert_eq!(shown.serial, Facts::of(&issued.certificate).unwrap().serial);

        let other = Authority::generate("etcd-ca", now).unwrap();
        assert!(certificate(address, "localhost", other.certificate()).is_err(), "it is another authority's");
        assert!(certificate(address, "kubernetes", authority.certificate()).is_err(), "it is for another name");
    }

    #[test]
    fn what_has_ended_does_not_count() {
        let (now, long_ago) = (Timestamp::now(), Timestamp::from_second(1_000_000_000).unwrap());
        let authority = Authority::generate("etcd-ca", now).unwrap();
        let issued = authority.issue(Purpose::Server, "cp1", &["localhost".to_owned()], (long_ago, 365)).unwrap();
        let address = server(&authority, &issued);
        let error = certificate(address, "localhost", authority.certificate()).unwrap_err();
        assert!(error.to_string().contains("expired"), "{error}");
    }
}
