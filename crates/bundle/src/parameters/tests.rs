use std::path::Path;

use super::*;

const SPEC: &str = "apiVersion: sealock/v1alpha1
kind: Site
metadata: {name: plant-7}
spec: {registry: {name: r.example, address: 10.0.0.1}}
---
apiVersion: sealock/v1alpha1
kind: Bundle
metadata: {name: plants, stream: base}
spec:
  audience: {sites: [plant-7]}
  parameters:
    replicas: {type: integer, minimum: 1, maximum: 9, default: 2}
    postgres: {type: string, pattern: '1[67](\\.[0-9]+)?', default: '17', description: the version of the database}
    size: {type: enum, values: [small, large], default: small}
    debug: {type: boolean, default: false}
    domain: {type: string, required: true, description: where users find it}
  variants:
    plant-8: {parameters: {replicas: 5, debug: true}}
  images:
    - ref: docker.io/library/postgres:$(parameters.postgres)
      verify: {unsigned: reviewed}
  charts:
    - name: app
      oci: ghcr.io/team/charts/app
      version: 1.2.3
      values: [values.yaml, {replicas: $(parameters.replicas), debug: $(parameters.debug), host: app.$(parameters.domain)}]
";

fn given(set: &[&str], variant: Option<&str>, file: Option<&str>) -> Given {
    let pair = |text: &&str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    Given {
        variant: variant.map(str::to_owned),
        file: file.map(|text| GivenFile { path: "values.yaml".into(), text: text.to_owned() }),
        set: set.iter().map(pair).collect(),
    }
}

fn values(given: &Given) -> String {
    let prepared = prepare(Path::new("sealock.yaml"), SPEC, given).unwrap();
    let pairs = prepared.parameters.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(" ")
}

fn error(spec: &str, given: &Given) -> String {
    prepare(Path::new("sealock.yaml"), spec, given).unwrap_err().to_string()
}

/// The spec with one text in the place of another, which must be there.
fn with(old: &str, new: &str) -> String {
    assert!(SPEC.contains(old), "{old}");
    SPEC.replace(old, new)
}

#[test]
fn the_nearest_value_holds() {
    let domain = "domain=plant-7.lab";
    insta::assert_snapshot!(values(&given(&[domain], None, None)), @"debug=false domain=plant-7.lab postgres=17 replicas=2 size=small");
    insta::assert_snapshot!(values(&given(&[domain], Some("plant-8"), None)), @"debug=true domain=plant-7.lab postgres=17 replicas=5 size=small");
    let file = Some("replicas: 7\ndomain: plant-8.lab\nsize: large\n");
    insta::assert_snapshot!(values(&given(&[], Some("plant-8"), file)), @"debug=true domain=plant-8.lab postgres=17 replicas=7 size=large");
    insta::assert_snapshot!(values(&given(&["replicas=1", "replicas=9"], Some("plant-8"), file)), @"debug=true domain=plant-8.lab postgres=17 replicas=9 size=large");
}

#[test]
fn values_keep_their_types_in_the_spec() {
    let prepared = prepare(Path::new("x"), SPEC, &given(&["domain=plant-7.lab", "postgres=17.2"], None, None)).unwrap();
    let spec = &prepared.bundle.spec;
    assert_eq!(spec.images[0].reference.to_string(), "docker.io/library/postgres:17.2");
    let crate::spec::ChartValues::Inline(values) = &spec.charts[0].values[1] else { panic!("not inline") };
    let wanted = serde_json::json!({"replicas": 2, "debug": false, "host": "app.plant-7.lab"});
    assert_eq!(serde_json::Value::Object(values.clone()), wanted);
    assert_eq!(Vec::from_iter(&prepared.used), ["debug", "domain", "postgres", "replicas"]);
}

