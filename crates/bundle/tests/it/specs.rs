//! Specs as people write them.

use std::path::Path;

use sealock_bundle::document::load_document;
use sealock_bundle::spec::{Bundle, ChartSource, PodNetwork, Site, VerifyRule};

const BUNDLE: &str = r#"
apiVersion: sealock/v1alpha1
kind: Bundle
metadata: {name: plant-7, stream: base}
spec:
  audience: {sites: [plant-7]}
  platforms: [linux/amd64]
  kubernetes: {versions: [v1.36.3], cni: routed, components: {runc: v1.3.9}}
  verify:
    - {match: "registry.k8s.io/*", unsigned: "digests compared with the release notes"}
  images:
    - ref: docker.io/library/postgres:17
      verify: {unsigned: "upstream signs nothing; digest reviewed 2026-11-20"}
    - ref: quay.io/prometheus/prometheus:v3.8.0
      verify: {key: keys/prometheus.pub}
  charts:
    - {name: podinfo, repository: https://stefanprodan.github.io/podinfo, version: 6.9.2, values: [podinfo.yaml]}
    - {name: other, oci: ghcr.io/stefanprodan/charts/podinfo, version: 6.9.2}
  manifests: [manifests/]
"#;

fn error(text: &str) -> String {
    load_document::<Bundle>(Path::new("sealock.yaml"), text).unwrap_err().to_string()
}

#[test]
fn the_bundle_of_the_design_is_read() {
    let spec = load_document::<Bundle>(Path::new("sealock.yaml"), BUNDLE).unwrap().spec;
    assert_eq!(spec.images[0].reference.to_string(), "docker.io/library/postgres:17");
    assert!(
        matches!(&spec.images[1].verify, Some(VerifyRule::Key(rule)) if rule.file == Path::new("keys/prometheus.pub"))
    );
    assert_eq!(spec.charts[0].source(), Some(ChartSource::Repository("https://stefanprodan.github.io/podinfo")));
    assert_eq!(spec.charts[1].source(), Some(ChartSource::Oci("ghcr.io/stefanprodan/charts/podinfo")));
    let kubernetes = spec.kubernetes.unwrap();
    assert_eq!(kubernetes.cni, PodNetwork::Routed);
    assert_eq!((spec.validity.soft.count(), spec.validity.hard.count()), (90, 365));
}

#[test]
fn a_site_is_read() {
    let text = "apiVersion: sealock/v1alpha1\nkind: Site\nmetadata: {name: plant-7}\nspec:\n  registry: {name: registry.lab, address: 10.77.0.2}\n";
    let site = load_document::<Site>(Path::new("site.yaml"), text).unwrap();
    assert_eq!(site.spec.registry.address.to_string(), "10.77.0.2");
}

#[test]
fn mistakes_are_shown_with_their_place() {
    let with = |from: &str, to: &str| error(&BUNDLE.replace(from, to));
    insta::assert_snapshot!(with("images:\n", "imagse:\n"), @r#"sealock.yaml:11:3: unknown field "imagse", did you mean "images"?"#);
    insta::assert_snapshot!(with("unsigned: \"upstream", "unsinged: \"upstream"), @r#"sealock.yaml:13:16: unknown field "unsinged", did you mean "unsigned"?"#);
    insta::assert_snapshot!(with("    - ref: quay.io/prometheus/prometheus:v3.8.0\n      verify", "    - verify"), @r#"sealock.yaml:14:7: the field "ref" is missing"#);
    insta::assert_snapshot!(with("[v1.36.3]", "[1.36.3]"), @r#"sealock.yaml:8:27: "1.36.3" is not a Kubernetes version: written v1.MINOR.PATCH, like v1.36.3"#);
    insta::assert_snapshot!(with("linux/amd64", "linux"), @r#"sealock.yaml:7:15: "linux" is not a platform: written os/architecture or os/architecture/variant, like linux/amd64"#);
    insta::assert_snapshot!(with("docker.io/library/postgres:17", "docker.io/Library/postgres:17"), @r#"sealock.yaml:12:12: "docker.io/Library/postgres:17" is not a reference: the repository is made of lower-case letters, digits, and '.', '_', '__' or '-' between them"#);
    insta::assert_snapshot!(with("stream: base", "stream: ../base"), @"sealock.yaml:4:35: a stream is named by lower-case words with `/` between them, like `apps/payments` (at most 128 characters)");
    insta::assert_snapshot!(with("[manifests/]", "manifests/"), @"sealock.yaml:19:14: expected a list");
    insta::assert_snapshot!(with("unsigned: \"digests", "key: x, unsigned: \"digests"), @r#"sealock.yaml:10:7: a rule has one of "unsigned", "key", "keyless" and "notation""#);
    insta::assert_snapshot!(with("upstream signs nothing; digest reviewed 2026-11-20", " "), @r#"sealock.yaml:13:15: "unsigned" says in words why an image may come unsigned"#);
    insta::assert_snapshot!(with("cni: routed", "cni: calico"), @r#"sealock.yaml:8:42: unknown value "calico", known are external, routed"#);
    insta::assert_snapshot!(with("  audience: {sites: [plant-7]}\n", ""), @r#"sealock.yaml:18:3: the field "audience" is missing"#);
}

#[test]
fn every_field_of_the_schema_is_described() {
    fn undescribed(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
        let Some(object) = value.as_object() else { return };
        for (name, property) in object.get("properties").and_then(|p| p.as_object()).into_iter().flatten() {
            if property.get("description").is_none() {
                found.push(format!("{at}.{name}"));
            }
        }
        for (name, definition) in object.get("$defs").and_then(|d| d.as_object()).into_iter().flatten() {
            undescribed(definition, name, found);
        }
    }
    let schemas = sealock_bundle::schema::all();
    let names: Vec<&str> = schemas.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["bundle", "site", "diff"]);
    for (name, schema) in schemas {
        let mut found = Vec::new();
        undescribed(&schema.to_value(), name, &mut found);
        assert_eq!(found, [""; 0], "fields of {name} without a description");
    }
}
