//! Images in parts: `{registry, repository, tag, digest}`, and fields that complete each other.

use sealock_bundle::Reference;
use sealock_trust::Digest;
use serde_json::{Map, Value};

use super::{shape, words};

/// What completes images that have parts left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    /// The tag where none stands: in values, the chart's `appVersion`.
    pub(super) tag: Option<String>,
    /// The registry where none stands: in values, `global.imageRegistry`.
    pub(super) registry: Option<String>,
}

/// An image, and the keys of the mapping that it was made of.
pub(super) struct Composed {
    pub(super) image: Reference,
    /// The key of the repository.
    pub(super) key: String,
    pub(super) used: Vec<String>,
}

/// Fields that hold a tag, in a mapping that is one image.
const TAGS: [&str; 4] = ["tag", "imageTag", "version", "newTag"];
const DIGESTS: [&str; 4] = ["digest", "sha", "sha256", "imageDigest"];
const REGISTRIES: [&str; 4] = ["registry", "hub", "imageRegistry", "domain"];
/// Fields that make a mapping with a `repository` one of an image: a repository of charts or of code has none of them.
const OF_AN_IMAGE: [&str; 9] =
    ["tag", "image", "imageTag", "digest", "sha", "sha256", "registry", "pullPolicy", "imagePullPolicy"];

/// The image that `map` is as a whole. `name` is the field that holds it.
pub(super) fn whole(map: &Map<String, Value>, name: &str, defaults: &Defaults) -> Option<Composed> {
    let key = repository_key(map, name)?;
    let repository = &folder_and_name(map, key)?;
    let tag_key = TAGS.into_iter().find(|tag| scalar(map, tag).is_some());
    let digest_key = DIGESTS.into_iter().find(|digest| text(map, digest).is_some());
    let registry_key = REGISTRIES.into_iter().find(|registry| text(map, registry).is_some());
    let default = defaults.registry.as_deref().filter(|_| !shape::has_host(repository));
    let registry = registry_key.and_then(|key| text(map, key)).or(default);
    let tag = tag_key.and_then(|key| scalar(map, key)).or_else(|| defaults.tag.clone());
    let digest = digest_key.and_then(|key| digest(text(map, key)?));
    let named = words::name_image(name) || registry_key.is_some() || words::name_image(key);
    if tag.is_none() && digest.is_none() && !has_tag(repository) && !named {
        return None;
    }
    let image = join(registry, repository, tag.as_deref(), digest.as_ref())?;
    let image_key = (key == "repository").then_some("image");
    let keys = [Some(key), tag_key, digest_key, registry_key, image_key];
    let used = keys.into_iter().flatten().map(str::to_owned).collect();
    Some(Composed { image, key: key.to_owned(), used })
}

/// `{repository: nvcr.io/x, image: driver}`: the repository is a folder, where an image stands beside it.
fn folder_and_name(map: &Map<String, Value>, key: &str) -> Option<String> {
    let repository = text(map, key)?;
    match text(map, "image").filter(|_| key == "repository") {
        Some(image) => Some(format!("{}/{image}", repository.trim_end_matches('/'))),
        None => Some(repository.to_owned()),
    }
}

fn repository_key<'a>(map: &Map<String, Value>, name: &str) -> Option<&'a str> {
    let is_image = || words::name_image(name) || OF_AN_IMAGE.iter().any(|key| map.contains_key(*key));
    let parts = || TAGS.iter().chain(&DIGESTS).any(|key| map.contains_key(*key));
    if text(map, "repository").is_some() && is_image() {
        return Some("repository");
    }
    if text(map, "name").is_some() && words::name_image(name) && parts() {
        return Some("name");
    }
    // Istio and others: the hub, the last part of the name, and the tag stand side by side.
    let has_registry = REGISTRIES.iter().any(|key| text(map, key).is_some());
    (text(map, "image").is_some() && has_registry && parts()).then_some("image")
}

/// Images that some fields of `map` make up together: `baseImage` and `version`, `fooRepository` and `fooTag`.
pub(super) fn pairs(map: &Map<String, Value>) -> Vec<Composed> {
    map.keys().filter_map(|key| pair(map, key)).collect()
}

fn pair(map: &Map<String, Value>, key: &str) -> Option<Composed> {
    let repository = text(map, key)?;
    let is_repository = words::name_repository(key);
    if has_tag(repository) || !(words::name_image(key) || is_repository && key != "repository") {
        return None;
    }
    let tag_key = tag_keys(key, is_repository).into_iter().find(|tag| scalar(map, tag).is_some())?;
    let image = join(None, repository, scalar(map, &tag_key).as_deref(), None)?;
    Some(Composed { image, key: key.to_owned(), used: vec![key.to_owned(), tag_key] })
}

