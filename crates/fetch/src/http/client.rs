//! One request: located, authorized, tried again.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, RANGE};
use reqwest::redirect;
use rustls::pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::download::{Expected, Nowhere};
use super::failure::{self, InsecureRedirect};
use super::mirrors::{self, Located};
use super::names::Names;
use super::retry::Tries;
use crate::auth::{Authority, Scope};
use crate::error::FetchError;
use crate::progress::Progress;
use crate::settings::{ProxySettings, Settings};
use crate::upstream::{Failure, UpstreamError};

/// Where Linux distributions keep the certificate authorities that they trust.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// No single file that is carried is larger.
const FILE_LIMIT: u64 = 64 << 30;

/// The client that all sources share.
pub(crate) struct Http {
    client: reqwest::Client,
    pub(crate) settings: Settings,
    pub(crate) progress: Progress,
    authority: Authority,
}

/// Something wanted, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// For a person: an image reference or a URL.
    pub(crate) wanted: String,
    /// Where it is asked for.
    pub(crate) located: Located,
    /// Media types that are understood.
    pub(crate) accept: Option<&'static str>,
    /// The repository to be read, where it is a registry's.
    pub(crate) scope: Scope,
}

impl Request {
    /// The error that this request ends in.
    pub(crate) fn failed(&self, failure: Failure) -> UpstreamError {
        UpstreamError { wanted: self.wanted.clone(), place: self.located.place(), failure, source: None }
    }

    pub(super) fn broken(&self, failure: Failure, error: reqwest::Error) -> UpstreamError {
        UpstreamError { source: Some(Box::new(error.without_url())), ..self.failed(failure) }
    }
}

impl Request {
    /// The error of a request that got no answer.
    pub(crate) fn not_sent(&self, error: reqwest::Error) -> UpstreamError {
        self.broken(failure::of_request(&error), error)
    }

    /// The error of an answer that is not a success.
    pub(crate) fn refused(&self, status: StatusCode, headers: &http::HeaderMap) -> UpstreamError {
        self.failed(failure::of_status(status, headers))
    }
}

impl Http {
    pub(crate) fn new(settings: Settings, progress: Progress) -> Result<Self, FetchError> {
        let client = build_client(&settings, redirect_policy())?;
        let authority = Authority::new(build_client(&settings, same_host_policy())?, &settings)?;
        Ok(Self { client, settings, progress, authority })
    }

    /// Downloads that may run at the same time.
    pub(crate) fn parallel(&self) -> usize {
        self.settings.parallel.max(1)
    }

    /// The request for `rest` (`manifests/…`, `blobs/…`) of a repository.
    pub(crate) fn registry_request(&self, wanted: &str, host: &str, repository: &str, rest: &str) -> Option<Request> {
        let located = mirrors::registry(&self.settings.mirrors, host, repository, rest)?;
        let asked = located.url.path().strip_prefix("/v2/")?.strip_suffix(rest)?.trim_end_matches('/');
        let scope = Scope::pull(asked);
        Some(Request { wanted: wanted.to_owned(), located, accept: None, scope })
    }

    /// The request for a file.
    pub(crate) fn file_request(&self, real: &url::Url) -> Request {
        let located = mirrors::file(&self.settings.mirrors, real);
        Request { wanted: real.to_string(), located, accept: None, scope: Scope::none() }
    }

    /// Sends until there is an answer that is a success, or one that trying again will not change.
    pub(crate) async fn send(&self, request: &Request) -> Result<reqwest::Response, UpstreamError> {
        let mut tries = Tries::new(self.settings.retry, &self.progress);
        loop {
            match self.send_once(request, 0).await {
                Ok(response) => return Ok(response),
                Err(error) => tries.after(error).await?,
            }
        }
    }

    /// The bytes that a file has. They are read only where the server does not tell beforehand. GET and not HEAD: presigned
    /// addresses allow only what they were signed for.
    pub(crate) async fn length(&self, request: &Request) -> Result<u64, FetchError> {
        if let Some(length) = self.send(request).await?.content_length() {
            return Ok(length);
        }
        let (_, landed) = self.download(request, &Expected::at_most(FILE_LIMIT), Nowhere).await?;
        Ok(landed.size)
    }

