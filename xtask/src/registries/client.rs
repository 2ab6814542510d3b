//! A small HTTP/1.1 client: one connection, one request at a time, every byte counted.

use std::fs;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Endpoint;
use super::body::Body;

/// A request that gets no answer within this is a failure, and no wait.
const PATIENCE: Duration = Duration::from_secs(120);

/// The largest answer that is kept whole, in bytes.
const ANSWER_AT_MOST: u64 = 64 << 20;

/// Runs `work` on a runtime of its own, on this thread.
pub fn blocking<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Whether somebody answers at `/v2/`: with 200, or with the question who it is.
pub async fn ready(endpoint: &Endpoint) -> Result<()> {
    let mut connection = Connector::new(endpoint)?.connect().await?;
    let answer = connection.send(Method::GET, "/v2/", Ask::default()).await?;
    ensure!(matches!(answer.status, StatusCode::OK | StatusCode::UNAUTHORIZED), "/v2/: {}", answer.status);
    Ok(())
}

/// What makes connections to one registry.
#[derive(Clone)]
pub struct Connector {
    address: String,
    host: HeaderValue,
    tls: Option<TlsConnector>,
    authorization: Option<HeaderValue>,
}

impl Connector {
    /// Reads the authority, and keeps what the login says.
    pub fn new(endpoint: &Endpoint) -> Result<Self> {
        let tls = endpoint.ca.as_deref().map(|ca| {
            let pem = fs::read(ca).with_context(|| format!("cannot read {}", ca.display()))?;
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.map_err(|error| anyhow!("{}: {error:?}", ca.display()))?)?;
            }
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
            Ok::<_, anyhow::Error>(TlsConnector::from(Arc::new(
                config.with_root_certificates(roots).with_no_client_auth(),
            )))
        });
        let authorization = endpoint.login.as_ref().map(|login| {
            let word = STANDARD.encode(format!("{}:{}", login.user, login.password));
            HeaderValue::from_str(&format!("Basic {word}"))
        });
        Ok(Self {
            address: endpoint.address.clone(),
            host: HeaderValue::from_str(&endpoint.address)?,
            tls: tls.transpose()?,
            authorization: authorization.transpose()?,
        })
    }

    /// The same registry, for somebody who says nothing about himself.
    pub fn anonymous(mut self) -> Self {
        self.authorization = None;
        self
    }

    /// A new connection.
    pub async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let sender = match &self.tls {
            None => start(TokioIo::new(stream)).await?,
            Some(tls) => {
                let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
                let name = ServerName::try_from(host.to_owned())?;
                start(TokioIo::new(tls.connect(name, stream).await?)).await?
            }
        };
        Ok(Connection { sender, connector: self.clone() })
    }
}

async fn start<S>(stream: S) -> Result<SendRequest<Body>>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(stream).await?;
    // Ends with the connection; whoever waits for an answer hears of an error.
    tokio::spawn(connection);
    Ok(sender)
}

/// One connection.
pub struct Connection {
    sender: SendRequest<Body>,
    connector: Connector,
}

/// What a request has beside method and path.
#[derive(Default)]
pub struct Ask {
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body; none is an empty one.
    pub body: Option<Body>,
}

impl Ask {
    /// One more header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A body.
    pub fn body(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Where the answer says to go on, as path and query.
    pub fn location(&self) -> Result<String> {
        let location = self.headers.get(LOCATION).context("an answer without Location")?.to_str()?;
        let location: http::Uri = location.parse()?;
        Ok(location.path_and_query().context("a Location without path")?.to_string())
    }

    /// The answer, if its status is the one that was expected.
    pub fn expect(self, status: StatusCode, what: &str) -> Result<Self> {
        if self.status != status {
            let said = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]);
            bail!("{what}: {} and not {status}: {said}", self.status);
        }
        Ok(self)
    }
}

impl Connection {
    /// Gives the connection up, whatever is still on its way, and takes a new one.
    pub async fn renew(&mut self) -> Result<()> {
        *self = self.connector.connect().await?;
        Ok(())
    }

    /// Sends one request; answers as soon as the head of the answer is there.
    pub async fn begin(&mut self, method: Method, path: &str, ask: Ask) -> Result<Response<Incoming>> {
        if self.sender.is_closed() {
            self.renew().await?;
        }
        self.sender.ready().await?;
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.connector.host);
        if let Some(authorization) = &self.connector.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let sent = self.sender.send_request(request.body(ask.body.unwrap_or_default())?);
        let answer = tokio::time::timeout(PATIENCE, sent).await;
        Ok(answer.with_context(|| format!("{path}: no answer after {PATIENCE:?}"))??)
    }

    /// Sends one request and reads the whole answer.
    pub async fn send(&mut self, method: Method, path: &str, ask: Ask) -> Result<Answer> {
        let (head, mut body) = self.begin(method, path, ask).await?.into_parts();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                bytes.extend_from_slice(&data);
                ensure!(bytes.len() as u64 <= ANSWER_AT_MOST, "{path}: an answer of more than {ANSWER_AT_MOST} bytes");
            }
        }
        Ok(Answer { status: head.status, headers: head.headers, body: bytes.into() })
    }

    /// Sends one request and gives each piece of the answer to `taste`; the status must be `expected`.
    pub async fn read(
        &mut self,
        (method, path): (Method, &str),
        ask: Ask,
        expected: StatusCode,
        mut taste: impl FnMut(&[u8]),
    ) -> Result<u64> {
        let (head, mut body) = self.begin(method, path, ask).await?.into_parts();
        ensure!(head.status == expected, "{path}: {} and not {expected}", head.status);
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                read += data.len() as u64;
                taste(&data);
            }
        }
        Ok(read)
    }
}
