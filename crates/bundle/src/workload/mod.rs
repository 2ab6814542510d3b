//! The images that a Kubernetes object names for certain: where the Kubernetes API, or the API of a well-known
//! operator, takes an image and nothing else (docs/reference/image-discovery.md).

mod field;
mod known;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub use field::FieldPath;

/// Lists of containers in a pod's spec (Kubernetes API, `PodSpec`).
const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
/// Parts of objects that hold text of other programs, or people, or what a controller reports.
const OPAQUE: [&str; 5] = ["data", "stringData", "binaryData", "metadata", "status"];
/// What Istio's injector replaces by its proxy's image (Istio, "Installing Gateways").
pub const PLACEHOLDER: &str = "auto";

/// API groups whose objects describe other objects by patterns.
const PATTERNS: [&str; 2] = ["kyverno.io", "gatekeeper.sh"];
/// API groups whose objects are filled in when they run; what they are filled in with is found where it stands.
const TEMPLATES: [&str; 2] = ["argoproj.io", "tekton.dev"];

/// An image that an object names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedImage<'a> {
    /// What stands there; whether it is a reference is for the caller to say.
    pub text: &'a str,
    /// Where it stands in the object.
    pub path: FieldPath,
}

/// The images that `object` names for certain, in the order of its fields: containers of every kind and image volumes,
/// wherever a pod's spec stands in it, and the fields of custom resources that are known to be images.
pub fn images(object: &Value) -> Vec<NamedImage<'_>> {
    let group = group(object);
    let is_in = |groups: &[&str]| groups.iter().any(|known| group.ends_with(known));
    if is_in(&PATTERNS) {
        return Vec::new();
    }
    let mut found = Vec::new();
    pods(object, &FieldPath::default(), &mut found);
    known::collect(object, &mut found);
    let templates = is_in(&TEMPLATES);
    let is_left_out = |text: &str| {
        text.is_empty() || text == PLACEHOLDER || (templates && (text.contains("{{") || text.contains("$(")))
    };
    let mut seen = BTreeSet::new();
    found.retain(|image: &NamedImage<'_>| !is_left_out(image.text) && seen.insert(image.path.clone()));
    found
}

/// The API group of an object; empty for the core one.
fn group(object: &Value) -> &str {
    let version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    version.split_once('/').map_or("", |(group, _version)| group)
}

fn pods<'a>(value: &'a Value, path: &FieldPath, found: &mut Vec<NamedImage<'a>>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(number, item)| pods(item, &path.item(number), found));
        }
        Value::Object(map) => fields(map, path, found),
        _ => {}
    }
}

fn fields<'a>(map: &'a Map<String, Value>, path: &FieldPath, found: &mut Vec<NamedImage<'a>>) {
    let whole = is_object(map);
    for (key, value) in map {
        let path = path.field(key);
        match (key.as_str(), value) {
            (key, _) if whole && OPAQUE.contains(&key) => continue,
            (key, Value::Array(containers)) if CONTAINER_LISTS.contains(&key) => {
                of_containers(containers, &path, found);
            }
            ("volumes", Value::Array(volumes)) => of_volumes(volumes, &path, found),
            _ => {}
        }
        pods(value, &path, found);
    }
}

fn of_containers<'a>(containers: &'a [Value], path: &FieldPath, found: &mut Vec<NamedImage<'a>>) {
    for (number, container) in containers.iter().enumerate() {
        if let Some(text) = container.get("image").and_then(Value::as_str) {
            found.push(NamedImage { text, path: path.item(number).field("image") });
        }
    }
}

/// Image volumes (Kubernetes API, `ImageVolumeSource`).
fn of_volumes<'a>(volumes: &'a [Value], path: &FieldPath, found: &mut Vec<NamedImage<'a>>) {
    for (number, volume) in volumes.iter().enumerate() {
        if let Some(text) = volume.pointer("/image/reference").and_then(Value::as_str) {
            found.push(NamedImage { text, path: path.item(number).field("image").field("reference") });
        }
    }
}

/// Whether these are the fields of a whole object, so that `data` and `metadata` have their meaning.
pub fn is_object(map: &Map<String, Value>) -> bool {
    map.contains_key("kind") && map.contains_key("apiVersion")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let object: Value = serde_saphyr::from_str(text).unwrap();
        images(&object).iter().map(|image| format!("{} {}", image.path, image.text)).collect()
    }

    #[test]
    fn pod_specs_are_found_at_any_depth() {
        let text = "
apiVersion: example.org/v1
kind: Fleet
metadata: {name: f, annotations: {image: not one}}
spec:
  groups:
  - template:
      spec:
        initContainers: [{name: a, image: busybox}, {name: mesh, image: auto}]
        containers: [{name: b, image: 'quay.io/a/b:1'}, {name: c}]
        ephemeralContainers: [{name: d, image: 'quay.io/a/d:1'}]
        volumes: [{name: v, image: {reference: 'quay.io/a/volume:2', pullPolicy: Always}}]
status: {containers: [{image: quay.io/a/status:1}]}
";
        let wanted = [
            "spec.groups[0].template.spec.containers[0].image quay.io/a/b:1",
            "spec.groups[0].template.spec.ephemeralContainers[0].image quay.io/a/d:1",
            "spec.groups[0].template.spec.initContainers[0].image busybox",
            "spec.groups[0].template.spec.volumes[0].image.reference quay.io/a/volume:2",
        ];
        let mut found = found(text);
        found.sort();
        assert_eq!(found, wanted);
    }

    #[test]
    fn known_fields_of_custom_resources_are_certain() {
        let prometheus = "apiVersion: monitoring.coreos.com/v1\nkind: Prometheus\nmetadata: {name: p}\nspec: {image: 'quay.io/prometheus/prometheus:v3', thanos: {image: 'quay.io/thanos/thanos:v1'}}\n";
        assert_eq!(found(prometheus).len(), 2);
        let stranger = prometheus.replace("monitoring.coreos.com", "example.org");
        assert_eq!(found(&stranger), [""; 0]);
        let steps = "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\nspec: {steps: [{name: a, image: bash}, {name: b, image: 'golang:1'}]}\n";
        assert_eq!(found(steps), ["spec.steps[0].image bash", "spec.steps[1].image golang:1"]);
    }

    #[test]
    fn patterns_and_what_is_filled_in_later_name_nothing() {
        let policy = "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nspec: {pattern: {spec: {containers: [{image: '!*:latest'}]}}}\n";
        assert_eq!(found(policy), [""; 0]);
        let task = "apiVersion: tekton.dev/v1\nkind: Task\nspec: {steps: [{image: $(params.image)}]}\n";
        assert_eq!(found(task), [""; 0]);
        let pod = "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: '${IMAGE}'}]}\n";
        assert_eq!(found(pod), ["spec.containers[0].image ${IMAGE}"]);
    }

    #[test]
    fn data_of_a_config_map_is_not_the_objects_own() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {containers: [{image: x}]}\n";
        assert_eq!(found(text), [""; 0]);
    }
}
