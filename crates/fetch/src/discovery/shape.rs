//! Whether a text looks like an image.

use sealock_bundle::{Reference, workload};

/// A reference has at most a host, a repository, a tag and a digest.
const LONGEST: usize = 600;
/// What templates and globs are made of, and no reference holds.
const FOREIGN: [char; 16] = ['{', '}', '$', '<', '>', '*', '%', '?', '#', '&', '!', '\\', ' ', '\t', '\n', '+'];
/// Endings of files that people call an image, or that stand where one could be.
const FILES: &[&str] = &[
    "bin", "conf", "crt", "css", "gif", "gz", "html", "ico", "img", "ini", "iso", "jpeg", "jpg", "js", "json", "key",
    "log", "md", "ova", "pem", "png", "py", "qcow2", "raw", "service", "sh", "so", "sock", "svg", "tar", "tgz", "toml",
    "txt", "vhd", "vmdk", "webp", "xml", "yaml", "yml", "zip",
];
/// Hosts that stand in front of a path with a slash and are no registries: API groups, code, the cluster itself.
const NO_REGISTRIES: &[&str] = &["kubernetes.io", "cluster.local", "svc", "github.com", "gitlab.com", "bitbucket.org"];
/// Last parts of taints: `node.example.org/not-ready:NoSchedule`.
const EFFECTS: [&str; 3] = ["NoSchedule", "NoExecute", "PreferNoSchedule"];

/// The image in `text`, where a name says that it is one. Without a tag and digest it must have a slash.
pub(super) fn named(text: &str) -> Option<Reference> {
    let text = candidate(text)?;
    let (name, tag) = split(text);
    let has_slash = name.contains('/');
    let fits = match tag {
        _ if text.contains('@') => true,
        Some(tag) => has_slash || !(is_port(tag) || name.contains('.') || name == "localhost"),
        None => has_slash,
    };
    (fits && !is_file(text) && is_worded(name)).then(|| text.parse().ok()).flatten()
}

/// The image in `text`, where nothing says that it is one: registry, repository, and a tag or digest must be there.
pub(super) fn plain(text: &str) -> Option<Reference> {
    let text = candidate(text)?;
    if text.contains('@') {
        return text.parse().ok();
    }
    let (name, tag) = split(text);
    let (host, _path) = name.split_once('/')?;
    let fits = is_host(host) && tag.is_some_and(|tag| !EFFECTS.contains(&tag) && !is_port(tag));
    (fits && !is_file(text)).then(|| text.parse().ok()).flatten()
}

/// The image in `text`, where it stands beside a container's other fields: any name will do.
pub(super) fn in_container(text: &str) -> Option<Reference> {
    let text = candidate(text)?;
    (!is_file(text)).then(|| text.parse().ok()).flatten()
}

/// Nothing of a template, no URL, and no path of a file.
fn candidate(text: &str) -> Option<&str> {
    let text = text.trim();
    let text = text.strip_prefix("docker://").or_else(|| text.strip_prefix("docker-pullable://")).unwrap_or(text);
    let odd = text.is_empty()
        || text == workload::PLACEHOLDER
        || text.len() > LONGEST
        || text.starts_with(['/', '.', '-', ':'])
        || text.contains("://")
        || text.contains(FOREIGN);
    (!odd).then_some(text)
}

fn split(text: &str) -> (&str, Option<&str>) {
    let text = text.split_once('@').map_or(text, |(name, _digest)| name);
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// Names have letters; versions, addresses and sizes hardly do.
fn is_worded(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    let letters = last.chars().filter(char::is_ascii_alphabetic).count();
    letters >= 2 || (letters == 1 && name.contains('/'))
}

/// `redis:6379` is an address, `redis:7` and `alpine:20240807` are images.
fn is_port(tag: &str) -> bool {
    matches!(tag.len(), 4..=5) && tag.bytes().all(|byte| byte.is_ascii_digit()) || matches!(tag, "80" | "443")
}

fn is_file(text: &str) -> bool {
    let last = text.rsplit('/').next().unwrap_or(text);
    let ending = |(stem, ending): (&str, &str)| !stem.contains(':') && FILES.contains(&ending);
    last.rsplit_once('.').is_some_and(ending)
}

/// Whether `name` begins with the host of a registry.
pub(super) fn has_host(name: &str) -> bool {
    name.split_once('/').is_some_and(|(host, _path)| is_host(host))
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let foreign = |known: &str| name == known || name.strip_suffix(known).is_some_and(|rest| rest.ends_with('.'));
    let ends_in_word = name.rsplit('.').next().is_some_and(|last| last.bytes().any(|byte| byte.is_ascii_alphabetic()));
    let dotted = name.contains('.') && (ends_in_word || port.is_some());
    (dotted || port.is_some() || name == "localhost") && !NO_REGISTRIES.iter().any(|known| foreign(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_name_lets_short_forms_pass() {
        for text in
            ["prom/prometheus", "redis:7", "quay.io/a/b", "localhost:5000/a", "alpine:20240807", "quay.io/a/b:1443"]
        {
            assert!(named(text).is_some(), "{text}");
        }
        assert!(named(&format!("etcd@{DIGEST}")).is_some());
        assert!(named("docker://quay.io/containerdisks/fedora:40").is_some());
    }

    #[test]
    fn versions_addresses_paths_templates_and_urls_are_no_images() {
        for text in [
            "",
            "v1.2.3",
            "1.36",
            "ubuntu",
            "redis:6379",
            "localhost:8080",
            "10.0.0.1:80",
            "example.com:8443",
            "/var/lib/x",
            "./a/b",
            "https://quay.io/a/b:1",
            "oci://ghcr.io/a/b",
            "{{ .Values.image }}",
            "a/b:{{x}}",
            "${IMAGE}",
            "$(IMAGE)",
            "assets/logo.png",
            "disks/fedora.qcow2",
            "quay.io/a/b:v1.0+k3s1",
            "true",
            "1/2",
            "hello world/x:1",
            "A/B:1",
            "50%",
            "*/*:latest",
        ] {
            assert_eq!(named(text), None, "{text}");
        }
    }

    #[test]
    fn without_a_name_a_reference_must_be_complete() {
        for text in ["quay.io/a/b:v1", "registry.k8s.io/pause:3.10", "10.0.0.1:5000/a/b:1", "localhost:5000/a:x"] {
            assert!(plain(text).is_some(), "{text}");
        }
        assert!(plain(&format!("quay.io/a/b@{DIGEST}")).is_some());
        for text in [
            "redis:7",
            "prom/prometheus:v1",
            "rbac.authorization.k8s.io/v1",
            "kubernetes.io/os:linux",
            "node.kubernetes.io/not-ready:NoExecute",
            "node.cilium.io/agent-not-ready:NoSchedule",
            "web.shop.svc.cluster.local/x:1",
            "example.org/health:8080",
            "github.com/a/b:v1",
            "a@b.example",
            "1.2/3:4",
            "service.example.org:8443/path",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            let _ = (named(&text), plain(&text), in_container(&text));
        }
    }
}
