//! The query of a request.

use percent_encoding::percent_decode_str;

/// The parameters that the registry knows; unknown ones are passed over.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// The upstream registry that the client believes to talk to.
    pub(crate) ns: Option<String>,
    /// Longest list that is wanted.
    pub(crate) n: Option<String>,
    /// The last entry of the list before.
    pub(crate) last: Option<String>,
    /// The filter of a list of referrers.
    pub(crate) artifact_type: Option<String>,
    /// The digest of what is uploaded.
    pub(crate) digest: Option<String>,
    /// What the upload is to be hashed with.
    pub(crate) digest_algorithm: Option<String>,
    /// The blob that is to be mounted.
    pub(crate) mount: Option<String>,
    /// The repository that has it.
    pub(crate) from: Option<String>,
    /// What shall stand for a manifest; the one parameter that may come several times.
    pub(crate) tags: Vec<String>,
}

impl Query {
    /// Parses what stands behind the question mark. Of a repeated parameter the first one counts.
    pub(crate) fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // `+` stands for itself: media types have it, and no parameter has blanks.
            let decoded = || percent_decode_str(value).decode_utf8_lossy().into_owned();
            let place = match name {
                "ns" => &mut query.ns,
                "n" => &mut query.n,
                "last" => &mut query.last,
                "artifactType" => &mut query.artifact_type,
                "digest" => &mut query.digest,
                "digest-algorithm" => &mut query.digest_algorithm,
                "mount" => &mut query.mount,
                "from" => &mut query.from,
                "tag" => {
                    query.tags.push(decoded());
                    continue;
                }
                _ => continue,
            };
            if place.is_none() {
                *place = Some(decoded());
            }
        }
        query
    }
}