    /// Sends once, from byte `from` on; a 401 is answered with credentials where there are some.
    pub(super) async fn send_once(&self, request: &Request, from: u64) -> Result<reqwest::Response, UpstreamError> {
        let known = self.authority.known(request);
        let response = self.send_with(request, from, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return success(request, response);
        }
        if mirrors::authority(response.url()) != mirrors::authority(&request.located.url) {
            // Whoever a redirect leads to does not say where the credentials of the one who was asked are sent.
            return Err(request.refused(response.status(), response.headers()));
        }
        let Some(authorization) = self.authority.answer(request, response.headers()).await? else {
            return Err(request.failed(Failure::NoCredentials));
        };
        let response = self.send_with(request, from, Some(&authorization.header)).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.authority.forget(request);
            let failure = if authorization.personal { Failure::CredentialsRefused } else { Failure::NoCredentials };
            return Err(request.failed(failure));
        }
        success(request, response)
    }

    async fn send_with(
        &self,
        request: &Request,
        from: u64,
        authorization: Option<&HeaderValue>,
    ) -> Result<reqwest::Response, UpstreamError> {
        let mut builder = self.client.get(request.located.url.clone());
        if let Some(accept) = request.accept {
            builder = builder.header(ACCEPT, accept);
        }
        if let Some(value) = authorization {
            builder = builder.header(AUTHORIZATION, value.clone());
        }
        if from > 0 {
            builder = builder.header(RANGE, format!("bytes={from}-"));
        }
        let stall = self.settings.patience.stall;
        match tokio::time::timeout(stall, builder.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(request.not_sent(error)),
            Err(_) => Err(request.failed(Failure::Stalled { waited: stall, received: 0 })),
        }
    }
}

fn success(request: &Request, response: reqwest::Response) -> Result<reqwest::Response, UpstreamError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    Err(request.refused(status, response.headers()))
}

fn build_client(settings: &Settings, redirects: redirect::Policy) -> Result<reqwest::Client, FetchError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| FetchError::Client { source: Box::new(source) })?
        .with_root_certificates(trusted_authorities(&settings.ca_files)?)
        .with_no_client_auth();
    // One connection per download: a single HTTP/2 connection shares one window among all of them.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let builder = reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .http1_only()
        .dns_resolver(Arc::new(Names::default()))
        .connect_timeout(settings.patience.connect)
        .redirect(redirects)
        .user_agent(concat!("sealock/", env!("CARGO_PKG_VERSION")));
    with_proxies(builder, &settings.proxy)?.build().map_err(|source| FetchError::Client { source: Box::new(source) })
}

fn redirect_policy() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let left_tls =
            attempt.url().scheme() != "https" && attempt.previous().iter().any(|url| url.scheme() == "https");
        if left_tls {
            attempt.error(InsecureRedirect)
        } else if attempt.previous().len() > 10 {
            attempt.error("more than 10 redirects")
        } else {
            attempt.follow()
        }
    })
}

/// A token service is sent an identity token in the body, which a redirect may carry to any host.
fn same_host_policy() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let origin = attempt.previous().last().map(url::Url::origin);
        if origin.is_some_and(|origin| origin == attempt.url().origin()) && attempt.previous().len() <= 10 {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

fn with_proxies(builder: reqwest::ClientBuilder, proxy: &ProxySettings) -> Result<reqwest::ClientBuilder, FetchError> {
    let direct = proxy.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
    // Otherwise the client would look into the environment.
    let mut builder = builder.no_proxy();
    let wrong = |source: reqwest::Error| FetchError::Client { source: Box::new(source) };
    if let Some(url) = &proxy.http {
        builder = builder.proxy(reqwest::Proxy::http(url.clone()).map_err(wrong)?.no_proxy(direct.clone()));
    }
    if let Some(url) = &proxy.https {
        builder = builder.proxy(reqwest::Proxy::https(url.clone()).map_err(wrong)?.no_proxy(direct));
    }
    Ok(builder)
}

/// The system's authorities, Mozilla's where the system keeps none, and the caller's own.
fn trusted_authorities(own: &[std::path::PathBuf]) -> Result<rustls::RootCertStore, FetchError> {
    let mut store = rustls::RootCertStore::empty();
    match SYSTEM_BUNDLES.iter().find_map(|path| fs::read(path).ok()) {
        Some(pem) => {
            // Systems carry a few certificates that rustls cannot use; these are not worth a failure.
            store.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
        }
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    for path in own {
        add_own(&mut store, path)?;
    }
    Ok(store)
}

fn add_own(store: &mut rustls::RootCertStore, path: &Path) -> Result<(), FetchError> {
    let pem = fs::read(path).map_err(|source| FetchError::io("read the certificate authority", path, source))?;
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let wrong = |reason: String| FetchError::CaFile { path: path.to_owned(), reason };
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
        found = true;
    }
    if found {
        Ok(())
    } else {
        Err(FetchError::CaFile { path: path.to_owned(), reason: "no certificate in it".to_owned() })
    }
}
