//! Kubernetes objects in YAML, what Helm does with them, and the images that they name.

use std::fmt;

use sealock_bundle::{Reference, workload};
use serde_json::Value;

use super::{AppError, ObjectId};

/// Where an object comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The chart or file of manifests.
    pub origin: String,
    /// Like `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.origin, self.kind, self.name)
    }
}

/// An object, and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) place: Place,
    pub(super) value: Value,
    /// The namespace that it goes to where it names none.
    pub(super) home: String,
    /// Of a chart's folder `crds`: Helm makes it where it is missing, and never touches it again.
    pub(super) is_made_once: bool,
}

impl Object {
    pub(super) fn namespace(&self) -> Option<&str> {
        self.value.pointer("/metadata/namespace").and_then(Value::as_str)
    }

    pub(super) fn id(&self) -> ObjectId {
        ObjectId::written(&self.value, &self.home)
    }

    pub(super) fn is_of_chart(&self) -> bool {
        self.place.origin.starts_with(OF_CHART)
    }

    /// The moments at which Helm runs it, like `pre-upgrade`; none for what simply stands in the cluster. Manifests have no hooks.
    pub(super) fn hooks(&self) -> Vec<&str> {
        let text = self.annotation("helm.sh/hook").filter(|_| self.is_of_chart());
        text.into_iter().flat_map(|text| text.split(',')).map(str::trim).filter(|moment| !moment.is_empty()).collect()
    }

    /// Helm runs those of less weight first.
    pub(super) fn hook_weight(&self) -> i64 {
        self.annotation("helm.sh/hook-weight").and_then(|weight| weight.parse().ok()).unwrap_or_default()
    }

    /// Whether it only runs when somebody asks Helm for a test.
    pub(super) fn is_test(&self) -> bool {
        let hooks = self.hooks();
        // One that is run at another moment, too, is none.
        !hooks.is_empty() && hooks.iter().all(|moment| matches!(*moment, "test" | "test-success"))
    }

    /// Whether it stays when the app goes, as its author wants.
    pub(super) fn is_kept(&self) -> bool {
        self.annotation("helm.sh/resource-policy") == Some("keep")
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.value.get("metadata")?.get("annotations")?.get(name)?.as_str()
    }
}

const OF_CHART: &str = "chart ";

/// What objects of the chart installed as `name` say where they come from.
pub(super) fn origin_of_chart(name: &str) -> String {
    format!("{OF_CHART}{name}")
}

/// The objects in `text`, which comes from `origin`; what names no namespace goes to `home`.
pub(super) fn parse(origin: &str, home: &str, text: &str) -> Result<Vec<Object>, AppError> {
    let mut objects = Vec::new();
    for document in documents(text) {
        let value: Value = serde_saphyr::from_str(&document).map_err(|error| AppError::Yaml {
            origin: origin.into(),
            problem: error.to_string().lines().next().unwrap_or_default().to_owned(),
        })?;
        let before = objects.len();
        add(origin, home, value, &mut objects);
        let is_made_once = origin.starts_with(OF_CHART) && is_of_crds_folder(&document);
        objects[before..].iter_mut().for_each(|object| object.is_made_once = is_made_once);
    }
    Ok(objects)
}

/// The objects in what kubectl prints as JSON: several one after the other, or a list.
pub(super) fn parse_json(origin: &str, answer: &[u8]) -> Result<Vec<Object>, AppError> {
    let mut objects = Vec::new();
    for value in serde_json::Deserializer::from_slice(answer).into_iter() {
        let value = value.map_err(|error: serde_json::Error| AppError::Yaml {
            origin: format!("what kubectl says of {origin}"),
            problem: error.to_string(),
        })?;
        add(origin, "", value, &mut objects);
    }
    Ok(objects)
}

