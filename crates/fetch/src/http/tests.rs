//! Every way in which an upstream can fail, on the wire.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealock_testkit::corpus;
use sealock_testkit::image::Image;
use sealock_testkit::upstream::{Fault, Login, Upstream};
use sealock_trust::Digest;
use url::Url;

use super::Expected;
use super::client::Http;
use crate::error::FetchError;
use crate::progress::{Event, Progress};
use crate::settings::{Patience, Retry, Settings};
use crate::source::oci::Repository;
use crate::upstream::Failure;

fn settings(upstream: &Upstream) -> Settings {
    let mirror = |host: &str| (host.to_owned(), Url::parse(&upstream.mirror_of(host)).unwrap());
    Settings {
        mirrors: [mirror("quay.io"), mirror("files.example")].into(),
        ca_files: vec![upstream.ca_file()],
        retry: Retry { tries: 3, first_wait: Duration::from_millis(5), longest_wait: Duration::from_millis(20) },
        patience: Patience { connect: Duration::from_secs(5), stall: Duration::from_secs(30), slowest: 0 },
        ..Settings::default()
    }
}

/// For an upstream that falls silent. Only for such a one: where a machine is slow, every upstream does, for so short a time.
fn impatient(upstream: &Upstream) -> Settings {
    let usual = settings(upstream);
    Settings { patience: Patience { stall: Duration::from_millis(400), ..usual.patience }, ..usual }
}

fn http(settings: Settings) -> Http {
    Http::new(settings, Progress::silent()).unwrap()
}

fn app() -> Repository {
    Repository { host: "quay.io".into(), path: "team/app".into() }
}

/// An upstream with `quay.io/team/app:v1`, and its layer's digest and size.
fn with_app() -> (Upstream, Digest, Vec<u8>) {
    let upstream = Upstream::start();
    let image = Image::new("linux/amd64", &[&[("app", &corpus::content(1, 300_000))]]);
    upstream.push("quay.io/team/app:v1", &image);
    let (digest, bytes) = image.blobs[1].clone();
    (upstream, digest, bytes.to_vec())
}

/// The sentence, the port of the test's upstream replaced.
fn sentence(error: &FetchError, upstream: &Upstream) -> String {
    error.to_string().replace(&upstream.authority(), "127.0.0.1:PORT")
}

fn failure(error: &FetchError) -> &Failure {
    match error {
        FetchError::Upstream(error) => &error.failure,
        other => panic!("not an upstream's failure: {other:?}"),
    }
}

async fn manifest_error(upstream: &Upstream, settings: Settings) -> FetchError {
    let error = http(settings).manifest(&app(), "v1").await.unwrap_err();
    assert!(!upstream.authority().is_empty());
    error
}

#[tokio::test]
async fn a_manifest_and_a_blob_arrive_byte_for_byte() {
    let (upstream, digest, bytes) = with_app();
    let http = http(settings(&upstream));
    let fetched = http.manifest(&app(), "v1").await.unwrap();
    assert_eq!(fetched.digest, Digest::sha256(&fetched.bytes));
    let request = http.blob_request(&app(), &digest).unwrap();
    let (got, landed) = http.read(&request, &Expected::exactly(&digest, bytes.len() as u64)).await.unwrap();
    assert_eq!((got, landed.digest), (bytes, digest));
}