fn tag_keys(key: &str, is_repository: bool) -> Vec<String> {
    let upper = key.bytes().all(|byte| !byte.is_ascii_lowercase());
    let ends = ["_REPOSITORY", "_REPO", "_repository", "_repo", "-repository", "-repo", "Repository", "Repo", "Name"];
    let words = ["_IMAGE", "_image", "-image", "Image"];
    let mut stems = vec![key];
    stems.extend(ends.iter().chain(&words).find_map(|end| key.strip_suffix(end)));
    let ends: &[&str] =
        if upper { &["_TAG", "_VERSION"] } else { &["Tag", "_tag", "-tag", "Version", "-version", "_version"] };
    let mut keys: Vec<String> =
        stems.iter().flat_map(|stem| ends.iter().map(move |end| format!("{stem}{end}"))).collect();
    if !is_repository && !upper {
        keys.extend(["tag", "imageTag", "version"].map(str::to_owned));
    }
    keys
}

fn join(registry: Option<&str>, repository: &str, tag: Option<&str>, digest: Option<&Digest>) -> Option<Reference> {
    let repository = repository.trim().trim_end_matches('/');
    let registry = registry.map(|text| text.trim().trim_end_matches('/')).filter(|text| !text.is_empty());
    let registry = registry.filter(|registry| !repository.starts_with(&format!("{registry}/")));
    let name = registry.map_or_else(|| repository.to_owned(), |registry| format!("{registry}/{repository}"));
    let text = match (tag, digest) {
        _ if has_tag(repository) => name,
        (Some(tag), Some(digest)) => format!("{name}:{tag}@{digest}"),
        (Some(tag), None) => format!("{name}:{tag}"),
        (None, Some(digest)) => format!("{name}@{digest}"),
        (None, None) => name,
    };
    shape::in_container(&text)
}

fn has_tag(text: &str) -> bool {
    text.contains('@') || text.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

fn digest(text: &str) -> Option<Digest> {
    let text = text.trim();
    text.parse().or_else(|_| format!("sha256:{text}").parse()).ok()
}

fn text<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

/// Tags are numbers to YAML, where nobody quoted them.
fn scalar(map: &Map<String, Value>, key: &str) -> Option<String> {
    match map.get(key)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Option<String> {
        let value: Value = serde_saphyr::from_str(text).unwrap();
        whole(value.as_object().unwrap(), name, &Defaults::default()).map(|composed| composed.image.to_string())
    }

    #[test]
    fn parts_become_whole() {
        let tagged = Some("quay.io/a/b:1.2".to_owned());
        assert_eq!(of("image", "{registry: quay.io, repository: a/b, tag: '1.2'}"), tagged);
        assert_eq!(of("x", "{registry: quay.io, repository: quay.io/a/b, tag: '1.2'}"), tagged);
        assert_eq!(of("x", "{hub: quay.io/a, image: b, tag: '1.2'}"), tagged);
        assert_eq!(of("sidecarImage", "{name: quay.io/a/b, tag: 1.2}"), tagged);
        assert_eq!(of("image", "{repository: a/b}"), Some("docker.io/a/b:latest".to_owned()));
        assert_eq!(of("source", "{repository: a/b}"), None);
        assert_eq!(of("chart", "{repository: 'https://charts.example', version: 1.0.0}"), None);
        assert_eq!(of("image", "{repository: '{{ .x }}', tag: 1}"), None);
    }

    #[test]
    fn neighbours_complete_each_other() {
        let pairs_of = |text: &str| -> Vec<String> {
            let value: Value = serde_saphyr::from_str(text).unwrap();
            pairs(value.as_object().unwrap()).iter().map(|composed| composed.image.to_string()).collect()
        };
        assert_eq!(pairs_of("{baseImage: quay.io/a/b, version: v3}"), ["quay.io/a/b:v3"]);
        assert_eq!(pairs_of("{initImageRepository: a/b, initImageTag: x}"), ["docker.io/a/b:x"]);
        assert_eq!(pairs_of("{AGENT_IMAGE_REPOSITORY: a/b, AGENT_IMAGE_TAG: x}"), ["docker.io/a/b:x"]);
        assert_eq!(pairs_of("{image: 'quay.io/a/b:v2', version: v3}"), [""; 0]);
        assert_eq!(pairs_of("{repository: a/b, version: v3}"), [""; 0]);
    }
}
