//! References: names of artifacts, as the container ecosystem writes them.
//!
//! The grammar is that of the OCI distribution specification 1.1 ("Pulling manifests"); the short forms that people
//! write (`postgres:17`) are completed as Docker and containerd do.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use sealock_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::names::{BundleName, ParseNameError};

const DOCKER_HUB: &str = "docker.io";
/// Other names of the same registry.
const DOCKER_HUB_ALIASES: [&str; 3] = ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
const MAX_REPOSITORY: usize = 255;
const MAX_TAG: usize = 128;

/// A complete reference: registry, repository, and a tag, a digest or both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Host of the registry, with its port where it has one: `registry.k8s.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Repository within the registry: `library/postgres`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Registry and repository: `docker.io/library/postgres`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The tag. Absent only where a digest stands instead.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where the reference pins one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What a registry is asked for: the digest, and else the tag.
    pub fn tag_or_digest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The same repository under another tag, without a digest.
    ///
    /// # Errors
    /// When `tag` is not a legal tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ParseNameError> {
        check_tag(tag)?;
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same reference, pinned to `digest`.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }
}

impl FromStr for Reference {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (rest, digest) = split_digest(text)?;
        let (name, tag) = split_tag(rest);
        let (registry, repository) = split_registry(name);
        check_registry(text, &registry)?;
        check_repository(text, &repository)?;
        tag.map_or(Ok(()), check_tag)?;
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self { registry, repository, tag, digest })
    }
}

fn split_digest(text: &str) -> Result<(&str, Option<Digest>), ParseNameError> {
    let Some((rest, digest)) = text.split_once('@') else {
        return Ok((text, None));
    };
    let rule = "the part behind '@' is a digest: sha256: and 64 lower-case hexadecimal characters";
    let digest = digest.parse().map_err(|_| ParseNameError::new("reference", text, rule))?;
    Ok((rest, Some(digest)))
}

fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

fn split_registry(name: &str) -> (String, String) {
    match name.split_once('/') {
        Some((host, path)) if host == DOCKER_HUB || DOCKER_HUB_ALIASES.contains(&host) => {
            let library = if path.contains('/') { "" } else { "library/" };
            (DOCKER_HUB.to_owned(), format!("{library}{path}"))
        }
        Some((host, path)) if is_host(host) => (host.to_owned(), path.to_owned()),
        Some(_) => (DOCKER_HUB.to_owned(), name.to_owned()),
        None => (DOCKER_HUB.to_owned(), format!("library/{name}")),
    }
}

fn is_host(first_component: &str) -> bool {
    first_component.contains(['.', ':']) || first_component == "localhost"
}

fn check_registry(text: &str, registry: &str) -> Result<(), ParseNameError> {
    let rule = "the registry is a host name or IPv4 address, in lower case, with a port where needed";
    let (host, port) = match registry.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (registry, None),
    };
    let label = |label: &str| {
        let legal = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() || byte == b'-';
        !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && label.bytes().all(legal)
    };
    let port_is_number = port.is_none_or(|port| port.parse::<u16>().is_ok());
    if host.len() <= 253 && host.split('.').all(label) && port_is_number {
        Ok(())
    } else {
        Err(ParseNameError::new("reference", text, rule))
    }
}

