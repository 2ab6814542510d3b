//! Who may pull what, as clients find out: challenges, tokens, refusals.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sealock_server::access::credentials::Credentials;
use sealock_server::access::robot::{hash_password, new_secret};
use sealock_server::{ServeError, Server};
use sealock_testkit::issuer::Issuer;
use serde_json::json;
use tokio::time::timeout;

use crate::alone::is_alone;
use crate::client::Answer;
use crate::site::{Content, Running, Site, layer};

/// A site with an image for everybody and one for a team, and a robot that may pull the latter.
pub(crate) struct Guarded {
    pub(crate) site: Site,
    pub(crate) login: String,
    pub(crate) secret: String,
    /// The layer of either image.
    pub(crate) blob: String,
}

impl Guarded {
    pub(crate) fn new(more: &str) -> Self {
        let mut site = Site::new();
        let mut content = Content::default();
        let image = content.image(&[layer(1000)]);
        content.name("public/app:1", &image);
        content.name("team/app:1", &image);
        let blob = content.blobs[1].clone();
        site.publish(content);
        let (secret, digest) = new_secret().unwrap();
        site.write_access(&format!(
            "  anonymous: {{pull: [public/**]}}
  robots:
    - name: ci
      secret: '{digest}'
      expires: 9999-01-01T00:00:00Z
      grants: [{{repositories: [team/**], actions: [pull, push]}}]
{more}"
        ));
        let login = Credentials::basic("robot+ci", &secret);
        Self { site, login, secret, blob: sealock_trust::Digest::sha256(&blob).to_string() }
    }
}

/// What the server answers to a form.
async fn post(server: &Running, content_type: &str, form: impl Into<Bytes>) -> Answer {
    let stream = server.client.connect().await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("/token").header("host", "registry.test").header("content-type", content_type);
    let response = sender.send_request(request.body(Full::new(form.into())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn get(server: &Running, path: &str, authorization: &str) -> Answer {
    server.client.send(Method::GET, path, &[("authorization", authorization)]).await
}

/// The parameter `name` of a challenge.
fn parameter<'a>(challenge: &'a str, name: &str) -> &'a str {
    let (_, rest) = challenge.split_once(&format!("{name}=\"")).unwrap();
    rest.split_once('"').unwrap().0
}

#[tokio::test]
async fn a_client_finds_its_way_as_docker_does() {
    let guarded = Guarded::new("");
    let server = guarded.site.serve().await;
    let door = server.client.get("/v2/").await;
    assert_eq!((door.status, door.error().as_str()), (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"));
    let refused = server.client.get("/v2/team/app/manifests/1").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let challenge = refused.header("www-authenticate");
    assert_eq!(parameter(challenge, "realm"), "https://registry.test/token");
    let (service, scope) = (parameter(challenge, "service"), parameter(challenge, "scope"));
    let answer = get(&server, &format!("/token?service={service}&scope={scope}&account=robot"), &guarded.login).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"));
    let token = answer.json();
    assert_eq!((&token["expires_in"], &token["scope"]), (&json!(300), &json!("repository:team/app:pull")));
    assert_eq!(token["token"], token["access_token"]);
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    assert_eq!(get(&server, "/v2/", &bearer).await.status, StatusCode::OK);
    assert_eq!(get(&server, "/v2/team/app/manifests/1", &bearer).await.status, StatusCode::OK);
    assert_eq!(get(&server, "/v2/team/other/manifests/1", &bearer).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_anybody_may_pull_needs_no_login() {
    let guarded = Guarded::new("");
    let server = guarded.site.serve().await;
    assert_eq!(server.client.get("/v2/public/app/manifests/1").await.status, StatusCode::OK);
    assert_eq!(server.client.head(&format!("/v2/public/app/blobs/{}", guarded.blob)).await.status, StatusCode::OK);
    assert_eq!(server.client.get("/healthz").await.status, StatusCode::OK);
    // But who says to be somebody is taken at their word.
    assert_eq!(get(&server, "/v2/public/app/manifests/1", "Bearer x").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn no_route_tells_a_stranger_what_is_there() {
    let guarded = Guarded::new("");
    let server = guarded.site.serve().await;
    for repository in ["team/app", "team/absent"] {
        for path in [
            "manifests/1",
            "manifests/2",
            "tags/list",
            &format!("blobs/{}", guarded.blob),
            &format!("referrers/{}", guarded.blob),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let answer = server.client.send(method, &format!("/v2/{repository}/{path}"), &[]).await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{repository}/{path}");
            }
        }
    }
    // A blob that anybody may have from one repository is not to be had from another.
    let answer = server.client.get(&format!("/v2/team/app/blobs/{}", guarded.blob)).await;
    assert_eq!(answer.error(), "UNAUTHORIZED");
}

#[tokio::test]
async fn whoever_is_known_and_may_not_is_told_so() {
    let guarded = Guarded::new("");
    let server = guarded.site.serve().await;
    let answer = get(&server, "/v2/secret/app/manifests/1", &guarded.login).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::FORBIDDEN, "DENIED"));
    assert_eq!(answer.json()["errors"][0]["detail"], "robot/ci may not pull at secret/app");
    let answer = get(&server, "/v2/team/app/manifests/1", &Credentials::basic("robot+ci", "x")).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"));
}

#[tokio::test]
async fn a_form_gets_a_token_as_containerd_asks() {
    let guarded = Guarded::new("");
    let server = guarded.site.serve().await;
    let form = format!(
        "grant_type=password&client_id=containerd&service=registry.test&scope=repository%3Ateam%2Fapp%3Apull&username=robot%2Bci&password={}",
        guarded.secret
    );
    let answer = post(&server, FORM, form.clone()).await;
    assert_eq!(answer.json()["scope"], "repository:team/app:pull");
    let wrong = post(&server, FORM, form.replace(&guarded.secret, "x")).await;
    assert_eq!(
        (wrong.status, wrong.header("www-authenticate")),
        (StatusCode::UNAUTHORIZED, r#"Basic realm="registry.test",charset="UTF-8""#)
    );
    for (content_type, body) in
        [(FORM, vec![b'a'; 70_000]), ("application/json", b"{}".to_vec()), (FORM, b"%ff%00=&&&=".to_vec())]
    {
        assert_eq!(post(&server, content_type, body).await.status, StatusCode::BAD_REQUEST);
    }
    let answer = server.client.send(Method::DELETE, "/token", &[]).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn people_and_providers_log_in() {
    let mut guarded = Guarded::new("");
    let issuer = Issuer::rsa("1");
    std::fs::write(guarded.site.path("users"), format!("anna:{}\n", hash_password("secret").unwrap())).unwrap();
    std::fs::write(guarded.site.path("keys.json"), issuer.jwks().to_string()).unwrap();
    guarded.site.write_access(
        "  htpasswd: users
  anonymous: {pull: []}
  serviceAccounts: [{cluster: plant-7, issuer: 'https://kubernetes', keys: keys.json}]
  grants: [{subjects: ['user/*', 'service-account/plant-7/shop/*'], repositories: [team/**], actions: [pull]}]
",
    );
    let server = guarded.site.serve().await;
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({"iss": "https://kubernetes", "aud": ["registry.test"], "exp": now + 600, "iat": now,
        "sub": "system:serviceaccount:shop:web", "kubernetes.io": {"namespace": "shop"}});
    let jwt = issuer.token(&claims);
    for authorization in
        [Credentials::basic("anna", "secret"), format!("Bearer {jwt}"), Credentials::basic("token", &jwt)]
    {
        assert_eq!(get(&server, "/v2/team/app/manifests/1", &authorization).await.status, StatusCode::OK);
    }
    assert_eq!(
        get(&server, "/v2/team/app/manifests/1", &Credentials::basic("anna", "other")).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let guarded = Guarded::new("  limits: {requestsPerSecond: 1, burst: 2}\n");
    let server = guarded.site.serve().await;
    let refused = async {
        loop {
            let answer = server.client.get("/v2/public/app/manifests/1").await;
            if answer.status != StatusCode::OK {
                return answer;
            }
        }
    };
    let answer = timeout(Duration::from_secs(30), refused).await.expect("no request is refused");
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    assert_eq!(answer.error(), "TOOMANYREQUESTS");
    assert_eq!(get(&server, "/v2/team/app/manifests/1", &guarded.login).await.status, StatusCode::OK);
    assert_eq!(server.client.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_file_that_makes_no_sense_keeps_the_server_from_starting() {
    let mut guarded = Guarded::new("");
    guarded.site.write_access("  grants: [{subjects: [robot/absent], repositories: ['**'], actions: [pull]}]\n");
    let error = Server::bind(guarded.site.config()).await.unwrap_err();
    assert!(matches!(error, ServeError::Access(_)) && error.is_refusal(), "{error:?}");
    std::fs::remove_file(guarded.site.path("registry.yaml")).unwrap();
    let error = Server::bind(guarded.site.config()).await.unwrap_err();
    assert!(error.is_environment(), "{error:?}");
}

#[tokio::test]
async fn sighup_brings_a_new_policy() {
    if !is_alone("access::sighup_brings_a_new_policy") {
        return;
    }
    let mut guarded = Guarded::new("");
    let server = guarded.site.serve().await;
    assert_eq!(get(&server, "/v2/team/app/manifests/1", &guarded.login).await.status, StatusCode::OK);
    guarded.site.write_access("  anonymous: {pull: []}\n");
    let gone = async {
        loop {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
            if get(&server, "/v2/team/app/manifests/1", &guarded.login).await.status == StatusCode::UNAUTHORIZED {
                return;
            }
        }
    };
    timeout(Duration::from_secs(30), gone).await.expect("the policy stays the same");
    assert_eq!(server.client.get("/v2/public/app/manifests/1").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn logins_and_refusals_stand_in_the_log() {
    let mut guarded = Guarded::new("");
    guarded.site.pushed = Some(sealock_store::pushed::Settings { headroom: 0, ..Default::default() });
    let server = guarded.site.serve().await;
    let token = get(&server, "/token?service=registry.test&scope=repository:team/app:pull", &guarded.login).await;
    assert_eq!(token.status, StatusCode::OK);
    let wrong = Credentials::basic("robot+ci", "slk_wrong");
    assert_eq!(get(&server, "/v2/team/app/manifests/1", &wrong).await.status, StatusCode::UNAUTHORIZED);
    let found = audited(&guarded, 2).await;
    assert_eq!((found[0].0.as_str(), found[0].1.as_deref()), ("login", Some("robot/ci")));
    assert_eq!((found[1].0.as_str(), found[1].1.as_deref()), ("refused", None));
    assert_eq!(
        (found[1].2["path"].as_str(), found[1].2["address"].as_str()),
        ("/v2/team/app/manifests/1", "127.0.0.1")
    );
    assert!(found[1].2.contains_key("why"), "{found:?}");
}

#[tokio::test]
async fn a_login_by_password_is_one_record_and_not_one_a_request() {
    let mut guarded = Guarded::new("");
    guarded.site.pushed = Some(sealock_store::pushed::Settings { headroom: 0, ..Default::default() });
    let server = guarded.site.serve().await;
    assert_eq!(get(&server, "/v2/", &guarded.login).await.status, StatusCode::OK);
    assert_eq!(get(&server, "/v2/team/app/manifests/1", &guarded.login).await.status, StatusCode::OK);
    let token = get(&server, "/token?service=registry.test&scope=repository:team/app:pull", &guarded.login).await;
    let token: serde_json::Value = serde_json::from_slice(&token.body).unwrap();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    assert_eq!(get(&server, "/v2/", &bearer).await.status, StatusCode::OK);
    assert_eq!(get(&server, "/v2/", "Basic AAAA").await.status, StatusCode::UNAUTHORIZED);
    let found = audited(&guarded, 3).await;
    let seen: Vec<_> =
        found.iter().map(|(event, who, facts)| (&event[..], who.as_deref(), &facts["path"][..])).collect();
    let robot = Some("robot/ci");
    assert_eq!(seen, [("login", robot, "/v2/"), ("login", robot, "/token"), ("refused", None, "/v2/")]);
}

type Audited = (String, Option<String>, std::collections::BTreeMap<String, String>);

/// The records of logins and refusals, once there are `enough`.
async fn audited(guarded: &Guarded, enough: usize) -> Vec<Audited> {
    let told = async {
        loop {
            let mut found = Vec::new();
            let store = guarded.site.store();
            let collect = |record: sealock_store::pushed::Record| {
                if let sealock_store::pushed::Operation::Audit { event, facts, .. } = record.operation {
                    found.push((event, record.principal, facts));
                }
            };
            store.pushed_records(collect).unwrap();
            if found.len() >= enough {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), told).await.expect("fewer records")
}
