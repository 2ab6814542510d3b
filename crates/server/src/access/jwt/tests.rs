use aws_lc_rs::hmac;
use proptest::prelude::*;
use sealock_testkit::issuer::Issuer;
use serde_json::{Value, json};

use super::jwks::MOST_KEYS;
use super::*;

const NOW: &str = "2026-11-26T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn claims() -> Value {
    let now = now().as_second();
    json!({"iss": "https://idp", "aud": ["other", "registry"], "iat": now, "nbf": now, "exp": now + 600, "sub": "anna"})
}

fn keys(issuer: &Issuer) -> Jwks {
    Jwks::parse(issuer.jwks().to_string().as_bytes()).unwrap()
}

fn judge(token: &str, keys: &Jwks, now: Timestamp) -> Result<String, TokenError> {
    let token = Unverified::parse(token)?;
    let claims = token.verify(keys)?;
    claims.read::<Registered>()?.check("https://idp", "registry", now)?;
    let claims: Value = claims.read()?;
    Ok(claims["sub"].as_str().unwrap().to_owned())
}

#[test]
fn tokens_by_either_kind_of_key_are_believed() {
    for issuer in [Issuer::p256("1"), Issuer::rsa("1")] {
        assert_eq!(judge(&issuer.token(&claims()), &keys(&issuer), now()).as_deref(), Ok("anna"));
    }
}

#[test]
fn no_algorithm_but_that_of_the_key_is_believed() {
    let (p256, rsa) = (Issuer::p256("1"), Issuer::rsa("1"));
    for (issuer, algorithm) in [(&p256, "RS256"), (&rsa, "ES256"), (&rsa, "RS384"), (&rsa, "PS256"), (&p256, "ES384")] {
        let token = issuer.token_with(&json!({"alg": algorithm, "kid": "1"}), &claims());
        assert_eq!(judge(&token, &keys(issuer), now()), Err(TokenError::Algorithm(algorithm.into())));
    }
    for algorithm in ["none", "None", "HS256", "", "ES256K", "es256"] {
        let token = p256.token_with(&json!({"alg": algorithm, "kid": "1"}), &claims());
        assert_eq!(judge(&token, &keys(&p256), now()), Err(TokenError::Algorithm(algorithm.into())));
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let issuer = Issuer::rsa("1");
    let [header, payload] =
        [json!({"alg": "HS256", "kid": "1"}), claims()].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{payload}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &issuer.public_der()), message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
    assert_eq!(judge(&token, &keys(&issuer), now()), Err(TokenError::Algorithm("HS256".into())));
}

#[test]
fn a_token_without_signature_or_with_anothers_is_refused() {
    let (issuer, other) = (Issuer::p256("1"), Issuer::p256("1"));
    let token = issuer.token(&claims());
    let bare = &token[..=token.rfind('.').unwrap()];
    assert_eq!(judge(bare, &keys(&issuer), now()), Err(TokenError::Signature));
    assert_eq!(judge(&other.token(&claims()), &keys(&issuer), now()), Err(TokenError::Signature));
}

#[test]
fn keys_that_a_token_brings_or_names_are_not_looked_at() {
    let (issuer, thief) = (Issuer::p256("1"), Issuer::p256("thief"));
    let jwk = thief.jwks()["keys"][0].clone();
    let token =
        thief.token_with(&json!({"alg": "ES256", "kid": "thief", "jwk": jwk, "jku": "https://thief"}), &claims());
    assert_eq!(judge(&token, &keys(&issuer), now()), Err(TokenError::Key("thief".into())));
    let token = thief.token_with(&json!({"alg": "ES256", "jwk": jwk}), &claims());
    assert_eq!(judge(&token, &keys(&issuer), now()), Err(TokenError::Signature));
}

#[test]
fn what_a_token_demands_to_be_understood_is_not() {
    let issuer = Issuer::p256("1");
    let token = issuer.token_with(&json!({"alg": "ES256", "kid": "1", "crit": ["b64"], "b64": false}), &claims());
    assert_eq!(judge(&token, &keys(&issuer), now()), Err(TokenError::Critical));
}