#[tokio::test]
async fn statuses_become_sentences() {
    let (upstream, ..) = with_app();
    let mut sentences = Vec::new();
    for status in [401, 403, 404, 418, 500, 503] {
        upstream.heal();
        upstream.fail("/manifests/v1", Fault::Status(status));
        sentences.push(sentence(&manifest_error(&upstream, settings(&upstream)).await, &upstream));
    }
    insta::assert_snapshot!(sentences.join("\n"), @"
    cannot fetch quay.io/team/app:v1 from 127.0.0.1:PORT (mirror of quay.io): 401 Unauthorized, and there are no credentials for this host
    cannot fetch quay.io/team/app:v1 from 127.0.0.1:PORT (mirror of quay.io): 403 Forbidden: these credentials may not read it
    cannot fetch quay.io/team/app:v1 from 127.0.0.1:PORT (mirror of quay.io): 404 Not Found: there is no such thing there
    cannot fetch quay.io/team/app:v1 from 127.0.0.1:PORT (mirror of quay.io): the server answered 418 I'm a teapot, which makes no sense here
    cannot fetch quay.io/team/app:v1 from 127.0.0.1:PORT (mirror of quay.io): the server answered 500 Internal Server Error
    cannot fetch quay.io/team/app:v1 from 127.0.0.1:PORT (mirror of quay.io): the server answered 503 Service Unavailable
    ");
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_does_not_is_not() {
    let (upstream, ..) = with_app();
    for (status, requests) in [(503, 3), (404, 1), (403, 1)] {
        upstream.heal();
        upstream.take_seen();
        upstream.fail("/manifests/v1", Fault::Status(status));
        let error = manifest_error(&upstream, settings(&upstream)).await;
        assert_eq!(upstream.take_seen().len(), requests, "{status}");
        assert_eq!(error.is_environment(), status == 503);
        assert!(error.hint().is_some());
    }
    upstream.heal();
    upstream.fail_times("/manifests/v1", Fault::Status(502), 1);
    upstream.fail_times("/manifests/v1", Fault::Reset, 1);
    http(settings(&upstream)).manifest(&app(), "v1").await.unwrap();
}

#[tokio::test]
async fn retry_after_is_heeded() {
    let (upstream, ..) = with_app();
    let waits = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&waits);
    let progress = Progress::new(move |event| {
        if let Event::Retrying { wait, .. } = event {
            seen.lock().unwrap().push(*wait);
        }
    });
    upstream.fail("/manifests/v1", Fault::RateLimited(1));
    let mut patient = settings(&upstream);
    patient.retry = Retry { tries: 2, longest_wait: Duration::from_secs(5), ..patient.retry };
    let error = Http::new(patient, progress).unwrap().manifest(&app(), "v1").await.unwrap_err();
    assert_eq!(*waits.lock().unwrap(), [Duration::from_secs(1)]);
    assert_eq!(failure(&error), &Failure::RateLimited { retry_after: Some(Duration::from_secs(1)) });
}

#[tokio::test]
async fn nobody_there_no_such_name_and_a_strange_certificate() {
    let (upstream, ..) = with_app();
    let mut sentences = Vec::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut unreachable = settings(&upstream);
    unreachable.mirrors.insert("quay.io".into(), format!("https://{closed}").parse().unwrap());
    let error = manifest_error(&upstream, unreachable).await;
    sentences.push(error.to_string().replace(&closed.to_string(), "127.0.0.1:PORT"));

    let mut nameless = settings(&upstream);
    nameless.mirrors.insert("quay.io".into(), "https://nobody.invalid/quay.io".parse().unwrap());
    sentences.push(manifest_error(&upstream, nameless).await.to_string());

    let untrusting = Settings { ca_files: Vec::new(), ..settings(&upstream) };
    sentences.push(sentence(&manifest_error(&upstream, untrusting).await, &upstream));
    insta::assert_snapshot!(sentences.join("\n"), @"
    cannot fetch quay.io/team/app:v1 from 127.0.0.1:PORT (mirror of quay.io): no connection could be made
    cannot fetch quay.io/team/app:v1 from nobody.invalid (mirror of quay.io): the host name does not resolve
    cannot fetch quay.io/team/app:v1 from 127.0.0.1:PORT (mirror of quay.io): the TLS handshake failed, so the server is not known to be the right one
    ");
}

async fn blob_with(fault: Fault) -> (Upstream, Result<Vec<u8>, FetchError>, Digest) {
    let (upstream, digest, bytes) = with_app();
    let settings = if matches!(fault, Fault::Stall(_)) { impatient(&upstream) } else { settings(&upstream) };
    upstream.fail("/blobs/", fault);
    let result = blob(settings, &digest, bytes.len() as u64).await;
    (upstream, result, digest)
}

async fn blob(settings: Settings, digest: &Digest, size: u64) -> Result<Vec<u8>, FetchError> {
    let http = http(settings);
    let request = http.blob_request(&app(), digest)?;
    http.read(&request, &Expected::exactly(digest, size)).await.map(|(bytes, _)| bytes)
}

#[tokio::test]
async fn bodies_that_lie_are_refused() {
    let mut sentences = Vec::new();
    for fault in [Fault::Flip, Fault::Short(1), Fault::LoginPage] {
        let (upstream, result, digest) = blob_with(fault).await;
        let error = result.unwrap_err();
        assert!(error.is_refusal() && error.code().is_some(), "{error}");
        sentences.push(sentence(&error, &upstream).replace(digest.hex(), "WANTED"));
        assert_eq!(upstream.take_seen().len(), 1, "a lie is not asked for twice");
    }
    insta::with_settings!({filters => vec![("sha256:[0-9a-f]{64}", "sha256:GOT"), ("\\d{6}", "LENGTH")]}, {
        insta::assert_snapshot!(sentences.join("\n"), @"
        cannot fetch quay.io/team/app@sha256:WANTED from 127.0.0.1:PORT (mirror of quay.io): the content there has the digest sha256:GOT, and must have sha256:WANTED
        cannot fetch quay.io/team/app@sha256:WANTED from 127.0.0.1:PORT (mirror of quay.io): it has LENGTH bytes there, and must have LENGTH
        cannot fetch quay.io/team/app@sha256:WANTED from 127.0.0.1:PORT (mirror of quay.io): it has 36 bytes there, and must have LENGTH
        ");
    });
}

#[tokio::test]
async fn a_login_page_is_no_manifest() {
    let (upstream, ..) = with_app();
    upstream.fail("/manifests/v1", Fault::LoginPage);
    let error = manifest_error(&upstream, settings(&upstream)).await;
    insta::assert_snapshot!(sentence(&error, &upstream), @"cannot fetch quay.io/team/app:v1 from 127.0.0.1:PORT (mirror of quay.io): nothing can be made of it: it is no manifest (expected value at line 1 column 1)");
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_broke() {
    let (upstream, digest, bytes) = with_app();
    upstream.fail_times("/blobs/", Fault::Truncate(100_000), 1);
    assert_eq!(blob(settings(&upstream), &digest, bytes.len() as u64).await.unwrap(), bytes);
    let seen = upstream.take_seen();
    let from: u64 =
        seen[1].range.as_deref().unwrap().trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
    assert!(seen.len() == 2 && (1..=100_000).contains(&from), "{seen:?}");
}

#[tokio::test]
async fn without_ranges_it_begins_anew() {
    let (upstream, digest, bytes) = with_app();
    upstream.fail_times("/blobs/", Fault::Truncate(100_000), 1);
    upstream.fail("/blobs/", Fault::NoRange);
    assert_eq!(blob(settings(&upstream), &digest, bytes.len() as u64).await.unwrap(), bytes);
}

#[tokio::test]
async fn always_cut_always_silent_and_too_slow() {
    let (upstream, result, digest) = blob_with(Fault::Truncate(0)).await;
    let mut sentences = vec![sentence(&result.unwrap_err(), &upstream).replace(digest.hex(), "WANTED")];
    let (upstream, result, digest) = blob_with(Fault::Stall(0)).await;
    sentences.push(sentence(&result.unwrap_err(), &upstream).replace(digest.hex(), "WANTED"));

    let (upstream, digest, bytes) = with_app();
    upstream.fail("/blobs/", Fault::Trickle(10, Duration::from_millis(20)));
    let mut demanding = settings(&upstream);
    demanding.patience = Patience { stall: Duration::from_secs(1), slowest: 100_000, ..demanding.patience };
    demanding.retry.tries = 1;
    let http = http(demanding);
    let request = http.blob_request(&app(), &digest).unwrap();
    let error = http.read(&request, &Expected::exactly(&digest, bytes.len() as u64)).await.unwrap_err();
    assert!(error.is_environment());
    sentences.push(sentence(&error, &upstream).replace(digest.hex(), "WANTED"));
    insta::with_settings!({filters => vec![("\\d{6} bytes a", "100000 bytes a"), ("after \\d{1,5} bytes$", "after N bytes"), ("of \\d{6}", "of LENGTH")]}, {
        insta::assert_snapshot!(sentences.join("\n"), @"
        cannot fetch quay.io/team/app@sha256:WANTED from 127.0.0.1:PORT (mirror of quay.io): the answer was cut off after 0 bytes of LENGTH
        cannot fetch quay.io/team/app@sha256:WANTED from 127.0.0.1:PORT (mirror of quay.io): the server sent nothing for 400 ms after 0 bytes
        cannot fetch quay.io/team/app@sha256:WANTED from 127.0.0.1:PORT (mirror of quay.io): the server is too slow: less than 100000 bytes a second after N bytes
        ");
    });
}

#[tokio::test]
async fn unbounded_answers_are_cut() {
    let upstream = Upstream::start();
    upstream.put("files.example/big", vec![0; 10_000]);
    let http = http(settings(&upstream));
    let request = http.file_request(&"https://files.example/big".parse().unwrap());
    let error = http.read(&request, &Expected::at_most(9_999)).await.unwrap_err();
    assert_eq!(failure(&error), &Failure::TooLarge { limit: 9_999 });
    http.read(&request, &Expected::at_most(10_000)).await.unwrap();
}

#[tokio::test]
async fn addresses_of_other_schemes_are_told_and_not_tried_again() {
    let upstream = Upstream::start();
    let http = http(settings(&upstream));
    let request = http.file_request(&"ftp://files.test/x".parse().unwrap());
    let error = http.read(&request, &Expected::at_most(1)).await.unwrap_err();
    insta::assert_snapshot!(error, @"cannot fetch ftp://files.test/x from files.test: nothing can be made of it: only https:// and http:// addresses can be asked");
    assert!(!error.is_environment());
}

#[tokio::test]
async fn redirects_are_followed_but_not_out_of_tls() {
    let upstream = Upstream::start();
    upstream.put("files.example/there", "content");
    upstream.fail("files.example/here", Fault::Redirect(upstream.mirror_of("files.example/there")));
    upstream.fail("files.example/bad", Fault::Redirect("http://127.0.0.1:1/x".into()));
    upstream.fail("files.example/loop", Fault::Redirect(upstream.mirror_of("files.example/loop")));
    let http = http(settings(&upstream));
    let get = |name: &str| http.file_request(&format!("https://files.example/{name}").parse().unwrap());
    let (bytes, _) = http.read(&get("here"), &Expected::at_most(100)).await.unwrap();
    assert_eq!(bytes, b"content");
    let error = http.read(&get("bad"), &Expected::at_most(100)).await.unwrap_err();
    assert_eq!(failure(&error), &Failure::InsecureRedirect);
    let error = http.read(&get("loop"), &Expected::at_most(100)).await.unwrap_err();
    assert!(matches!(failure(&error), Failure::Malformed(_)), "{error}");
}

/// What comes without TLS and without a digest is whatever somebody on the way likes, and would be locked and signed.
#[tokio::test]
async fn a_chart_without_tls_needs_a_digest() {
    let upstream = Upstream::start();
    let http = http(settings(&upstream));
    let index = |url: &str, digest: &str| {
        let index = format!("entries:\n  app:\n    - {{version: 1.0.0, urls: [\"{url}\"]{digest}}}\n");
        upstream.put("files.example/charts/index.yaml", index);
    };
    let digest = format!(", digest: {}", Digest::sha256(b"chart").hex());
    let chart = async || http.chart("https://files.example/charts", "app", "1.0.0").await;
    index("http://elsewhere.example/app.tgz", "");
    assert!(matches!(failure(&chart().await.unwrap_err()), Failure::Malformed(_)));
    for (url, digest) in [("http://elsewhere.example/app.tgz", digest.as_str()), ("app.tgz", "")] {
        index(url, digest);
        chart().await.unwrap();
    }
}

fn config(upstream: &Upstream, text: &str) -> Settings {
    let path = upstream.folder().join("config.json");
    std::fs::write(&path, text.replace("HOST", &upstream.authority())).unwrap();
    Settings { docker_config: Some(path), ..settings(upstream) }
}

#[tokio::test]
async fn credentials_of_docker_login_open_registries() {
    let (user, password) = ("robot".to_owned(), "s3cret".to_owned());
    let good = r#"{"auths":{"HOST":{"auth":"cm9ib3Q6czNjcmV0"}}}"#;
    for login in [Login::Basic { user: user.clone(), password: password.clone() }, Login::Bearer { user, password }] {
        let (upstream, ..) = with_app();
        upstream.require(login);
        let error = http(settings(&upstream)).manifest(&app(), "v1").await.unwrap_err();
        assert_eq!(failure(&error), &Failure::NoCredentials);
        let wrong = config(&upstream, r#"{"auths":{"HOST":{"username":"robot","password":"old"}}}"#);
        let error = http(wrong).manifest(&app(), "v1").await.unwrap_err();
        assert_eq!(failure(&error), &Failure::CredentialsRefused);
        let http = http(config(&upstream, good));
        let fetched = http.manifest(&app(), "v1").await.unwrap();
        upstream.take_seen();
        http.manifest(&app(), &fetched.digest.to_string()).await.unwrap();
        assert_eq!(upstream.take_seen().len(), 1, "the authorization is remembered");
    }
}

/// A registry redirects to `elsewhere`, which asks for credentials: it is not told those of the registry.
#[tokio::test]
async fn who_a_redirect_leads_to_is_told_no_credentials() {
    let ((upstream, ..), (elsewhere, ..)) = (with_app(), with_app());
    for login in [
        Login::Bearer { user: "robot".into(), password: "s3cret".into() },
        Login::Basic { user: "robot".into(), password: "s3cret".into() },
    ] {
        elsewhere.require(login);
        upstream
            .fail("/manifests/v1", Fault::Redirect(format!("{}/v2/quay.io/team/app/manifests/v1", elsewhere.url())));
        let mut settings = config(&upstream, r#"{"auths":{"HOST":{"auth":"cm9ib3Q6czNjcmV0"}}}"#);
        settings.ca_files.push(elsewhere.ca_file());
        let error = http(settings).manifest(&app(), "v1").await.unwrap_err();
        assert_eq!(failure(&error), &Failure::NoCredentials);
        let seen = elsewhere.take_seen();
        assert!(!seen.is_empty() && seen.iter().all(|seen| !seen.authorized), "{seen:?}");
    }
}

/// The password stands in a header, which a redirect to another host loses; an identity token stands in the body.
#[tokio::test]
async fn a_token_service_sends_nobody_elsewhere() {
    let ((upstream, ..), (elsewhere, ..)) = (with_app(), with_app());
    upstream.require(Login::Anonymous);
    upstream.fail("/token", Fault::Redirect(format!("{}/token", elsewhere.url())));
    let mut settings = config(&upstream, r#"{"auths":{"HOST":{"identitytoken":"refresh-me"}}}"#);
    settings.ca_files.push(elsewhere.ca_file());
    http(settings).manifest(&app(), "v1").await.unwrap_err();
    let seen = elsewhere.take_seen();
    assert!(seen.is_empty(), "{seen:?}");
}

#[tokio::test]
async fn anonymous_tokens_are_fetched_where_they_are_wanted() {
    let (upstream, ..) = with_app();
    upstream.require(Login::Anonymous);
    http(settings(&upstream)).manifest(&app(), "v1").await.unwrap();
}

#[tokio::test]
async fn a_token_service_that_fails_is_an_upstream_that_fails() {
    let (upstream, ..) = with_app();
    upstream.require(Login::Anonymous);
    for (fault, settings, passes) in [
        (Fault::Stall(0), impatient(&upstream), true),
        (Fault::Status(503), settings(&upstream), true),
        (Fault::LoginPage, settings(&upstream), false),
    ] {
        upstream.heal();
        upstream.fail("/token", fault);
        let error = http(settings).manifest(&app(), "v1").await.unwrap_err();
        assert_eq!(error.is_environment(), passes, "{error}");
    }
}

#[tokio::test]
async fn a_credential_helper_that_is_missing_or_misnamed_is_named() {
    let (upstream, ..) = with_app();
    upstream.require(Login::Basic { user: "a".into(), password: "b".into() });
    for helper in ["sealock-test-missing", "../evil"] {
        let settings = config(&upstream, &format!(r#"{{"credHelpers":{{"HOST":"{helper}"}}}}"#));
        let error = http(settings).manifest(&app(), "v1").await.unwrap_err();
        assert!(error.to_string().contains(&format!("docker-credential-{helper}")), "{error}");
    }
}

#[tokio::test]
async fn a_credential_helper_is_asked() {
    let (upstream, ..) = with_app();
    upstream.require(Login::Basic { user: "a".into(), password: "b".into() });
    let helper = upstream.folder().join("docker-credential-test");
    std::fs::write(
        &helper,
        "#!/bin/sh\nread -r host\nprintf '{\"ServerURL\":\"%s\",\"Username\":\"a\",\"Secret\":\"b\"}' \"$host\"\n",
    )
    .unwrap();
    std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let settings = config(&upstream, r#"{"credsStore":"test"}"#);
    let settings = Settings { helper_folders: vec![upstream.folder().to_owned()], ..settings };
    http(settings).manifest(&app(), "v1").await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_from_a_bad_upstream() {
    struct Full;
    impl super::Landing for Full {
        fn write(&mut self, _: &[u8]) -> Result<(), FetchError> {
            Err(FetchError::io("write", std::path::Path::new("x"), std::io::ErrorKind::StorageFull.into()))
        }
        fn rewind(&mut self) -> Result<(), FetchError> {
            Ok(())
        }
    }
    let (upstream, digest, bytes) = with_app();
    let http = http(settings(&upstream));
    let request = http.blob_request(&app(), &digest).unwrap();
    let result = http.download(&request, &Expected::exactly(&digest, bytes.len() as u64), Full).await;
    let error = result.err().unwrap();
    assert!(matches!(error, FetchError::Io { .. }) && error.is_environment(), "{error:?}");
    assert!(error.hint().unwrap().contains("make room"));
}

/// A proxy that opens every tunnel to `upstream`, and remembers what was asked for.
async fn proxy(upstream: String) -> (Url, Arc<Mutex<Vec<String>>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            seen.lock().unwrap().push(String::from_utf8(head).unwrap().lines().next().unwrap().to_owned());
            let mut server = tokio::net::TcpStream::connect(&upstream).await.unwrap();
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (url, asked)
}

#[tokio::test]
async fn proxies_are_used_but_not_where_no_proxy_says_so() {
    let (upstream, ..) = with_app();
    let (url, asked) = proxy(upstream.authority()).await;
    let mut proxied = settings(&upstream);
    proxied.mirrors.insert("quay.io".into(), "https://localhost:9/quay.io".parse().unwrap());
    proxied.proxy.https = Some(url);
    http(proxied.clone()).manifest(&app(), "v1").await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["CONNECT localhost:9 HTTP/1.1"]);
    proxied.proxy.no_proxy = Some("example.com,localhost".into());
    let error = http(proxied).manifest(&app(), "v1").await.unwrap_err();
    assert_eq!(failure(&error), &Failure::Unreachable);
    assert_eq!(asked.lock().unwrap().len(), 1);
}
