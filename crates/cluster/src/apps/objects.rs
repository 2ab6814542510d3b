//! Kubernetes objects in YAML, and the images that they name.

use std::fmt;

use sealock_bundle::{Reference, workload};
use serde_json::Value;

use super::AppError;

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
}

impl Object {
    pub(super) fn namespace(&self) -> Option<&str> {
        self.value.pointer("/metadata/namespace").and_then(Value::as_str)
    }

    /// Whether Helm makes it anew each time, as a part of its work.
    pub(super) fn is_hook(&self) -> bool {
        self.value.pointer("/metadata/annotations/helm.sh~1hook").is_some()
    }
}

/// The objects in `text`, which comes from `origin`.
pub(super) fn parse(origin: &str, text: &str) -> Result<Vec<Object>, AppError> {
    let mut objects = Vec::new();
    for document in documents(text) {
        let value: Value = serde_saphyr::from_str(&document).map_err(|error| AppError::Yaml {
            origin: origin.into(),
            problem: error.to_string().lines().next().unwrap_or_default().to_owned(),
        })?;
        add(origin, value, &mut objects);
    }
    Ok(objects)
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

fn add(origin: &str, value: Value, objects: &mut Vec<Object>) {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    if kind.ends_with("List")
        && let Some(items) = value.get("items").and_then(Value::as_array)
    {
        items.iter().for_each(|item| add(origin, item.clone(), objects));
        return;
    }
    if !value.is_null() {
        objects.push(Object { place: Place { origin: origin.into(), kind, name }, value });
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
        let objects = parse("chart web", text).unwrap();
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
}
