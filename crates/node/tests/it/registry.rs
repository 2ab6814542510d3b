//! A registry over TLS on loopback, with faults.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivatePkcs8KeyDer;
use sealock_node::request;
use sealock_node::step::Artifact;
use sealock_trust::Digest;

#[derive(Clone)]
pub(crate) enum Answer {
    Whole(Vec<u8>),
    /// Promises all bytes and sends only so many.
    Cut(Vec<u8>, usize),
    Status(u16),
}

pub(crate) struct Registry {
    pub(crate) endpoint: request::Registry,
    content: Arc<Mutex<BTreeMap<String, Vec<Answer>>>>,
    asked: Arc<AtomicUsize>,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::start_as("registry.test")
    }

    /// The same under another name, or under its address.
    pub(crate) fn start_as(name: &str) -> Self {
        let issued = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = request::Registry {
            name: format!("{name}:{}", listener.local_addr().unwrap().port()),
            address: "127.0.0.1".to_owned(),
            ca: issued.cert.pem(),
        };
        let content = Arc::new(Mutex::new(BTreeMap::new()));
        let asked = Arc::new(AtomicUsize::new(0));
        let (served, counter, config) = (Arc::clone(&content), Arc::clone(&asked), Arc::new(config));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, counter, config) = (Arc::clone(&served), Arc::clone(&counter), Arc::clone(&config));
                thread::spawn(move || {
                    let connection = ServerConnection::new(config).unwrap();
                    answer(StreamOwned::new(connection, stream), &served, &counter)
                });
            }
        });
        Self { endpoint, content, asked }
    }

    /// The answers to one path, in turn; the last one stays.
    pub(crate) fn serve(&self, path: String, answers: Vec<Answer>) {
        self.content.lock().unwrap().insert(path, answers);
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Serves an artifact with one layer, which is answered with `layer`.
    pub(crate) fn artifact(&self, repository: &str, content: &[u8], layer: Vec<Answer>) -> Artifact {
        let digest = Digest::sha256(content);
        let manifest = format!(
            r#"{{"schemaVersion":2,"layers":[{{"mediaType":"application/octet-stream","digest":"{digest}","size":{}}}]}}"#,
            content.len()
        );
        let artifact = Artifact { repository: repository.to_owned(), digest: Digest::sha256(manifest.as_bytes()) };
        self.serve(
            format!("/v2/{repository}/manifests/{}", artifact.digest),
            vec![Answer::Whole(manifest.into_bytes())],
        );
        self.serve(format!("/v2/{repository}/blobs/{digest}"), layer);
        artifact
    }
}

fn answer(
    mut stream: StreamOwned<ServerConnection, std::net::TcpStream>,
    content: &Mutex<BTreeMap<String, Vec<Answer>>>,
    asked: &AtomicUsize,
) -> std::io::Result<()> {
    loop {
        let mut path = String::new();
        let mut lines = BufReader::new(&mut stream).lines();
        while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("GET ") {
                path = rest.split(' ').next().unwrap_or_default().to_owned();
            }
        }
        if path.is_empty() {
            return Ok(());
        }
        asked.fetch_add(1, Ordering::SeqCst);
        let answer = match content.lock().unwrap().get_mut(&path) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => Answer::Status(404),
        };
        let (status, body, sent) = match &answer {
            Answer::Whole(body) => (200, body.as_slice(), body.len()),
            Answer::Cut(body, sent) => (200, body.as_slice(), *sent),
            Answer::Status(status) => (*status, &b""[..], 0),
        };
        write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len())?;
        stream.write_all(&body[..sent])?;
        stream.flush()?;
        if sent < body.len() {
            stream.conn.send_close_notify();
            return stream.flush();
        }
    }
}
