//! What is asked of a repository, by its path.

/// What is asked of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint<'a> {
    Manifest(&'a str),
    Blob(&'a str),
    Tags,
    Referrers(&'a str),
    /// Where uploads begin.
    Uploads,
    /// An upload that has begun.
    Upload(&'a str),
}

impl<'a> Endpoint<'a> {
    /// Splits `<name>/manifests/<reference>` and its like. The name may hold such words too, so the last ones count.
    pub(crate) fn parse(path: &'a str) -> Option<(&'a str, Self)> {
        let begins = path.strip_suffix('/').unwrap_or(path).strip_suffix("/blobs/uploads");
        if let Some(name) = begins {
            return Some((name, Self::Uploads));
        }
        let (rest, last) = path.rsplit_once('/')?;
        let (name, kind) = rest.rsplit_once('/')?;
        let endpoint = match (kind, last) {
            ("manifests", reference) => Self::Manifest(reference),
            ("blobs", digest) => Self::Blob(digest),
            ("tags", "list") => Self::Tags,
            ("referrers", digest) => Self::Referrers(digest),
            ("uploads", id) => return Some((name.strip_suffix("/blobs")?, Self::Upload(id))),
            _ => return None,
        };
        Some((name, endpoint))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::query::Query;
    use super::*;

    #[test]
    fn the_last_words_of_a_path_are_its_endpoint() {
        for (path, expected) in [
            ("a/b/manifests/c", Some(("a/b", Endpoint::Manifest("c")))),
            ("manifests/p/app.yaml/manifests/3", Some(("manifests/p/app.yaml", Endpoint::Manifest("3")))),
            ("a/tags/list", Some(("a", Endpoint::Tags))),
            ("a/b/blobs/uploads/", Some(("a/b", Endpoint::Uploads))),
            ("a/b/blobs/uploads", Some(("a/b", Endpoint::Uploads))),
            ("a/b/blobs/uploads/1f", Some(("a/b", Endpoint::Upload("1f")))),
            ("a/b/blobs/sha256:1f", Some(("a/b", Endpoint::Blob("sha256:1f")))),
            ("a/uploads/1f", None),
            ("a/tags/other", None),
            ("manifests/c", None),
            ("", None),
        ] {
            assert_eq!(Endpoint::parse(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_brings_the_router_down(path in ".{0,200}", query in ".{0,100}") {
            let _ = Endpoint::parse(&path);
            let _ = Query::parse(&query);
        }
    }
}
