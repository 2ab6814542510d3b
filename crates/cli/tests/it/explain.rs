//! `sealock explain`

use crate::sandbox::Sandbox;

#[test]
fn a_code_is_explained_whatever_its_case() {
    insta::assert_snapshot!(Sandbox::new().see(&["explain", "sig"]));
}

#[test]
fn an_unknown_code_is_a_usage_error() {
    insta::assert_snapshot!(Sandbox::new().see(&["explain", "NONSENSE"]), @"
    exit code: 2
    --- stderr
    error: there is no reason code `NONSENSE`
      Hint: `sealock explain` lists them all.
    ");
}

#[test]
fn programs_get_every_code_as_json() {
    let text = Sandbox::new().must(&["explain", "-o", "json"]);
    let all: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    let codes: Vec<&str> = all.iter().map(|one| one["code"].as_str().expect("a code")).collect();
    for code in ["DIGEST", "SIG", "TRAILING", "AUDIENCE", "ROLLBACK", "LEAK", "HOST_KEY", "NOT_IN_RELEASE"] {
        assert!(codes.contains(&code), "{code} is missing of {codes:?}");
    }
    for one in &all {
        for field in ["meaning", "cause", "remedy"] {
            assert!(one[field].as_str().is_some_and(|text| text.len() > 10), "{one}");
        }
    }
}
