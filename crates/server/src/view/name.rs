//! Names as the OCI distribution specification 1.1 has them, and the way from an upstream name to a repository.

/// Longest repository name; clients and other registries go no further.
const LONGEST_NAME: usize = 255;

/// Longest tag (OCI distribution specification 1.1, "Pulling manifests").
const LONGEST_TAG: usize = 128;

/// The names under which Docker Hub is known.
const DOCKER_HUB: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

/// Whether `name` is a legal repository name.
pub(crate) fn is_repository(name: &str) -> bool {
    name.len() <= LONGEST_NAME && name.split('/').all(is_component)
}

/// Whether `tag` is a legal tag.
pub(crate) fn is_tag(tag: &str) -> bool {
    let mut bytes = tag.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    tag.len() <= LONGEST_TAG && first && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = text.split(|c: char| c.is_ascii() && alphanumeric(c as u8)).filter(|part| !part.is_empty());
    let ends = [text.bytes().next(), text.bytes().next_back()];
    ends.into_iter().all(|end| end.is_some_and(alphanumeric))
        && separators.into_iter().all(|part| matches!(part, "." | "_" | "__") || part.bytes().all(|byte| byte == b'-'))
}

/// The first component of the repositories that come from the upstream registry `host`, which may carry a port:
/// `localhost:5000` becomes `localhost__5000`, and every name of Docker Hub `docker.io`. Nothing for an illegal host.
pub(crate) fn upstream_prefix(host: &str) -> Option<String> {
    let host = host.to_ascii_lowercase();
    if DOCKER_HUB.contains(&host.as_str()) {
        return Some("docker.io".into());
    }
    let prefix = match host.split_once(':') {
        Some((name, port)) => {
            port.parse::<u16>().ok()?;
            format!("{name}__{port}")
        }
        None => host,
    };
    is_component(&prefix).then_some(prefix)
}

/// A reference of a release, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReferenceName {
    pub(crate) repository: String,
    /// None where the reference ends in a digest.
    pub(crate) tag: Option<String>,
}

impl ReferenceName {
    /// Takes `registry.k8s.io/pause:3.10.2` or `registry.k8s.io/pause@sha256:…` apart; nothing for an illegal one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (rest, is_by_digest) = text.split_once('@').map_or((text, false), |(rest, _)| (rest, true));
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (path, tag) = match rest[last..].find(':') {
            Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
            None => (rest, None),
        };
        if tag.is_none() && !is_by_digest || tag.is_some_and(|tag| !is_tag(tag)) {
            return None;
        }
        let repository = match path.split_once('/') {
            Some((host, path)) if is_host(host) => format!("{}/{path}", upstream_prefix(host)?),
            _ => path.to_owned(),
        };
        is_repository(&repository).then(|| Self { repository, tag: tag.map(str::to_owned) })
    }
}

/// Docker's rule: a first component with a dot or a port is a host.
fn is_host(component: &str) -> bool {
    component.contains(['.', ':'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repository_names_follow_the_specification() {
        for good in ["a", "registry.k8s.io/coredns/coredns", "a__b", "a-----b", "localhost__5000/x", "0"] {
            assert!(is_repository(good), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", ".a", "a-", "..", "a/../b", "a b", "é", "a%2fb"]
        {
            assert!(!is_repository(bad), "{bad}");
        }
        assert!(!is_repository(&"a".repeat(256)));
    }

    #[test]
    fn tags_follow_the_specification() {
        for good in ["latest", "v1.36.3", "_x", "3.10.2", "sha256-abc.sig", "A"] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["", ".x", "-x", "a/b", "a:b", "a b", &"a".repeat(129)] {
            assert!(!is_tag(bad), "{bad}");
        }
    }

    #[test]
    fn upstream_hosts_become_first_components() {
        let cases = [
            ("registry.k8s.io", Some("registry.k8s.io")),
            ("index.docker.io", Some("docker.io")),
            ("Registry-1.Docker.IO", Some("docker.io")),
            ("localhost:5000", Some("localhost__5000")),
            ("..", None),
            ("a/b", None),
            ("host:port", None),
            ("[::1]:5000", None),
            ("", None),
        ];
        for (host, prefix) in cases {
            assert_eq!(upstream_prefix(host).as_deref(), prefix, "{host}");
        }
    }

    #[test]
    fn references_are_taken_apart() {
        let parse = |text| ReferenceName::parse(text).map(|name| (name.repository, name.tag.unwrap_or_default()));
        let some = |repository: &str, tag: &str| Some((repository.to_owned(), tag.to_owned()));
        assert_eq!(parse("registry.k8s.io/pause:3.10.2"), some("registry.k8s.io/pause", "3.10.2"));
        assert_eq!(parse("localhost:5000/a/b:c"), some("localhost__5000/a/b", "c"));
        assert_eq!(parse("manifests/plant-7/app.yaml:3"), some("manifests/plant-7/app.yaml", "3"));
        assert_eq!(parse("quay.io/x/y@sha256:abc"), some("quay.io/x/y", ""));
        assert_eq!(parse("quay.io/x/y:z@sha256:abc"), some("quay.io/x/y", "z"));
        for bad in ["", ":", "a", "a:", "a/:b", "../a:b", "A/b:c", "a:b:c", "a/b"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_brings_the_parsers_down(text in ".{0,300}") {
            let _ = is_repository(&text);
            let _ = is_tag(&text);
            let _ = upstream_prefix(&text);
            if let Some(name) = ReferenceName::parse(&text) {
                prop_assert!(is_repository(&name.repository));
            }
        }
    }
}
