use std::path::Path;

use ::http::Request;
use jiff::SignedDuration;
use sealock_testkit::issuer::Issuer;
use serde_json::{Value, json};

use super::credentials::Credentials;
use super::*;

const HEAD: &str = "apiVersion: sealock/v1alpha1\nkind: Registry\nmetadata: {name: registry.test}\nspec:\n";

/// A folder with a registry's file and what that names.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new(spec: &str) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write("registry.yaml", &format!("{HEAD}{spec}"));
        files
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    fn files(&self) -> AccessFiles {
        let path = |name| self.folder.path().join(name);
        AccessFiles { registry: path("registry.yaml"), token_key: path("token.key") }
    }

    fn open(&self) -> Access {
        Access::open(Some(self.files()), Clock::default()).unwrap()
    }

    fn error(&self) -> String {
        let error = Access::open(Some(self.files()), Clock::default()).unwrap_err();
        error.to_string().replace(&*self.folder.path().to_string_lossy(), "DIR")
    }
}

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

fn head(path: &str, authorization: Option<&str>) -> Parts {
    let mut request = Request::builder().uri(path).header("host", "registry.test:5000");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    request.body(()).unwrap().into_parts().0
}

async fn judge(access: &Access, authorization: Option<&str>) -> Result<Principal, Challenge> {
    access.judge_at(&head("/v2/", authorization), now()).await
}

async fn who(access: &Access, authorization: &str) -> Result<String, String> {
    let judged = judge(access, Some(authorization)).await;
    judged.map(|principal| principal.name().to_owned()).map_err(|challenge| challenge.detail().to_owned())
}

/// The token of whoever sends `authorization`, for `scope`, and what it allows.
async fn token(access: &Access, authorization: Option<&str>, scope: &str) -> (String, String) {
    let path = format!("/token?service=registry.test&scope={scope}");
    let answer = token::answer_at(access, &head(&path, authorization), b"", now()).await;
    let body = body_of(answer.response).await;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (format!("Bearer {}", text("token")), text("scope"))
}

