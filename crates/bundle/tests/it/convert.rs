//! Other tools' files, converted: what a person gets, and what is refused.

use std::path::Path;

use sealock_bundle::convert::{ConvertError, Format, Level, Options, convert};
use sealock_bundle::document::load_document;
use sealock_bundle::spec::Bundle;

fn fixtures() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/convert");
    let mut found = Vec::new();
    for folder in std::fs::read_dir(&root).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            found.push((name, std::fs::read_to_string(path).unwrap()));
        }
    }
    found.sort();
    found
}

fn options() -> Options {
    Options { sites: vec!["plant-7".parse().unwrap()], ..Options::default() }
}

/// Files that are one of the formats, and yet refused.
const REFUSED: [&str; 1] = ["skopeo/hostile.yaml"];

#[test]
fn every_fixture_becomes_a_spec_that_our_own_parser_reads() {
    let fixtures = fixtures();
    for format in Format::ALL {
        let count = fixtures.iter().filter(|(name, _)| name.starts_with(&format!("{}/", format.name()))).count();
        assert!(count >= 3, "{} has {count} fixtures", format.name());
    }
    for (name, text) in fixtures.iter().filter(|(name, _)| !REFUSED.contains(&name.as_str())) {
        let converted = convert(name, text, &options()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Some(converted.format.name()), name.split('/').next(), "{name}");
        let read: Bundle = load_document(Path::new("sealock.yaml"), &converted.text).unwrap();
        assert_eq!(read, converted.bundle, "{name}");
        let safe = |character: char| character == '\n' || !character.is_control();
        assert!(converted.text.chars().all(safe), "{name} holds a control character");
        for secret in ["hunter2", "hunter3", "robot", "user:secret", "PASS"] {
            assert!(!converted.text.contains(secret), "{name} holds {secret}");
        }
        let invented = converted.bundle.spec.images.iter().filter(|image| image.verify.is_some()).count();
        assert!(invented == 0 || name.starts_with("hauler/"), "{name} has a rule that nobody wrote");
        insta::assert_snapshot!(format!("convert__{}", name.replace(['/', '.'], "_")), converted.text);
    }
}

#[test]
fn a_rule_is_carried_where_the_input_has_one() {
    let (_, text) = fixtures().into_iter().find(|(name, _)| name == "hauler/all.yaml").unwrap();
    let spec = convert("x", &text, &options()).unwrap().bundle.spec;
    let ruled: Vec<String> =
        spec.images.iter().filter(|image| image.verify.is_some()).map(|image| image.reference.to_string()).collect();
    assert_eq!(ruled, ["ghcr.io/example/signed:v1.0.0"]);
}

fn refusal(text: &str) -> (String, String) {
    let error: ConvertError = convert("x", text, &options()).unwrap_err();
    assert!(error.is_refusal());
    (error.code().unwrap().to_string(), error.to_string())
}

#[test]
fn hostile_files_are_refused_with_place_and_code() {
    let zarf = "kind: ZarfPackageConfig\nmetadata: {name: x}\n";
    let mut bomb = format!("{zarf}a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")));
    }
    let deep = format!("{zarf}components: {}", "[".repeat(5000));
    let huge = "docker.io/library/a:1\n".repeat(300_000);
    let long = "docker.io/library/a:1\n".repeat(100_001);
    for (text, code, place) in [
        (format!("{zarf}kind: other\n"), "AMBIGUOUS", "3:1: the key kind stands twice"),
        (bomb, "LIMIT", "more than 200000 values"),
        (deep, "LIMIT", "3:"),
        (huge, "LIMIT", "1:1: more than 4194304 bytes"),
        (long, "LIMIT", "100001:1: more than 100000 lines"),
        (format!("{zarf}components: 5\n"), "SPEC", "3:13: components has to be a list"),
        (format!("{zarf}components: [{{images: [[a]]}}]\n"), "SPEC", "components[0].images[0] has to be"),
        (
            "kind: ZarfPackageConfig\napiVersion: zarf.dev/v9\n".into(),
            "FORMAT",
            "2:13: the package is written as zarf.dev/v9",
        ),
        ("kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v1alpha1\n".into(), "FORMAT", "2:13:"),
        ("kind: ImagesLock\n".into(), "FORMAT", "is written as nothing"),
        ("apiVersion: v1\nkind: Pod\n".into(), "FORMAT", "none of the formats"),
        (String::new(), "FORMAT", "none of the formats"),
        ("kind: [\n".into(), "FORMAT", "this is no YAML"),
        ("quay.io:\n  images: {a/b: [\"1\", {x: y}]}\n".into(), "SPEC", "2:23: quay.io.images.a/b[1] has to be"),
    ] {
        let (found, message) = refusal(&text);
        assert_eq!(found, code, "{message}");
        assert!(message.contains(place), "{message} / {place}");
    }
}

#[test]
fn nothing_is_dropped_in_silence() {
    let text = "kind: ZarfPackageConfig\nmetadata: {name: x, novel: 1}\nnovel: 2\ncomponents:\n  - {name: c, novel: 3, charts: [{novel: 4}], files: [{novel: 5}], manifests: [{novel: 6}]}\n";
    let findings = convert("x", text, &options()).unwrap().findings;
    let told: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.level == Level::Lost && finding.at.as_str().ends_with("novel"))
        .map(|finding| finding.at.as_str())
        .collect();
    assert_eq!(told.len(), 6, "{told:?}");
}

#[test]
fn the_format_can_be_given_and_names_chosen() {
    let options = Options {
        from: Some(Format::Images),
        name: Some("edge".parse().unwrap()),
        stream: Some("apps/edge".parse().unwrap()),
        sites: Vec::new(),
    };
    let converted = convert("x", "postgres\n", &options).unwrap();
    assert_eq!(converted.bundle.metadata.stream.to_string(), "apps/edge");
    assert!(converted.bundle.spec.audience.sites.is_empty());
    assert_eq!(converted.bundle.spec.images[0].reference.to_string(), "docker.io/library/postgres:latest");
}

/// A name that is legal for a bundle is none for a stream where hyphens follow each other.
#[test]
fn whatever_a_package_is_called_its_bundle_and_stream_have_legal_names() {
    for (called, name) in [
        ("Pod_:Info Demo", "pod-info-demo"),
        ("--a--b--", "a-b"),
        ("site", "converted"),
        ("Site ", "converted"),
        ("ü", "converted"),
        ("", "converted"),
    ] {
        let text = format!(
            "kind: ZarfPackageConfig\nmetadata: {{name: '{called}'}}\ncomponents: [{{name: c, images: [nginx]}}]\n"
        );
        let metadata = convert("x", &text, &Options { sites: Vec::new(), ..options() }).unwrap().bundle.metadata;
        assert_eq!(
            (metadata.name.to_string(), metadata.stream.to_string()),
            (name.to_owned(), name.to_owned()),
            "{called}"
        );
    }
    for (chosen, stream) in [("a--b", "a-b"), ("site", "converted")] {
        let options = Options { from: Some(Format::Images), name: Some(chosen.parse().unwrap()), ..options() };
        let metadata = convert("x", "postgres\n", &options).unwrap().bundle.metadata;
        assert_eq!((metadata.name.to_string(), metadata.stream.to_string()), (chosen.to_owned(), stream.to_owned()));
    }
}
