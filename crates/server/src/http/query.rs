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
}

impl Query {
    /// Parses what stands behind the question mark. Of a repeated parameter the first one counts.
    pub(crate) fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name {
                "ns" => &mut query.ns,
                "n" => &mut query.n,
                "last" => &mut query.last,
                "artifactType" => &mut query.artifact_type,
                _ => continue,
            };
            if place.is_none() {
                // `+` stands for itself: media types have it, and no parameter has blanks.
                *place = Some(percent_decode_str(value).decode_utf8_lossy().into_owned());
            }
        }
        query
    }
}
