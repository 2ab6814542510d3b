use bytes::Bytes;
use proptest::prelude::*;
use sealock_testkit::cosign::{self, Cosign};
use sealock_testkit::image::{Image, MANIFEST};
use serde_json::{Value, json};

use super::*;

const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const SPDX: &str = "application/spdx+json";

fn written(yaml: Value) -> Written {
    serde_json::from_value(yaml).unwrap()
}

fn rules(all: &Value) -> Rules {
    let all: Vec<Written> = all.as_array().unwrap().iter().cloned().map(written).collect();
    Rules::load(&all, Path::new("")).unwrap()
}

/// Rules that demand a signature by `key`, with more.
fn signed_by(key: &Cosign, more: &Value) -> Rules {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("release.pub"), key.public_pem()).unwrap();
    let mut rule = json!({"repositories": ["team/**"], "signedBy": ["release.pub"]});
    for (name, value) in more.as_object().unwrap() {
        rule[name] = value.clone();
    }
    Rules::load(&[written(rule)], folder.path()).unwrap()
}

fn manifest(layers: &[&str]) -> Vec<u8> {
    let part =
        |media_type: &str| json!({"mediaType": media_type, "digest": Digest::sha256(b"x").to_string(), "size": 1});
    let layers: Vec<_> = layers.iter().map(|layer| part(layer)).collect();
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": part(IMAGE_CONFIG), "layers": layers})
        .to_string()
        .into_bytes()
}

fn admit(rules: &Rules, repository: &str, bytes: &[u8], tags: &[(&str, Option<&Digest>)]) -> Result<(), &'static str> {
    let digest = Digest::sha256(bytes);
    let push = Push { repository, media_type: MANIFEST, digest: &digest, bytes, tags, used: 0 };
    rules.admit(&push).map_err(|refusal| refusal.word())
}

/// The image that the tests sign.
fn image() -> Image {
    Image::new("linux/amd64", &[&[("app", b"1")]])
}

fn bytes_of(image: &Image) -> &[u8] {
    &image.manifests.last().unwrap().2
}

fn referrer(image: &Image) -> Referrer<'_> {
    Referrer { bytes: bytes_of(image), layers: image.blobs.clone() }
}

fn verdict(rules: &Rules, image: &Image, referrers: &[&Image]) -> Verdict {
    let referrers: Vec<_> = referrers.iter().map(|image| referrer(image)).collect();
    let (digest, bytes) = (&image.digest, bytes_of(image));
    rules.verdict(&Stored { repository: "team/app", digest, bytes, referrers: &referrers, is_covered: false })
}

fn denied(reason: &str) -> Verdict {
    Verdict::Denied { reason: reason.into() }
}

const UNSIGNED: &str = "it has no signature by release.pub";