/// Helm says so above each document: `# Source: CHART/crds/FILE`, and `CHART/charts/OTHER/crds/FILE` of what the chart needs.
fn is_of_crds_folder(document: &str) -> bool {
    let source = document.lines().find_map(|line| line.strip_prefix("# Source: "));
    source.is_some_and(|path| path.split('/').any(|folder| folder == "crds") && !path.contains("/templates/"))
}

fn documents(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in text.lines() {
        if line == "---" || line.starts_with("--- ") {
            found.push(String::new());
        } else if let Some(last) = found.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    let has_content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    found.retain(|document| document.lines().any(has_content));
    found
}

fn add(origin: &str, home: &str, value: Value, objects: &mut Vec<Object>) {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    if kind.ends_with("List")
        && let Some(items) = value.get("items").and_then(Value::as_array)
    {
        items.iter().for_each(|item| add(origin, home, item.clone(), objects));
        return;
    }
    if !value.is_null() {
        let place = Place { origin: origin.into(), kind, name };
        objects.push(Object { place, value, home: home.into(), is_made_once: false });
    }
}

/// Every image that an object names for certain, as `lock` finds them outside. Guesses were decided there, by a person.
pub(super) fn images(object: &Object) -> Result<Vec<Reference>, AppError> {
    let mut texts: Vec<&str> = workload::images(&object.value).into_iter().map(|image| image.text).collect();
    texts.sort_unstable();
    texts.dedup();
    let parse =
        |text: &str| text.parse().map_err(|_| AppError::NotAnImage { text: text.into(), place: object.place.clone() });
    texts.into_iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_wherever_they_stand() {
        let text = "\
# only a comment
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {image: not-an-image/at all}}
spec:
  template:
    spec:
      initContainers: [{name: a, image: busybox}]
      containers: [{name: b, image: quay.io/x/y:1}, {name: c, image: quay.io/x/y:1}]
      volumes: [{name: v, image: {reference: quay.io/x/data:2, pullPolicy: Always}}]
---
kind: List
items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {image: text for a program}}
  - {apiVersion: monitoring.coreos.com/v1, kind: Prometheus, metadata: {name: p}, spec: {image: quay.io/prometheus/prometheus:v3}}
";
        let objects = parse("chart web", "demo", text).unwrap();
        let places: Vec<String> = objects.iter().map(|object| object.place.to_string()).collect();
        assert_eq!(places, ["chart web: Deployment web", "chart web: ConfigMap m", "chart web: Prometheus p"]);
        let images: Vec<String> =
            objects.iter().flat_map(|object| images(object).unwrap()).map(|r| r.to_string()).collect();
        let expected = [
            "docker.io/library/busybox:latest",
            "quay.io/x/data:2",
            "quay.io/x/y:1",
            "quay.io/prometheus/prometheus:v3",
        ];
        assert_eq!(images, expected);
    }

    #[test]
    fn what_helm_does_with_an_object_stands_in_its_annotations() {
        let text = "\
# Source: web/crds/tank.yaml
kind: CustomResourceDefinition
metadata: {name: tanks.example.org}
---
# Source: web/templates/crds/job.yaml
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: 'pre-install, pre-upgrade', helm.sh/resource-policy: keep}}
---
# Source: web/templates/tests/job.yaml
kind: Pod
metadata: {name: ask, annotations: {helm.sh/hook: test}}
";
        let of_chart = parse("chart web", "demo", text).unwrap();
        let seen: Vec<_> =
            of_chart.iter().map(|one| (one.is_made_once, one.hooks(), one.is_test(), one.is_kept())).collect();
        let expected = [
            (true, vec![], false, false),
            (false, vec!["pre-install", "pre-upgrade"], false, true),
            (false, vec!["test"], true, false),
        ];
        assert_eq!(seen, expected);
        let of_manifests = parse("manifests/plant-7/web.yaml", "demo", text).unwrap();
        assert!(of_manifests.iter().all(|one| !one.is_made_once && one.hooks().is_empty()));
    }
}
