//! Kubernetes objects in YAML, and the images they name.

use sealock_bundle::{Reference, workload};
use serde_json::Value;

use crate::error::FetchError;

/// Lists stand in lists hardly ever.
const LIST_DEPTH: u8 = 4;

/// One object, and where it stands.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) value: Value,
    /// For the lock: `manifests/web.yaml: Deployment web`.
    pub(crate) name: String,
    /// For an error: `manifests/web.yaml: Deployment web (line 12)`.
    pub(crate) place: String,
    /// For a guess: `chart web 1.0.0: web/templates/app.yaml: Deployment web`.
    pub(crate) origin: String,
}

/// Splits `text` into objects. `origin` is the file or chart it is from.
pub(crate) fn parse(text: &str, origin: &str) -> Result<Vec<Object>, FetchError> {
    let mut objects = Vec::new();
    for Part { text, line, template } in split(text) {
        let value: Value = serde_saphyr::from_str(&text).map_err(|error| {
            let within = error.location().map_or(0, |location| location.line().saturating_sub(1));
            let origin = match &template {
                Some(template) => format!("{origin}: {template}"),
                None => origin.to_owned(),
            };
            FetchError::Objects { origin, line: line + within, reason: first_line(&error.to_string()) }
        })?;
        add(value, &Origin { name: origin, template: template.as_deref(), line }, LIST_DEPTH, &mut objects);
    }
    Ok(objects)
}

/// Where a document is from.
struct Origin<'a> {
    name: &'a str,
    template: Option<&'a str>,
    line: u64,
}

/// Adds an object, or the objects of a list of any kind.
fn add(mut value: Value, origin: &Origin<'_>, depth: u8, objects: &mut Vec<Object>) {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list && depth > 0 => {
            items.into_iter().for_each(|item| add(item, origin, depth - 1, objects));
        }
        items => {
            if let (Some(items), Value::Object(map)) = (items, &mut value) {
                map.insert("items".to_owned(), items);
            }
            if !value.is_null() {
                objects.push(located(value, origin));
            }
        }
    }
}

pub(crate) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn located(value: Value, origin: &Origin<'_>) -> Object {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or("?").to_owned();
    let what = format!("{} {}", text("/kind"), text("/metadata/name"));
    let name = format!("{}: {what}", origin.name);
    let place = format!("{name} (line {})", origin.line);
    let template = origin.template.map(|template| format!("{template}: ")).unwrap_or_default();
    let origin = format!("{}: {template}{what}", origin.name);
    Object { value, name, place, origin }
}

/// One document of a YAML stream.
struct Part {
    text: String,
    line: u64,
    /// Helm writes the template above each document.
    template: Option<String>,
}

fn split(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut part = Part { text: String::new(), line: 1, template: None };
    for (number, line) in (1..).zip(text.lines()) {
        let marker = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if let Some(rest) = marker {
            parts.push(std::mem::replace(&mut part, Part { text: String::new(), line: number + 1, template: None }));
            part.text.push_str(rest);
            part.text.push('\n');
            continue;
        }
        if let Some(template) = line.strip_prefix("# Source: ") {
            part.template = Some(template.trim().to_owned());
        }
        part.text.push_str(line);
        part.text.push('\n');
    }
    parts.push(part);
    parts.retain(|part| part.text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')));
    parts
}

/// Every image that an object names for certain.
pub(crate) fn images(object: &Object) -> Result<Vec<Reference>, FetchError> {
    let named = workload::images(&object.value).into_iter();
    named
        .map(|named| {
            named.text.parse().map_err(|source| FetchError::NotAnImage {
                text: named.text.to_owned(),
                place: object.place.clone(),
                source,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images_in(text: &str) -> Vec<String> {
        let objects = parse(text, "test.yaml").unwrap();
        let images = objects.iter().flat_map(|object| images(object).unwrap());
        images.map(|image| image.to_string()).collect()
    }

    #[test]
    fn images_are_found_wherever_kubernetes_takes_them() {
        let text = "
# a comment alone
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {image: not one}}
spec:
  template:
    spec:
      initContainers: [{name: a, image: busybox}]
      containers:
      - name: b
        image: quay.io/a/b:1
      volumes:
      - name: v
        image: {reference: quay.io/a/volume:2, pullPolicy: Always}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {image: neither this}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: p}
spec: {image: quay.io/prometheus/prometheus:v3}
---
apiVersion: v1
kind: PodList
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: inner}
  spec: {containers: [{image: ghcr.io/x/y}]}
";
        let found = images_in(text);
        let wanted = [
            "docker.io/library/busybox:latest",
            "quay.io/a/b:1",
            "quay.io/a/volume:2",
            "quay.io/prometheus/prometheus:v3",
            "ghcr.io/x/y:latest",
        ];
        let mut found: Vec<&str> = found.iter().map(String::as_str).collect();
        found.sort_unstable();
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_is_no_image_is_told_with_its_place() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - image: \"Bad Image\"\n";
        let objects = parse(text, "pods.yaml").unwrap();
        let error = images(&objects[0]).unwrap_err();
        insta::assert_snapshot!(error, @r#"pods.yaml: Pod p (line 1): "Bad Image" is not an image that can be carried"#);
    }

    #[test]
    fn broken_yaml_is_told_with_its_line() {
        let error = parse("a: 1\n---\n# Source: app/templates/x.yaml\nb: [1\nc: 2\n", "chart app 1.0.0").unwrap_err();
        assert!(error.to_string().starts_with("chart app 1.0.0: app/templates/x.yaml is not YAML at line"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn hostile_yaml_never_panics(text in "[a-z:\\-\\[\\]{}&*!|>'\"#\n ]{0,300}") {
            if let Ok(objects) = parse(&text, "x") {
                objects.iter().for_each(|object| { let _ = images(object); });
            }
        }
    }
}