fn sbom(subject: &Image) -> Image {
    let config = ("application/vnd.oci.empty.v1+json", Bytes::from_static(b"{}"));
    let document = Bytes::from_static(br#"{"spdxVersion":"SPDX-2.3"}"#);
    Image::artifact(Some(SPDX), config, vec![(SPDX.into(), document)], &json!({})).refer_to(subject)
}

#[test]
fn nothing_is_pushed_where_no_rule_is() {
    let rules = rules(&json!([{"repositories": ["team/**"]}]));
    assert_eq!(admit(&rules, "team/a", &manifest(&[LAYER]), &[]), Ok(()));
    assert_eq!(admit(&rules, "other/a", &manifest(&[LAYER]), &[]), Err("no-rule"));
    assert_eq!(Rules::default().reserve("a", 0, 1), Err(Refusal::NoRule("a".into())));
}

#[test]
fn names_of_upstreams_take_pushes_only_where_they_are_named() {
    let all = rules(&json!([{"repositories": ["**"]}]));
    for repository in ["docker.io/library/nginx", "localhost__5000/a", "quay.io"] {
        assert_eq!(admit(&all, repository, &manifest(&[LAYER]), &[]), Err("no-rule"), "{repository}");
    }
    let named = rules(&json!([{"repositories": ["docker.io/**"]}]));
    assert_eq!(admit(&named, "docker.io/library/nginx", &manifest(&[LAYER]), &[]), Ok(()));
    let half = rules(&json!([{"repositories": ["docker*/**", "*.io/**"]}]));
    assert_eq!(admit(&half, "docker.io/library/nginx", &manifest(&[LAYER]), &[]), Err("no-rule"));
}

#[test]
fn the_narrowest_rule_holds_and_two_equals_hold_nothing() {
    let order =
        [json!({"repositories": ["team/**"], "mediaTypes": ["none"]}), json!({"repositories": ["team/open/**"]})];
    for all in [json!(order), json!([order[1], order[0]])] {
        let rules = rules(&all);
        assert_eq!(admit(&rules, "team/a", &manifest(&[LAYER]), &[]), Err("media-type"));
        assert_eq!(admit(&rules, "team/open/a", &manifest(&[LAYER]), &[]), Ok(()));
    }
    let equals = rules(&json!([{"repositories": ["team/*"]}, {"repositories": ["*/team", "team/*"]}]));
    assert_eq!(admit(&equals, "team/a", &manifest(&[LAYER]), &[]), Err("no-rule"));
    assert!(matches!(equals.reserve("team/a", 0, 1), Err(Refusal::TwoRules(_))));
}

#[test]
fn a_tag_is_written_once_unless_it_is_let_move() {
    let rules = rules(&json!([{"repositories": ["team/**"], "mutableTags": ["latest", "dev-*"]}]));
    let (one, two) = (manifest(&[LAYER]), manifest(&[LAYER, LAYER]));
    let (present, same) = (Digest::sha256(&one), Digest::sha256(&two));
    assert_eq!(admit(&rules, "team/a", &two, &[("v1", None)]), Ok(()));
    assert_eq!(admit(&rules, "team/a", &two, &[("v1", Some(&same))]), Ok(()));
    assert_eq!(admit(&rules, "team/a", &two, &[("v1", Some(&present))]), Err("immutable-tag"));
    assert_eq!(admit(&rules, "team/a", &two, &[("dev-1", Some(&present)), ("latest", Some(&present))]), Ok(()));
    assert_eq!(
        admit(&rules, "team/a", &two, &[("latest", Some(&present)), ("v1", Some(&present))]),
        Err("immutable-tag")
    );
}

#[test]
fn whoever_writes_a_tag_can_ask_again() {
    let rules = rules(
        &json!([{"repositories": ["team/**"], "mutableTags": ["latest"], "sparse": true}, {"repositories": ["a"]}]),
    );
    let bytes = manifest(&[LAYER]);
    assert_eq!(rules.tag_stays("team/a", "v1", &bytes), Ok(true));
    assert_eq!(rules.tag_stays("team/a", "latest", &bytes), Ok(false));
    assert!(rules.tag_stays("other", "v1", &bytes).is_err());
    assert_eq!(["team/a", "a", "other"].map(|name| rules.may_be_sparse(name)), [true, false, false]);
}

#[test]
fn cosign_adds_to_what_it_has_signed_and_nobody_else_under_its_tags() {
    let rules = rules(&json!([{"repositories": ["team/**"]}]));
    let image = image();
    let signature = Cosign::generate().sign("r/team/app", &image.digest);
    let present = Digest::sha256(b"the signature before");
    let tag = Cosign::tag(&image.digest);
    assert_eq!(admit(&rules, "team/app", bytes_of(&signature), &[(&tag, Some(&present))]), Ok(()));
    assert_eq!(admit(&rules, "team/app", bytes_of(&image), &[(&tag, Some(&present))]), Err("immutable-tag"));
    assert_eq!(admit(&rules, "team/app", bytes_of(&signature), &[("v1", Some(&present))]), Err("immutable-tag"));
}

#[test]
fn every_media_type_of_a_manifest_must_be_wanted() {
    let rules = rules(
        &json!([{"repositories": ["team/**"], "mediaTypes": [MANIFEST, IMAGE_CONFIG, "application/vnd.oci.image.layer.**"]}]),
    );
    assert_eq!(admit(&rules, "team/a", &manifest(&[LAYER]), &[]), Ok(()));
    assert_eq!(admit(&rules, "team/a", &manifest(&[LAYER, "application/x-script"]), &[]), Err("media-type"));
    let other = String::from_utf8(manifest(&[LAYER]))
        .unwrap()
        .replace(IMAGE_CONFIG, "application/vnd.cncf.helm.config.v1+json");
    assert_eq!(admit(&rules, "team/a", other.as_bytes(), &[]), Err("media-type"));
    // What vouches for content is always wanted.
    assert_eq!(admit(&rules, "team/a", bytes_of(&sbom(&image())), &[]), Ok(()));
}

#[test]
fn what_is_no_manifest_is_refused() {
    let rules = rules(&json!([{"repositories": ["**"]}]));
    for bytes in [
        &b""[..],
        b"[]",
        b"{\"layers\": 1}",
        b"{\"layers\": [{\"mediaType\": \"x\", \"digest\": \"y\"}]}",
        &[b' '; (4 << 20) + 1],
    ] {
        assert_eq!(admit(&rules, "a", bytes, &[]), Err("manifest"));
    }
}

#[test]
fn a_repository_takes_no_more_than_its_quota() {
    let rules = rules(&json!([{"repositories": ["team/**"], "quota": "1MiB"}, {"repositories": ["free"]}]));
    assert_eq!(rules.reserve("team/a", 0, 1 << 20), Ok(()));
    let refusal = rules.reserve("team/a", 1 << 20, 1).unwrap_err();
    insta::assert_snapshot!(refusal, @"team/a holds 1048576 bytes, and may hold 1048576: there is no room for 1 more");
    assert!(rules.reserve("team/a", u64::MAX, u64::MAX).is_err());
    assert_eq!(rules.reserve("free", u64::MAX, u64::MAX), Ok(()));
}

#[test]
fn what_is_not_signed_is_not_pulled_until_it_is() {
    let (key, image) = (Cosign::generate(), image());
    let rules = signed_by(&key, &json!({}));
    assert_eq!(verdict(&rules, &image, &[]), denied(UNSIGNED));
    assert_eq!(verdict(&rules, &image, &[&key.sign("r/team/app", &image.digest)]), Verdict::Allowed);
    let bundle = cosign::attachment(&key.bundle(&image.digest), &image);
    assert_eq!(verdict(&rules, &image, &[&bundle]), Verdict::Allowed);
    let message = cosign::attachment(&key.message_bundle(bytes_of(&image)), &image);
    assert_eq!(verdict(&rules, &image, &[&sbom(&image), &message]), Verdict::Allowed);
}

#[test]
fn a_signature_by_another_key_or_of_other_content_is_none() {
    let (key, thief, image) = (Cosign::generate(), Cosign::generate(), image());
    let rules = signed_by(&key, &json!({}));
    let other = Image::new("linux/amd64", &[&[("app", b"2")]]);
    let of_statement =
        |by: &Cosign, kind| cosign::attachment(&by.statement_bundle(&cosign::statement(&image.digest, kind)), &image);
    for (what, referrer) in [
        ("a thief's", thief.sign("r/team/app", &image.digest)),
        ("another image's", key.sign("r/team/app", &other.digest)),
        ("a thief's bundle", cosign::attachment(&thief.bundle(&image.digest), &image)),
        ("another image's bundle", cosign::attachment(&key.bundle(&other.digest), &image)),
        ("another manifest's bundle", cosign::attachment(&key.message_bundle(bytes_of(&other)), &image)),
        ("an attestation", of_statement(&key, "https://spdx.dev/Document")),
        ("no signature", cosign::simple_image(&cosign::simple_payload("r", &image.digest), &json!({}))),
    ] {
        assert_eq!(verdict(&rules, &image, &[&referrer]), denied(UNSIGNED), "{what}");
    }
}

#[test]
fn a_layer_with_other_bytes_than_its_digest_says_is_not_at_hand() {
    let (key, image) = (Cosign::generate(), image());
    let rules = signed_by(&key, &json!({}));
    let mut signature = key.sign("r/team/app", &image.digest);
    for (digest, _) in &mut signature.blobs {
        *digest = Digest::sha256(b"elsewhere");
    }
    assert_eq!(verdict(&rules, &image, &[&signature]), denied(UNSIGNED));
}

#[test]
fn evidence_itself_is_pulled_and_what_could_run_is_no_evidence() {
    let (key, image) = (Cosign::generate(), image());
    let rules = signed_by(&key, &json!({}));
    let signature = key.sign("r/team/app", &image.digest);
    assert_eq!(verdict(&rules, &signature, &[]), Verdict::Allowed);
    assert_eq!(verdict(&rules, &sbom(&image), &[]), Verdict::Allowed);
    let disguised = image.clone().refer_to(&sbom(&image));
    assert_eq!(verdict(&rules, &disguised, &[]), denied(UNSIGNED));
    let config = (SPDX, Bytes::from_static(b"{}"));
    let mixed =
        Image::artifact(Some(SPDX), config, vec![(SPDX.into(), "{}".into()), (LAYER.into(), "x".into())], &json!({}));
    assert_eq!(verdict(&rules, &mixed, &[]), denied(UNSIGNED));
}

#[test]
fn who_signs_an_index_signs_what_it_lists() {
    let image = image();
    let rules = signed_by(&Cosign::generate(), &json!({"sbom": true}));
    let stored = Stored {
        repository: "team/app",
        digest: &image.digest,
        bytes: bytes_of(&image),
        referrers: &[],
        is_covered: true,
    };
    assert_eq!(rules.verdict(&stored), Verdict::Allowed);
    let elsewhere = Stored { repository: "other/app", ..stored };
    assert!(matches!(rules.verdict(&elsewhere), Verdict::Denied { .. }));
}

#[test]
fn what_has_no_sbom_is_not_pulled_where_one_is_wanted() {
    let image = image();
    let unsigned = rules(&json!([{"repositories": ["team/**"], "sbom": true}]));
    assert_eq!(verdict(&unsigned, &image, &[]), denied("it has no SBOM"));
    assert_eq!(verdict(&unsigned, &image, &[&sbom(&image)]), Verdict::Allowed);
    let other = Image::new("linux/amd64", &[&[("app", b"2")]]);
    assert_eq!(verdict(&unsigned, &image, &[&sbom(&other)]), denied("it has no SBOM"));

    let (key, thief) = (Cosign::generate(), Cosign::generate());
    let signed = signed_by(&key, &json!({"sbom": true}));
    let signature = key.sign("r/team/app", &image.digest);
    let attested =
        |by: &Cosign, kind| cosign::attachment(&by.statement_bundle(&cosign::statement(&image.digest, kind)), &image);
    let spdx = "https://spdx.dev/Document/v2.3";
    assert_eq!(verdict(&signed, &image, &[&signature]), denied("it has no SBOM"));
    assert_eq!(verdict(&signed, &image, &[&signature, &attested(&key, spdx)]), Verdict::Allowed);
    assert_eq!(verdict(&signed, &image, &[&signature, &attested(&thief, spdx)]), denied("it has no SBOM"));
    assert_eq!(
        verdict(&signed, &image, &[&signature, &attested(&key, "https://slsa.dev/provenance/v1")]),
        denied("it has no SBOM")
    );
    assert_eq!(verdict(&unsigned, &image, &[&attested(&thief, "https://cyclonedx.org/bom")]), Verdict::Allowed);
}

#[test]
fn an_epoch_is_that_of_its_rules_and_keys() {
    let base = json!({"repositories": ["team/**"]});
    let epoch = |rule: &Value| rules(&json!([rule])).epoch().clone();
    assert_eq!(epoch(&base), epoch(&base.clone()));
    for (name, value) in [
        ("sbom", json!(true)),
        ("sparse", json!(true)),
        ("quota", json!("1GiB")),
        ("mutableTags", json!(["a"])),
        ("repositories", json!(["b"])),
        ("mediaTypes", json!(["c"])),
    ] {
        let mut changed = base.clone();
        changed[name] = value;
        assert_ne!(epoch(&changed), epoch(&base), "{name}");
    }
    let (one, two) = (signed_by(&Cosign::generate(), &json!({})), signed_by(&Cosign::generate(), &json!({})));
    assert_ne!(one.epoch(), two.epoch());
    assert_ne!(*one.epoch(), epoch(&base));
    assert_ne!(one.epoch().number(), two.epoch().number());
    assert!(one.epoch().to_string().starts_with(&format!("{:013x}", one.epoch().number())));
}

#[test]
fn cosigns_tags_stand_for_digests() {
    let digest = Digest::sha256(b"x");
    for kind in ["sig", "att", "sbom"] {
        assert_eq!(evidence::subject_of_tag(&format!("sha256-{}.{kind}", digest.hex())), Some(digest.clone()));
    }
    for tag in ["latest", "sha256-00.sig", "sha256.sig", &format!("sha256-{}.exe", digest.hex()), ""] {
        assert_eq!(evidence::subject_of_tag(tag), None, "{tag}");
    }
}

#[test]
fn verdicts_are_stored_as_they_are_read() {
    for (verdict, json) in [
        (Verdict::Allowed, json!({"verdict": "allowed"})),
        (denied("why"), json!({"verdict": "denied", "reason": "why"})),
    ] {
        assert_eq!(serde_json::to_value(&verdict).unwrap(), json);
        assert_eq!(serde_json::from_value::<Verdict>(json).unwrap(), verdict);
    }
}

proptest! {
    #[test]
    fn no_bytes_bring_the_rules_down(bytes in prop::collection::vec(any::<u8>(), 0..300), layer in prop::collection::vec(any::<u8>(), 0..300)) {
        let rules = signed_by(&Cosign::generate(), &json!({"sbom": true}));
        let digest = Digest::sha256(&bytes);
        let bundle = cosign::BUNDLE;
        let outer = json!({"layers": [{"mediaType": bundle, "digest": Digest::sha256(&layer).to_string()}]}).to_string();
        let referrers = [Referrer { bytes: outer.as_bytes(), layers: vec![(Digest::sha256(&layer), layer.into())] }];
        let stored = Stored { repository: "team/app", digest: &digest, bytes: &bytes, referrers: &referrers, is_covered: false };
        let is_denied = matches!(rules.verdict(&stored), Verdict::Denied { .. });
        prop_assert!(is_denied);
        let _ = admit(&rules, "team/app", &bytes, &[]);
    }
}
