//! Where something with a real name is to be found.

use std::collections::BTreeMap;

use url::Url;

/// The address to ask, and the real host it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// What is asked.
    pub(crate) url: Url,
    /// The host of the real name.
    pub(crate) host: String,
    /// Whether `url` is a mirror of that host.
    pub(crate) mirrored: bool,
}

impl Located {
    /// The host asked, for a person: `198.51.100.10 (mirror of quay.io)`.
    pub(crate) fn place(&self) -> String {
        let asked = authority(&self.url);
        if self.mirrored { format!("{asked} (mirror of {})", self.host) } else { asked }
    }

    /// The same place with another path and query below the same host.
    pub(crate) fn with_url(&self, url: Url) -> Self {
        Self { url, ..self.clone() }
    }
}

/// `host` or `host:port` of an address.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The address of `/v2/<repository>/<rest>` of a registry.
pub(crate) fn registry(mirrors: &BTreeMap<String, Url>, host: &str, repository: &str, rest: &str) -> Option<Located> {
    let Some(mirror) = mirrors.get(host) else {
        // The registry of docker.io answers under another name than images carry.
        let asked = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let url = Url::parse(&format!("https://{asked}/v2/{repository}/{rest}")).ok()?;
        return Some(Located { url, host: host.to_owned(), mirrored: false });
    };
    let mut url = mirror.clone();
    let prefix = mirror.path().trim_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    url.set_path(&format!("/v2/{prefix}{slash}{repository}/{rest}"));
    Some(Located { url, host: host.to_owned(), mirrored: true })
}

/// The address of a file whose real address is `real`.
pub(crate) fn file(mirrors: &BTreeMap<String, Url>, real: &Url) -> Located {
    let host = authority(real);
    let Some(mirror) = mirrors.get(&host) else {
        return Located { url: real.clone(), host, mirrored: false };
    };
    let mut url = mirror.clone();
    url.set_path(&format!("{}{}", mirror.path().trim_end_matches('/'), real.path()));
    url.set_query(real.query());
    Located { url, host, mirrored: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors() -> BTreeMap<String, Url> {
        let url = |text: &str| Url::parse(text).unwrap();
        BTreeMap::from([
            ("quay.io".to_owned(), url("https://198.51.100.10/quay.io")),
            ("docker.io".to_owned(), url("https://mirror.corp:8443")),
            ("get.helm.sh".to_owned(), url("https://198.51.100.10/get.helm.sh/")),
        ])
    }

    #[test]
    fn registries_are_found_below_the_mirrors_path() {
        let at = |host, repository| registry(&mirrors(), host, repository, "manifests/v1").unwrap();
        assert_eq!(at("quay.io", "a/b").url.as_str(), "https://198.51.100.10/v2/quay.io/a/b/manifests/v1");
        assert_eq!(at("quay.io", "a/b").place(), "198.51.100.10 (mirror of quay.io)");
        assert_eq!(
            at("docker.io", "library/nginx").url.as_str(),
            "https://mirror.corp:8443/v2/library/nginx/manifests/v1"
        );
        assert_eq!(at("ghcr.io", "x").url.as_str(), "https://ghcr.io/v2/x/manifests/v1");
        assert_eq!(at("ghcr.io", "x").place(), "ghcr.io");
        let plain = registry(&BTreeMap::new(), "docker.io", "library/nginx", "tags/list").unwrap();
        assert_eq!(plain.url.as_str(), "https://registry-1.docker.io/v2/library/nginx/tags/list");
    }

    #[test]
    fn files_keep_their_real_path_below_the_mirror() {
        let at = |real: &str| file(&mirrors(), &Url::parse(real).unwrap()).url.to_string();
        assert_eq!(at("https://get.helm.sh/helm-v4.tar.gz"), "https://198.51.100.10/get.helm.sh/helm-v4.tar.gz");
        assert_eq!(at("https://dl.k8s.io/release/x?y=1"), "https://dl.k8s.io/release/x?y=1");
    }
}
