//! A client that sends what it is told, and believes nothing but the site's authority.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    tls: TlsConnector,
    /// What it says of itself with each request.
    authorization: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, ca: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config =
            builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
        Self { address, tls: TlsConnector::from(Arc::new(config)), authorization: None }
    }

    /// The same, logged in.
    pub(crate) fn logged_in(&self, name: &str, password: &str) -> Self {
        let secret = base64::prelude::BASE64_STANDARD.encode(format!("{name}:{password}"));
        Self { authorization: Some(format!("Basic {secret}")), ..self.clone() }
    }

    /// The value of the header with which it logs in.
    pub(crate) fn authorization(&self) -> &str {
        self.authorization.as_deref().unwrap_or_default()
    }

    pub(crate) async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        self.tls.connect(ServerName::try_from("registry.test").unwrap(), stream).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[]).await
    }

    pub(crate) async fn head(&self, path: &str) -> Answer {
        self.send(Method::HEAD, path, &[]).await
    }

    pub(crate) async fn range(&self, path: &str, range: &str) -> Answer {
        self.send(Method::GET, path, &[("range", range)]).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.carry(method, path, headers, Bytes::new()).await
    }

    /// Sends a request with a body.
    pub(crate) async fn carry(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let answer = async {
            let (parts, body) = self.try_send((method, path), headers, body.into()).await;
            Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
        };
        tokio::time::timeout(Duration::from_secs(60), answer).await.expect("no answer in 60 s")
    }

    /// Begins a download, and takes what comes only as it is asked for.
    pub(crate) async fn begin(&self, path: &str) -> Download {
        let (parts, body) = self.try_send((Method::GET, path), &[], Bytes::new()).await;
        assert_eq!(parts.status, StatusCode::OK);
        Download(body)
    }

    async fn try_send(
        &self,
        (method, path): (Method, &str),
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> (Parts, Incoming) {
        let stream = self.connect().await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "registry.test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let response = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
        response.into_parts()
    }
}

/// A download that has begun.
pub(crate) struct Download(Incoming);

impl Download {
    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        let frame = tokio::time::timeout(Duration::from_secs(60), self.0.frame()).await.expect("no piece in 60 s")?;
        Some(frame.unwrap().into_data().unwrap().to_vec())
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of the first error (OCI distribution specification, "Error Codes").
    pub(crate) fn error(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}