async fn body_of(response: ::http::Response<crate::http::Body>) -> Value {
    use http_body_util::BodyExt;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

fn robot(name: &str, secret: &str, expires: &str, rest: &str) -> String {
    let digest = sealock_trust::Digest::sha256(secret.as_bytes());
    format!("    - {{name: {name}, secret: '{digest}', expires: {expires}{rest}}}\n")
}

fn with_robot(grants: &str) -> Files {
    let robot = robot("ci", "slk_1", "2026-12-01T00:00:00Z", "");
    Files::new(&format!("  anonymous: {{pull: [public/**]}}\n  robots:\n{robot}  grants:\n{grants}"))
}

const PUSHER: &str = "    - {subjects: [robot/ci], repositories: [team/**], actions: [pull, push]}\n";

#[tokio::test]
async fn without_a_file_everybody_pulls_and_nobody_does_anything_else() {
    let access = Access::open(None, Clock::default()).unwrap();
    let principal = judge(&access, None).await.unwrap();
    assert!(access.may(&principal, "any/thing", Action::Pull));
    for action in [Action::Push, Action::Delete, Action::Catalog] {
        assert!(!access.may(&principal, "any/thing", action), "{action}");
    }
    assert!(access.demand_at_the_door(&principal).is_ok());
    assert!(judge(&access, Some("Basic YTpi")).await.is_err());
}

#[tokio::test]
async fn what_no_grant_allows_is_refused() {
    let access = with_robot(PUSHER).open();
    let anybody = judge(&access, None).await.unwrap();
    let robot = judge(&access, Some(&Credentials::basic("robot+ci", "slk_1"))).await.unwrap();
    assert_eq!(robot.name(), "robot/ci");
    assert!(access.may(&anybody, "public/a", Action::Pull) && access.may(&robot, "public/a", Action::Pull));
    assert!(access.may(&robot, "team/a", Action::Push) && access.may(&robot, "team/a/b", Action::Pull));
    assert!(!access.may(&anybody, "team/a", Action::Pull));
    assert!(!access.may(&robot, "team/a", Action::Delete));
    assert!(!access.may(&robot, "team/a", Action::Catalog));
    assert!(!access.may(&robot, "public/a", Action::Push));
    assert!(!access.may(&robot, "team", Action::Pull));
}

#[tokio::test]
async fn a_robot_with_another_secret_or_beyond_its_time_is_refused() {
    let access = with_robot(PUSHER).open();
    assert_eq!(
        who(&access, &Credentials::basic("robot+ci", "slk_2")).await.unwrap_err(),
        "the name or the password is wrong"
    );
    assert_eq!(
        who(&access, &Credentials::basic("robot+cd", "slk_1")).await.unwrap_err(),
        "the name or the password is wrong"
    );
    let late = now() + SignedDuration::from_hours(24 * 30);
    let head = head("/v2/", Some(&Credentials::basic("robot+ci", "slk_1")));
    let refusal = access.judge_at(&head, late).await.unwrap_err();
    assert_eq!(refusal.detail(), "the robot account ci has expired at 2026-12-01T00:00:00Z");
    assert_eq!(refusal.word(), "expired");
}

#[tokio::test]
async fn people_log_in_with_the_password_of_their_hash() {
    let files = Files::new(
        "  htpasswd: users\n  grants:\n    - {subjects: ['user/*'], repositories: ['**'], actions: [pull]}\n",
    );
    files.write("users", &format!("anna:{}\n", bcrypt::hash("secret", 4).unwrap()));
    let access = files.open();
    assert_eq!(who(&access, &Credentials::basic("anna", "secret")).await.unwrap(), "user/anna");
    for (name, password) in
        [("anna", "other"), ("ben", "secret"), ("anna", ""), ("anna", "secret\0"), ("anna", &"a".repeat(100))]
    {
        assert!(who(&access, &Credentials::basic(name, password)).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_guesser_is_held_up_and_who_is_known_is_not() {
    let files = Files::new("  htpasswd: users\n");
    files.write("users", &format!("anna:{}\n", bcrypt::hash("secret", 4).unwrap()));
    let access = files.open();
    who(&access, &Credentials::basic("anna", "secret")).await.unwrap();
    let mut refusals = Vec::new();
    for guess in 0..40 {
        refusals.push(who(&access, &Credentials::basic("anna", &format!("guess-{guess}"))).await.unwrap_err());
    }
    assert!(refusals.contains(&"too many logins at once".to_owned()));
    assert_eq!(who(&access, &Credentials::basic("anna", "secret")).await.unwrap(), "user/anna");
}

#[tokio::test]
async fn a_token_allows_what_was_asked_for_and_is_granted() {
    let access = with_robot(PUSHER).open();
    let login = Credentials::basic("robot+ci", "slk_1");
    let (bearer, scope) =
        token(&access, Some(&login), "repository:team/a:pull,push,delete+repository:other:push").await;
    assert_eq!(scope, "repository:team/a:pull,push");
    let robot = judge(&access, Some(&bearer)).await.unwrap();
    assert_eq!(robot.name(), "robot/ci");
    assert!(access.may(&robot, "team/a", Action::Push));
    assert!(!access.may(&robot, "team/b", Action::Push));
    let refusal = access.demand(&robot, "team/b", Action::Push).unwrap_err().respond();
    let asked = refusal.headers()["www-authenticate"].to_str().unwrap();
    insta::assert_snapshot!(asked, @r#"Bearer realm="https://registry.test:5000/token",service="registry.test",scope="repository:team/b:pull,push",error="insufficient_scope""#);
    // What a password could not do either, no other token will.
    assert_eq!(access.demand(&robot, "elsewhere", Action::Push).unwrap_err().respond().status(), 403);
}

#[tokio::test]
async fn somebody_without_a_name_gets_a_token_for_what_anybody_may_do() {
    let access = with_robot(PUSHER).open();
    let (bearer, scope) = token(&access, None, "repository:public/a:pull,push+repository:team/a:pull").await;
    assert_eq!(scope, "repository:public/a:pull");
    let anybody = judge(&access, Some(&bearer)).await.unwrap();
    assert!(access.demand_at_the_door(&anybody).is_ok());
    assert!(access.may(&anybody, "public/a", Action::Pull) && !access.may(&anybody, "team/a", Action::Pull));
    assert_eq!(access.demand(&anybody, "team/a", Action::Push).unwrap_err().respond().status(), 401);
}

#[tokio::test]
async fn a_form_gets_a_token_too() {
    let access = with_robot(PUSHER).open();
    let ask = async |form: &str| {
        let mut head = head("/token", None);
        head.method = ::http::Method::POST;
        let answer = token::answer_at(&access, &head, form.as_bytes(), now()).await;
        (answer.response.status().as_u16(), answer.outcome.ok())
    };
    let login = "username=robot%2Bci&password=slk_1&service=registry.test&scope=repository:team/a:pull";
    assert_eq!(ask(&format!("grant_type=password&{login}")).await, (200, Some("robot/ci".into())));
    assert_eq!(ask(&format!("grant_type=password&{}", login.replace("slk_1", "x"))).await, (401, None));
    assert_eq!(ask(&format!("grant_type=refresh_token&{login}")).await, (400, None));
    assert_eq!(ask(login).await, (400, None));
    assert_eq!(ask("grant_type=password&username=a").await, (400, None));
    assert_eq!(ask(&format!("grant_type=password&{}", login.replace("registry.test", "other"))).await, (400, None));
    assert_eq!(
        ask(&format!("grant_type=password&{}", login.replace("repository:team/a:pull", "nonsense"))).await,
        (400, None)
    );
}

#[tokio::test]
async fn a_token_of_ours_is_no_reason_for_another_one() {
    let access = with_robot(PUSHER).open();
    let (bearer, _) = token(&access, Some(&Credentials::basic("robot+ci", "slk_1")), "repository:team/a:pull").await;
    assert_eq!(token(&access, Some(&bearer), "repository:team/a:pull").await.1, "");
}

#[tokio::test]
async fn whoever_is_taken_out_of_the_file_loses_their_tokens_at_once() {
    let files = with_robot(PUSHER);
    let access = files.open();
    let (bearer, _) = token(&access, Some(&Credentials::basic("robot+ci", "slk_1")), "repository:team/a:pull").await;
    assert_eq!(who(&access, &bearer).await.as_deref(), Ok("robot/ci"));
    files.write("registry.yaml", &format!("{HEAD}  robots: nonsense\n"));
    assert!(access.reload().is_err());
    assert_eq!(who(&access, &bearer).await.as_deref(), Ok("robot/ci"));
    files.write("registry.yaml", &format!("{HEAD}  robots: []\n"));
    access.reload().unwrap();
    assert_eq!(who(&access, &bearer).await.unwrap_err(), "robot/ci is not known any more");
}

#[tokio::test]
async fn tokens_hold_beyond_a_restart_and_not_beyond_their_time() {
    let files = with_robot(PUSHER);
    let (bearer, _) =
        token(&files.open(), Some(&Credentials::basic("robot+ci", "slk_1")), "repository:team/a:pull").await;
    let access = files.open();
    assert_eq!(who(&access, &bearer).await.as_deref(), Ok("robot/ci"));
    for hours in [1, 366 * 24, -1, -366 * 24] {
        let then = now() + SignedDuration::from_hours(hours);
        assert!(access.judge_at(&head("/v2/", Some(&bearer)), then).await.is_err(), "{hours}");
    }
}

/// A provider and two clusters of one issuer name, as kubeadm makes them.
fn with_issuers(corp: &Issuer, one: &Issuer, two: &Issuer) -> Files {
    let files = Files::new(
        "  anonymous: {pull: []}
  oidc:
    - {name: corp, issuer: 'https://idp', keys: corp.json, usernameClaim: email}
  serviceAccounts:
    - {cluster: plant-7, issuer: 'https://kubernetes', keys: one.json}
    - {cluster: plant-8, issuer: 'https://kubernetes', keys: two.json}
  grants:
    - {subjects: [oidc-group/corp/dev], repositories: [team/**], actions: [push]}
    - {subjects: [service-account/plant-7/shop/*], repositories: [shop/**], actions: [pull]}
",
    );
    for (name, issuer) in [("corp.json", corp), ("one.json", one), ("two.json", two)] {
        files.write(name, &issuer.jwks().to_string());
    }
    files
}

fn claims(issuer: &str, rest: &Value) -> Value {
    let second = now().as_second();
    let mut claims = json!({"iss": issuer, "aud": "registry.test", "iat": second, "exp": second + 3600});
    for (name, value) in rest.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[tokio::test]
async fn people_of_a_provider_are_known_with_their_groups() {
    let (corp, one, two) = (Issuer::p256("c"), Issuer::rsa("1"), Issuer::p256("2"));
    let access = with_issuers(&corp, &one, &two).open();
    let jwt = corp.token(&claims("https://idp", &json!({"sub": "7", "email": "anna@corp", "groups": ["dev", "all"]})));
    let anna = judge(&access, Some(&format!("Bearer {jwt}"))).await.unwrap();
    assert_eq!(anna.name(), "oidc/corp/anna@corp");
    assert!(access.may(&anna, "team/a", Action::Push) && !access.may(&anna, "shop/a", Action::Pull));
    // docker knows names and passwords only; the groups go on with the token.
    let (bearer, scope) = token(&access, Some(&Credentials::basic("token", &jwt)), "repository:team/a:push").await;
    assert_eq!(scope, "repository:team/a:push");
    assert!(access.may(&judge(&access, Some(&bearer)).await.unwrap(), "team/a", Action::Push));
    let nameless = corp.token(&claims("https://idp", &json!({"sub": "7"})));
    assert_eq!(
        who(&access, &format!("Bearer {nameless}")).await.unwrap_err(),
        "the token's claim \"email\" is missing, or of no use"
    );
}

#[tokio::test]
async fn service_accounts_are_known_by_their_clusters_keys() {
    let (corp, one, two) = (Issuer::p256("c"), Issuer::rsa("1"), Issuer::p256("2"));
    let access = with_issuers(&corp, &one, &two).open();
    let account = claims("https://kubernetes", &json!({"sub": "system:serviceaccount:shop:web"}));
    let by = |issuer: &Issuer| format!("Bearer {}", issuer.token(&account));
    assert_eq!(who(&access, &by(&one)).await.as_deref(), Ok("service-account/plant-7/shop/web"));
    assert_eq!(who(&access, &by(&two)).await.as_deref(), Ok("service-account/plant-8/shop/web"));
    let web = judge(&access, Some(&by(&one))).await.unwrap();
    assert!(access.may(&web, "shop/a", Action::Pull));
    assert!(!access.may(&judge(&access, Some(&by(&two))).await.unwrap(), "shop/a", Action::Pull));
    // A provider's key vouches for no service account, and none at all for itself.
    assert_eq!(who(&access, &by(&corp)).await.unwrap_err(), "the token's key \"c\" is none of its issuer's");
    let forged = Issuer::p256("c").token(&claims("sealock", &json!({"sub": "user/anna", "access": []})));
    assert!(who(&access, &format!("Bearer {forged}")).await.is_err());
    let stranger = corp.token(&claims("https://elsewhere", &json!({"sub": "x"})));
    assert_eq!(
        who(&access, &format!("Bearer {stranger}")).await.unwrap_err(),
        "the token's issuer \"https://elsewhere\" is not believed here"
    );
}

#[tokio::test]
async fn a_token_of_ours_holds_no_longer_than_what_it_was_given_for() {
    let (corp, one, two) = (Issuer::p256("c"), Issuer::rsa("1"), Issuer::p256("2"));
    let access = with_issuers(&corp, &one, &two).open();
    let jwt = corp.token(&claims("https://idp", &json!({"email": "anna", "exp": now().as_second() - 20})));
    let head = head("/token", Some(&format!("Bearer {jwt}")));
    let answer = token::answer_at(&access, &head, b"", now()).await;
    assert_eq!(body_of(answer.response).await["expires_in"], 40);
}

#[tokio::test]
async fn what_a_client_is_asked_for_is_what_the_site_wants() {
    let bearer = with_robot(PUSHER).open();
    let anybody = judge(&bearer, None).await.unwrap();
    let asked = |challenge: Challenge| challenge.respond().headers()["www-authenticate"].to_str().unwrap().to_owned();
    insta::assert_snapshot!(asked(bearer.demand_at_the_door(&anybody).unwrap_err()), @r#"Bearer realm="https://registry.test:5000/token",service="registry.test""#);
    insta::assert_snapshot!(asked(bearer.demand(&anybody, "team/a", Action::Pull).unwrap_err()), @r#"Bearer realm="https://registry.test:5000/token",service="registry.test",scope="repository:team/a:pull""#);
    insta::assert_snapshot!(asked(judge(&bearer, Some("Bearer x")).await.unwrap_err()), @r#"Bearer realm="https://registry.test:5000/token",service="registry.test",error="invalid_request""#);

    let robot = robot("ci", "slk_1", "2026-12-01T00:00:00Z", "");
    let basic = Files::new(&format!("  login: {{challenge: basic}}\n  robots:\n{robot}")).open();
    let anybody = judge(&basic, None).await.unwrap();
    assert!(basic.demand_at_the_door(&anybody).is_err());
    insta::assert_snapshot!(asked(basic.demand(&anybody, "team/a", Action::Push).unwrap_err()), @r#"Basic realm="registry.test",charset="UTF-8""#);
}

#[tokio::test]
async fn repositories_are_listed_for_whom_a_grant_says_so() {
    let lister = "    - {subjects: [robot/ci], repositories: [team/**], actions: [catalog]}\n";
    let access = with_robot(lister).open();
    let login = Credentials::basic("robot+ci", "slk_1");
    let robot = judge(&access, Some(&login)).await.unwrap();
    assert!(access.demand_catalog(&robot).is_ok());
    assert!(access.may(&robot, "team/a", Action::Catalog) && !access.may(&robot, "public/a", Action::Catalog));
    let anybody = judge(&access, None).await.unwrap();
    let asked = access.demand_catalog(&anybody).unwrap_err().respond();
    assert!(asked.headers()["www-authenticate"].to_str().unwrap().contains(r#"scope="registry:catalog:*""#));
    let (narrow, _) = token(&access, Some(&login), "repository:team/a:pull").await;
    let narrow = judge(&access, Some(&narrow)).await.unwrap();
    assert_eq!(access.demand_catalog(&narrow).unwrap_err().respond().status(), 401);
    let (wide, scope) = token(&access, Some(&login), "registry:catalog:*").await;
    assert_eq!(scope, "registry:catalog:*");
    let wide = judge(&access, Some(&wide)).await.unwrap();
    assert!(access.demand_catalog(&wide).is_ok() && access.may(&wide, "team/a", Action::Catalog));

    let open = Files::new("  anonymous: {pull: [public/**], catalog: true}\n").open();
    let anybody = judge(&open, None).await.unwrap();
    assert!(open.demand_catalog(&anybody).is_ok());
    assert!(open.may(&anybody, "public/a", Action::Catalog) && !open.may(&anybody, "team/a", Action::Catalog));
}

#[tokio::test]
async fn a_host_that_is_none_is_not_sent_back() {
    let access = with_robot(PUSHER).open();
    let mut head = head("/v2/", None);
    head.headers.insert("host", "evil\"/,x".parse().unwrap());
    let anybody = access.judge_at(&head, now()).await.unwrap();
    let response = access.demand_at_the_door(&anybody).unwrap_err().respond();
    let asked = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(asked.starts_with(r#"Bearer realm="https://registry.test/token""#), "{asked}");
}

#[tokio::test]
async fn who_asks_too_often_or_for_too_much_at_a_time_waits() {
    let robot = robot("ci", "slk_1", "2026-12-01T00:00:00Z", "");
    let access = Files::new(&format!("  limits: {{atATime: 2}}\n  robots:\n{robot}")).open();
    let login = Credentials::basic("robot+ci", "slk_1");
    let held = [judge(&access, Some(&login)).await.unwrap(), judge(&access, Some(&login)).await.unwrap()];
    let refusal = judge(&access, Some(&login)).await.unwrap_err().respond();
    assert_eq!((refusal.status().as_u16(), &refusal.headers()["retry-after"]), (429, &HeaderValue::from_static("1")));
    assert_eq!(body_of(refusal).await["errors"][0]["code"], "TOOMANYREQUESTS");
    assert!(judge(&access, None).await.is_ok());
    drop(held);
    assert!(judge(&access, Some(&login)).await.is_ok());

    let access = Files::new("  limits: {requestsPerSecond: 1, burst: 3}\n").open();
    let mut admitted = 0;
    for _ in 0..20 {
        admitted += usize::from(judge(&access, None).await.is_ok());
    }
    assert!((3..20).contains(&admitted), "{admitted}");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let mut all = String::new();
    let mut error = |spec: &str| all.push_str(&format!("{}\n", Files::new(spec).error()));
    error("  anonymus: {pull: []}\n");
    error("  anonymous: {pull: ['a b']}\n");
    error("  grants:\n    - {subjects: [anna], repositories: ['**'], actions: [pull]}\n");
    error("  grants:\n    - {subjects: [user/anna], repositories: ['**'], actions: [fly]}\n");
    error("  grants:\n    - {subjects: [robot/ci], repositories: ['**'], actions: [pull]}\n");
    error(&format!(
        "  robots:\n{}  grants:\n    - {{subjects: [robot/bulider], repositories: ['**'], actions: [pull]}}\n",
        robot("builder", "x", "2026-12-01T00:00:00Z", "")
    ));
    error(&format!("  robots:\n{}", robot("C I", "x", "2026-12-01T00:00:00Z", "")));
    error(&format!("  robots:\n{0}{0}", robot("ci", "x", "2026-12-01T00:00:00Z", "")));
    error("  robots:\n    - {name: ci, secret: plain, expires: 2026-12-01T00:00:00Z}\n");
    error("  login: {tokenSeconds: 86400}\n");
    error("  limits: {atATime: 0}\n");
    error("  htpasswd: none\n");
    error("  oidc:\n    - {name: corp, issuer: sealock, keys: k}\n");
    error("  rules:\n    - {repositories: [a], quota: much}\n");
    insta::assert_snapshot!("refused_files", all);
}

#[test]
fn a_file_comes_to_what_is_shown() {
    let robot = robot("ci", "slk_1", "2026-12-01T00:00:00Z", ", grants: [{repositories: [team/**], actions: [push]}]");
    let files = Files::new(&format!("  robots:\n{robot}  rules:\n    - {{repositories: ['team/**']}}\n"));
    let summary = summary(&files.files().registry).unwrap();
    insta::assert_json_snapshot!("summary", summary);
}

#[test]
fn a_file_can_be_written_again_as_it_was_read() {
    let text = format!("{HEAD}  robots:\n{}", robot("ci", "slk_1", "2026-12-01T00:00:00Z", ""));
    let read = |text: &str| sealock_bundle::document::load_document::<document::RegistryDocument>(Path::new("r"), text);
    let document = read(&text).unwrap();
    let json = serde_json::to_string(&document).unwrap();
    assert_eq!(read(&json).unwrap(), document);
}
