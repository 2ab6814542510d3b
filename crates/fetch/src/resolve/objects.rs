//! Kubernetes objects in YAML, and the images they name.

use sealock_bundle::Reference;
use serde_json::Value;

use crate::error::FetchError;

/// Lists of containers in a pod's spec (Kubernetes API, `PodSpec`).
const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
/// Parts of objects that hold text of other programs, or people.
const OPAQUE: [&str; 4] = ["data", "stringData", "binaryData", "metadata"];

/// One object, and where it stands.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) value: Value,
    /// For the lock: `manifests/web.yaml: Deployment web`.
    pub(super) name: String,
    /// For an error: `manifests/web.yaml: Deployment web (line 12)`.
    pub(super) place: String,
}

/// Splits `text` into objects. `origin` is the file or chart it is from.
pub(super) fn parse(text: &str, origin: &str) -> Result<Vec<Object>, FetchError> {
    let mut objects = Vec::new();
    for Part { text, line, template } in split(text) {
        let value: Value = serde_saphyr::from_str(&text).map_err(|error| {
            let within = error.location().map_or(0, |location| location.line().saturating_sub(1));
            let origin = template.map_or_else(|| origin.to_owned(), |template| format!("{origin}: {template}"));
            FetchError::Objects { origin, line: line + within, reason: first_line(&error.to_string()) }
        })?;
        match value {
            Value::Null => {}
            Value::Object(ref map) if map.get("kind").is_some_and(|kind| kind == "List") => {
                let items = map.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
                objects.extend(items.into_iter().map(|value| located(value, origin, line)));
            }
            value => objects.push(located(value, origin, line)),
        }
    }
    Ok(objects)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn located(value: Value, origin: &str, line: u64) -> Object {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or("?").to_owned();
    let name = format!("{origin}: {} {}", text("/kind"), text("/metadata/name"));
    let place = format!("{name} (line {line})");
    Object { value, name, place }
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

/// Every image that an object names.
pub(super) fn images(object: &Object) -> Result<Vec<Reference>, FetchError> {
    let mut texts = Vec::new();
    collect(&object.value, &mut texts);
    texts
        .into_iter()
        .map(|text| {
            text.parse().map_err(|source| FetchError::NotAnImage {
                text: text.to_owned(),
                place: object.place.clone(),
                source,
            })
        })
        .collect()
}

/// Containers' images; image volumes; and `image:` with a text anywhere else, as custom resources have it.
fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("image", Value::String(text)) => texts.push(text),
                    ("image", Value::Object(volume)) => {
                        texts.extend(volume.get("reference").and_then(Value::as_str));
                        collect(value, texts);
                    }
                    (key, Value::Array(containers)) if CONTAINER_LISTS.contains(&key) => {
                        containers.iter().for_each(|container| collect(container, texts));
                    }
                    (key, _) if OPAQUE.contains(&key) && is_object(map) => {}
                    _ => collect(value, texts),
                }
            }
        }
        _ => {}
    }
}

/// Whether these are the fields of a whole object, so that `data` and `metadata` have their meaning.
fn is_object(map: &serde_json::Map<String, Value>) -> bool {
    map.contains_key("kind") && map.contains_key("apiVersion")
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
kind: List
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
