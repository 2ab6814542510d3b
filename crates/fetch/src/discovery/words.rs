//! Names of fields, flags and variables, as words.

/// Last words that make a name say something about an image, and not which.
const ABOUT: &[&str] = &[
    "age",
    "cache",
    "class",
    "credential",
    "credentials",
    "dir",
    "directory",
    "digest",
    "domain",
    "enabled",
    "family",
    "filter",
    "format",
    "gc",
    "hash",
    "height",
    "host",
    "id",
    "interval",
    "kind",
    "limit",
    "path",
    "paths",
    "percent",
    "platform",
    "plural",
    "policies",
    "policy",
    "port",
    "prefix",
    "project",
    "provider",
    "pull",
    "registries",
    "registry",
    "scan",
    "scanner",
    "secret",
    "secrets",
    "sha",
    "shasum",
    "singular",
    "size",
    "spec",
    "suffix",
    "tag",
    "tags",
    "threshold",
    "timeout",
    "title",
    "type",
    "verification",
    "version",
    "versions",
    "volume",
    "width",
];

/// Whether a field, flag or variable called `name` holds an image by its name: `image`, `baseImage`, `RELATED_IMAGE_X`,
/// `--config-reloader-image`, `sidecar.istio.io/proxyImage`; and not `imagePullPolicy` or `imageTag`.
pub(super) fn name_image(name: &str) -> bool {
    let words = split(name.rsplit('/').next().unwrap_or(name));
    let says = |word: &String| word.ends_with("image") || word.ends_with("images") || word == "img";
    words.iter().any(says) && words.last().is_some_and(|last| !ABOUT.contains(&last.as_str()))
}

/// Whether the name ends in words for a repository of images: `imageRepository`, `IMAGE_REPO`.
pub(super) fn name_repository(name: &str) -> bool {
    let words = split(name);
    words.last().is_some_and(|last| matches!(last.as_str(), "repository" | "repo"))
}

/// Lower-case words of a name in camel, snake or kebab case.
fn split(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut was_lower = false;
    for c in name.chars() {
        let boundary = !c.is_ascii_alphanumeric() || (was_lower && c.is_ascii_uppercase());
        if boundary && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
        }
        was_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_hold_an_image_are_told_from_names_about_one() {
        for name in [
            "image",
            "images",
            "baseImage",
            "imageName",
            "sidecarimage",
            "RELATED_IMAGE_PROMETHEUS",
            "WEBHOOK_IMG",
            "config-reloader-image",
            "sidecar.istio.io/proxyImage",
            "helper_image",
        ] {
            assert!(name_image(name), "{name}");
        }
        for name in [
            "imagePullPolicy",
            "imagePullSecrets",
            "imageTag",
            "image-gc-high-threshold-percent",
            "imageRegistry",
            "imagine",
            "IMAGE_VERSION",
            "image.cattle.io/size",
            "repository",
        ] {
            assert!(!name_image(name), "{name}");
        }
    }
}