#[test]
fn what_does_not_fit_is_told_with_its_place_and_the_nearest_name() {
    let none = given(&[], None, None);
    let set = |pair: &str| error(SPEC, &given(&["domain=x", pair], None, None));
    let file = |text: &str| error(SPEC, &given(&["domain=x"], None, Some(text)));
    let domain = given(&["domain=x"], None, None);
    insta::assert_snapshot!(error(SPEC, &none), @"no value is given for domain (where users find it)");
    insta::assert_snapshot!(set("replica=3"), @r#"the spec has no parameter "replica", did you mean "replicas"?"#);
    insta::assert_snapshot!(set("replicas=many"), @r#"the parameter "replicas": expected an integer, found "many""#);
    insta::assert_snapshot!(set("replicas=10"), @r#"the parameter "replicas": 10 is more than 9"#);
    insta::assert_snapshot!(set("postgres=latest"), @r#"the parameter "postgres": "latest" does not fit the pattern 1[67](\.[0-9]+)?"#);
    insta::assert_snapshot!(set("size=medium"), @r#"the parameter "size": "medium" is none of its values, which are small, large"#);
    insta::assert_snapshot!(file("size: small\nreplicsa: 3\n"), @r#"values.yaml:2:11: unknown parameter "replicsa", did you mean "replicas"?"#);
    insta::assert_snapshot!(file("replicas: 3\npostgres: 17\n"), @r#"values.yaml:2:11: the parameter "postgres": expected a string, found an integer: write it in quotes"#);
    insta::assert_snapshot!(file("replicas: [3]\n"), @"values.yaml:1:1: expected a string (in quotes where it looks like a number), an integer, true or false, found sequence");
    insta::assert_snapshot!(error(&with("default: 2", "default: 0"), &domain), @r#"sealock.yaml:12:64: the parameter "replicas": 0 is less than 1"#);
    insta::assert_snapshot!(error(&with("replicas: 5", "replica: 5"), &domain), @r#"sealock.yaml:18:37: unknown parameter "replica", did you mean "replicas"?"#);
    insta::assert_snapshot!(error(&with("replicas: 5", "replicas: 50"), &domain), @r#"sealock.yaml:18:38: the parameter "replicas": 50 is more than 9"#);
    insta::assert_snapshot!(error(&with("$(parameters.replicas)", "$(parameters.replica)"), &domain), @r#"sealock.yaml:26:40: unknown parameter "replica", did you mean "replicas"?"#);
    insta::assert_snapshot!(error(&with("    debug: {type", "    de.bug: {type"), &domain), @r#"sealock.yaml:15:5: the parameter "de.bug": a name is at most 63 letters, digits, '-' and '_', and begins with a letter"#);
    insta::assert_snapshot!(error(&with("type: enum", "type: enumeration"), &domain), @r#"sealock.yaml:14:18: unknown value "enumeration", did you mean "enum"?"#);
    insta::assert_snapshot!(error(&with("minimum: 1", "minimal: 1"), &domain), @r#"sealock.yaml:12:31: unknown field "minimal", did you mean "minimum"?"#);
    // A mistake elsewhere keeps its line.
    insta::assert_snapshot!(error(&format!("{SPEC}  imagse: []\n"), &domain), @r#"sealock.yaml:27:3: unknown field "imagse", did you mean "images"?"#);
}

#[test]
fn trust_and_audience_are_not_for_parameters() {
    let domain = given(&["domain=x", "postgres=17"], None, None);
    for (old, new) in [
        ("{unsigned: reviewed}", "{unsigned: $(parameters.domain)}"),
        ("sites: [plant-7]", "sites: [$(parameters.domain)]"),
        ("stream: base", "stream: $(parameters.domain)"),
        ("[values.yaml,", "[$(parameters.domain),"),
        ("oci: ghcr.io/team/charts/app", "oci: $(parameters.domain)/app"),
        ("description: where users find it", "description: $(parameters.size)"),
    ] {
        let told = error(&with(old, new), &domain);
        assert!(told.contains("a parameter may stand in the tag of an image"), "{new}: {told}");
    }
    for reference in ["$(parameters.domain)/postgres:17", "docker.io/$(parameters.domain):17", "$(parameters.domain)"] {
        let told = error(&with("docker.io/library/postgres:$(parameters.postgres)", reference), &domain);
        assert!(told.contains("of a reference only the tag may be a parameter"), "{reference}: {told}");
    }
    let open = with("pattern: '1[67](\\.[0-9]+)?', ", "");
    for tag in ["17@sha256:0000", "../evil", "17/x", "", "a b"] {
        let told = error(&open, &given(&["domain=x", &format!("postgres={tag}")], None, None));
        assert!(told.contains("cannot stand here"), "{tag}: {told}");
    }
}