#[test]
fn a_token_of_another_time_issuer_or_audience_is_refused() {
    let issuer = Issuer::p256("1");
    let keys = keys(&issuer);
    let changed = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        judge(&issuer.token(&claims), &keys, now())
    };
    let (second, year) = (now().as_second(), 366 * 24 * 3600);
    assert_eq!(changed("iss", "https://other".into()), Err(TokenError::Issuer("https://other".into())));
    assert_eq!(changed("aud", "other".into()), Err(TokenError::Audience("other".into())));
    assert_eq!(changed("aud", json!([])), Err(TokenError::Audience(String::new())));
    assert_eq!(changed("aud", "registry".into()).as_deref(), Ok("anna"));
    assert!(matches!(changed("exp", (second - 61).into()), Err(TokenError::Expired(_))));
    assert!(matches!(changed("exp", (second - year).into()), Err(TokenError::Expired(_))));
    assert!(matches!(changed("exp", i64::MIN.into()), Err(TokenError::Expired(_))));
    assert!(matches!(changed("nbf", (second + 61).into()), Err(TokenError::NotYet(_))));
    assert!(matches!(changed("iat", (second + year).into()), Err(TokenError::NotYet(_))));
    // Clocks differ by a little, and some issuers like fractions.
    assert_eq!(changed("exp", (second - 30).into()).as_deref(), Ok("anna"));
    assert_eq!(changed("nbf", (second as f64 + 30.5).into()).as_deref(), Ok("anna"));
    assert!(matches!(changed("exp", "soon".into()), Err(TokenError::Malformed(_))));
    assert!(matches!(changed("exp", Value::Null), Err(TokenError::Malformed(_))));
}

#[test]
fn a_clock_that_is_a_year_off_believes_nothing() {
    let issuer = Issuer::p256("1");
    let token = issuer.token(&claims());
    let year = SignedDuration::from_hours(366 * 24);
    assert!(matches!(judge(&token, &keys(&issuer), now() + year), Err(TokenError::Expired(_))));
    assert!(matches!(judge(&token, &keys(&issuer), now() - year), Err(TokenError::NotYet(_))));
}

#[test]
fn what_is_no_token_is_refused() {
    for text in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "e30.e30.",
        "WyJFUzI1NiJd.e30.",
        "eyJhbGciOiJFUzI1NiJ9.W10.",
        "e30.e30.e30.e30",
        "\u{e9}.b.c",
        "eyJhbGciOiJFUzI1NiJ9=.e30.AA",
    ] {
        assert!(matches!(Unverified::parse(text), Err(TokenError::Malformed(_))), "{text}");
    }
    assert_eq!(Unverified::parse(&"a".repeat(LONGEST + 1)).unwrap_err(), TokenError::TooLong);
}

#[test]
fn a_key_set_is_read_strictly() {
    let jwks = |keys: Value| Jwks::parse(json!({"keys": keys}).to_string().as_bytes()).map(|set| set.len());
    let key = Issuer::p256("1").jwks()["keys"][0].clone();
    assert_eq!(jwks(json!([key])).unwrap(), 1);
    assert!(matches!(jwks(json!([key, key])), Err(JwksError::Twice(_))));
    assert!(matches!(jwks(json!([])), Err(JwksError::Empty)));
    assert!(matches!(jwks(json!(vec![json!({"kty": "X"}); MOST_KEYS + 1])), Err(JwksError::TooLong)));
    assert!(matches!(Jwks::parse(b"{}"), Err(JwksError::Json(_))));
    let with = |name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        jwks(json!([key]))
    };
    assert!(matches!(with("use", "enc".into()), Err(JwksError::Empty)));
    assert!(matches!(with("alg", "HS256".into()), Err(JwksError::Empty)));
    assert!(matches!(with("alg", "RS256".into()), Err(JwksError::Value(_))));
    assert!(matches!(with("x", "AA".into()), Err(JwksError::Value(_))));
    let weak = json!({"kty": "RSA", "kid": "w", "n": URL_SAFE_NO_PAD.encode([255; 128]), "e": "AQAB"});
    assert!(matches!(jwks(json!([weak])), Err(JwksError::Value(_))));
}

proptest! {
    #[test]
    fn no_text_brings_the_parser_down(text in "(?s).{0,200}|[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        let keys = Jwks::of_p256("1", &[4; 65]);
        if let Ok(token) = Unverified::parse(&text) {
            let _ = token.unverified_issuer();
            prop_assert!(token.verify(&keys).is_err());
        }
    }

    #[test]
    fn no_change_of_a_token_is_believed(place in any::<prop::sample::Index>(), byte in b'!'..=b'~') {
        let issuer = Issuer::p256("1");
        let token = issuer.token(&claims());
        let mut changed = token.clone().into_bytes();
        let place = place.index(changed.len());
        changed[place] = byte;
        let changed = String::from_utf8(changed).unwrap();
        prop_assert!(changed == token || judge(&changed, &keys(&issuer), now()).is_err());
    }
}