fn check_repository(text: &str, repository: &str) -> Result<(), ParseNameError> {
    let rule = "the repository is made of lower-case letters, digits, and '.', '_', '__' or '-' between them";
    if repository.len() <= MAX_REPOSITORY && repository.split('/').all(is_component) {
        Ok(())
    } else {
        Err(ParseNameError::new("reference", text, rule))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` of the OCI distribution specification.
pub(crate) fn is_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_digit() || c.is_ascii_lowercase();
    let legal_separator =
        |separator: &str| matches!(separator, "." | "_" | "__") || separator.chars().all(|c| c == '-');
    let edges_fit = component.starts_with(alphanumeric) && component.ends_with(alphanumeric);
    edges_fit && component.split(alphanumeric).filter(|part| !part.is_empty()).all(legal_separator)
}

/// The registry serves `docker.io` under all of its names, and `host:5000` as `host__5000`. In a bundle only one of the
/// spellings stands, so that two names are two places and a conflict is seen as one.
fn check_only_name(text: &str, repository: &str) -> Result<(), ParseNameError> {
    let rule = "images of Docker Hub are called docker.io/…, and no first component holds '__'";
    let first = repository.split('/').next().unwrap_or(repository);
    if DOCKER_HUB_ALIASES.contains(&first) || first.contains("__") {
        return Err(ParseNameError::new("artifact name", text, rule));
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<(), ParseNameError> {
    let rule = "a tag is at most 128 letters, digits, '_', '.' and '-', and begins with a letter, digit or '_'";
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first_fits = tag.bytes().next().is_some_and(word);
    let rest_fits = tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
    if tag.len() <= MAX_TAG && first_fits && rest_fits { Ok(()) } else { Err(ParseNameError::new("tag", tag, rule)) }
}

impl TryFrom<String> for Reference {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// The reference under which a file downloaded from `url` travels, tagged `tag`.
///
/// Host and path are kept, so that a person recognises them:
/// `https://dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubeadm` becomes
/// `dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubeadm:v1.36.3`.
///
/// # Errors
/// When no legal reference can be made of the URL or the tag.
pub fn of_url(url: &str, tag: &str) -> Result<Reference, ParseNameError> {
    let without_scheme = url.split_once("://").map_or(url, |(_scheme, rest)| rest);
    let without_query = without_scheme.split(['?', '#']).next().unwrap_or(without_scheme);
    let (host, path) = without_query.split_once('/').unwrap_or((without_query, "file"));
    let path: Vec<String> = path.split('/').map(legal_component).filter(|part| !part.is_empty()).collect();
    let name = format!("{}/{}:{}", host.to_ascii_lowercase(), path.join("/"), legal_tag(tag));
    name.parse()
}

/// The name of the manifest file `path` of bundle `bundle` at `sequence`: `manifests/<bundle>/<path>:<sequence>`.
///
/// # Errors
/// When no legal name can be made of the path.
pub fn of_manifest(bundle: &BundleName, path: &str, sequence: u64) -> Result<ArtifactName, ParseNameError> {
    let path: Vec<String> = path.split('/').map(legal_component).filter(|part| !part.is_empty()).collect();
    format!("manifests/{bundle}/{}:{sequence}", path.join("/")).parse()
}

/// The name under which an artifact travels and is served: a repository, and a tag or digest.
///
/// Unlike in a [`Reference`] nothing is completed: `manifests/plant-7/net.yaml:4` belongs to no registry of the outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ArtifactName {
    text: String,
    repository_len: usize,
}

impl ArtifactName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the tag or digest, as the site registry serves it: `registry.k8s.io/pause`.
    pub fn repository(&self) -> &str {
        self.text.get(..self.repository_len).unwrap_or(&self.text)
    }

    /// The tag, and else the digest: `3.10.2`, `sha256:…`.
    pub fn tag_or_digest(&self) -> &str {
        self.text.get(self.repository_len + 1..).unwrap_or_default()
    }
}

impl FromStr for ArtifactName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rule = "a repository followed by ':' and a tag, or by '@' and a digest";
        let error = || ParseNameError::new("artifact name", text, rule);
        let repository = match split_digest(text)? {
            (repository, Some(_)) => repository,
            (rest, None) => {
                let (repository, tag) = split_tag(rest);
                check_tag(tag.ok_or_else(error)?)?;
                repository
            }
        };
        match repository.split_once('/') {
            Some((host, path)) if is_host(host) => {
                check_registry(text, host)?;
                check_repository(text, path)?;
            }
            _ => check_repository(text, repository)?,
        }
        check_only_name(text, repository)?;
        Ok(Self { text: text.to_owned(), repository_len: repository.len() })
    }
}

impl From<&Reference> for ArtifactName {
    /// A tag names more than a digest does, so it goes first; the digest stands beside the name in the lock anyway.
    fn from(reference: &Reference) -> Self {
        let repository = reference.name();
        let text = match (&reference.tag, &reference.digest) {
            (Some(tag), _) => format!("{repository}:{tag}"),
            (None, Some(digest)) => format!("{repository}@{digest}"),
            (None, None) => format!("{repository}:latest"),
        };
        Self { repository_len: repository.len(), text }
    }
}

impl TryFrom<String> for ArtifactName {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ArtifactName> for String {
    fn from(name: ArtifactName) -> Self {
        name.text
    }
}

impl fmt::Display for ArtifactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The nearest legal repository component: lower case, and each run of other characters one `-`, `.` or `_`.
fn legal_component(text: &str) -> String {
    let mut legal = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        let is_separator = !(c.is_ascii_digit() || c.is_ascii_lowercase());
        if !is_separator {
            legal.push(c);
        } else if legal.ends_with(|last: char| last.is_ascii_digit() || last.is_ascii_lowercase()) {
            legal.push(if matches!(c, '.' | '_') { c } else { '-' });
        }
    }
    legal.trim_end_matches(['.', '_', '-']).to_owned()
}

