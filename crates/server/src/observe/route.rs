//! What a request is about, as a label: few values, whatever clients send.

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Ping,
    Manifest,
    Blob,
    Upload,
    Tags,
    Referrers,
    Catalog,
    Token,
    Health,
    Other,
}

impl Route {
    /// As the label of a metric.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Upload => "upload",
            Self::Tags => "tags",
            Self::Referrers => "referrers",
            Self::Catalog => "catalog",
            Self::Token => "token",
            Self::Health => "health",
            Self::Other => "other",
        }
    }

    /// The last words of a path decide, since names of repositories may hold such words too.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v2" | "/v2/" => return Self::Ping,
            "/v2/_catalog" => return Self::Catalog,
            "/token" => return Self::Token,
            "/healthz" | "/readyz" => return Self::Health,
            _ => {}
        }
        let Some(path) = path.strip_prefix("/v2/") else { return Self::Other };
        let mut words = path.rsplit('/');
        let (last, kind, before) = (words.next(), words.next(), words.next());
        match (kind, last) {
            (Some("uploads"), _) if before == Some("blobs") => Self::Upload,
            (Some("blobs"), Some("uploads")) => Self::Upload,
            (Some("manifests"), _) => Self::Manifest,
            (Some("blobs"), _) => Self::Blob,
            (Some("tags"), Some("list")) => Self::Tags,
            (Some("referrers"), _) => Self::Referrers,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_of_few_routes() {
        let cases = [
            ("/v2/", Route::Ping),
            ("/v2/a/b/manifests/1", Route::Manifest),
            ("/v2/manifests/p/manifests/sha256:00", Route::Manifest),
            ("/v2/a/blobs/sha256:00", Route::Blob),
            ("/v2/a/blobs/uploads/", Route::Upload),
            ("/v2/a/blobs/uploads", Route::Upload),
            ("/v2/a/blobs/uploads/6a1d", Route::Upload),
            ("/v2/a/tags/list", Route::Tags),
            ("/v2/a/referrers/sha256:00", Route::Referrers),
            ("/v2/_catalog", Route::Catalog),
            ("/token", Route::Token),
            ("/healthz", Route::Health),
            ("/", Route::Other),
            ("/v2/a", Route::Other),
            ("", Route::Other),
        ];
        for (path, route) in cases {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