/// The nearest legal tag: build metadata's `+` becomes `_`, as Helm does.
pub fn legal_tag(text: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' };
    text.chars().map(legal).take(MAX_TAG).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_completed_as_docker_does() {
        for (short, full) in [
            ("postgres", "docker.io/library/postgres:latest"),
            ("postgres:17", "docker.io/library/postgres:17"),
            ("grafana/grafana:12.1", "docker.io/grafana/grafana:12.1"),
            ("docker.io/postgres:17", "docker.io/library/postgres:17"),
            ("index.docker.io/a/b", "docker.io/a/b:latest"),
            ("registry.k8s.io/pause:3.10.2", "registry.k8s.io/pause:3.10.2"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("localhost/x/y:1", "localhost/x/y:1"),
        ] {
            assert_eq!(short.parse::<Reference>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn digests_pin() {
        let digest = Digest::sha256(b"x");
        let pinned: Reference = format!("quay.io/a/b:1@{digest}").parse().unwrap();
        assert_eq!(pinned.tag(), Some("1"));
        assert_eq!(pinned.tag_or_digest(), digest.to_string());
        let untagged: Reference = format!("quay.io/a/b@{digest}").parse().unwrap();
        assert_eq!((untagged.tag(), untagged.digest()), (None, Some(&digest)));
    }

    #[test]
    fn hostile_references_are_refused() {
        for text in [
            "",
            ":",
            "@",
            "a:",
            "quay.io/",
            "quay.io//b",
            "quay.io/../b",
            "quay.io/A",
            "quay.io/a b",
            "quay.io/a:b c",
            "quay.io/a___b",
            "quay.io/-a",
            "quay.io/a@sha256:12",
            "QUAY.io/a",
            "quay.io:x/a",
            "quay.io/a:-x",
            "a\0b",
            "quay.io/é",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }

    /// The registry serves both spellings in one place: a second one would put other content under the first one's name.
    #[test]
    fn an_artifact_has_one_name() {
        for text in [
            "index.docker.io/library/postgres:17",
            "registry-1.docker.io/library/postgres:17",
            "registry.hub.docker.com/library/postgres:17",
            "localhost__5000/x:1",
            "quay.io__443/a/b:1",
        ] {
            assert!(text.parse::<ArtifactName>().is_err(), "{text}");
        }
        for text in ["docker.io/library/postgres:17", "localhost:5000/x:1", "manifests/plant-7/my__app.yaml:3"] {
            assert_eq!(text.parse::<ArtifactName>().unwrap().as_str(), text);
        }
        let written: Reference = "registry.hub.docker.com/library/postgres:17".parse().unwrap();
        assert_eq!(ArtifactName::from(&written).as_str(), "docker.io/library/postgres:17");
    }

    #[test]
    fn files_get_legal_names() {
        let url = "https://dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubeadm";
        assert_eq!(
            of_url(url, "v1.36.3").unwrap().to_string(),
            "dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubeadm:v1.36.3"
        );
        let url = "https://Example.org/Data%20Set/_x_/a..b.TXT?token=1#f";
        assert_eq!(of_url(url, "1.0+5").unwrap().to_string(), "example.org/data-20set/x/a.b.txt:1.0_5");
        assert_eq!(
            of_manifest(&"plant-7".parse().unwrap(), "manifests/00 Net.yaml", 4).unwrap().as_str(),
            "manifests/plant-7/manifests/00-net.yaml:4"
        );
    }

    #[test]
    fn an_artifact_name_is_nothing_but_repository_and_tag_or_digest() {
        let name: ArtifactName = "manifests/plant-7/net.yaml:4".parse().unwrap();
        assert_eq!((name.repository(), name.tag_or_digest()), ("manifests/plant-7/net.yaml", "4"));
        let digest = Digest::sha256(b"x");
        let name: ArtifactName = format!("localhost:5000/x@{digest}").parse().unwrap();
        assert_eq!((name.repository(), name.tag_or_digest()), ("localhost:5000/x", digest.to_string().as_str()));
        for text in ["a", "a/../b:1", "a:b:c", "/a:1", "a/:1", "A:1", "a:1\n"] {
            assert!(text.parse::<ArtifactName>().is_err(), "{text:?}");
        }
        let reference: Reference = "postgres".parse().unwrap();
        assert_eq!(ArtifactName::from(&reference).to_string().parse(), Ok(ArtifactName::from(&reference)));
    }
}
