//! What is read from the first line of a request and its `Range`, in one go: for the fuzz target `request_line`.

use std::ops::Range;

use percent_encoding::percent_decode_str;

use super::endpoint::Endpoint;
use super::push::parse_range;
use super::query::Query;
use super::range::{self, Wanted};
use crate::view::name::{is_repository, is_tag, upstream_prefix};

/// What was asked for, as far as it is legal.
#[derive(Debug, Default)]
pub struct Line {
    /// The repository.
    pub repository: Option<String>,
    /// The tag of a manifest.
    pub tag: Option<String>,
    /// The bytes of a content.
    pub part: Option<Range<u64>>,
    /// The first and the last byte of a chunk, by `Content-Range`.
    pub chunk: Option<(u64, u64)>,
}

/// Reads the path behind `/v2/`, with its query, and a value of `Range`, for a content of `length` bytes, or of `Content-Range`.
pub fn read(path_and_query: &str, range: &[u8], length: u64) -> Line {
    let mut line = Line { chunk: std::str::from_utf8(range).ok().and_then(parse_range), ..Line::default() };
    if let Wanted::Part { start, end } = range::parse(range, length) {
        line.part = Some(start..end);
    }
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let query = Query::parse(query);
    let Ok(path) = percent_decode_str(path).decode_utf8() else { return line };
    let Some((name, endpoint)) = Endpoint::parse(&path) else { return line };
    let prefix = query.ns.as_deref().map(upstream_prefix);
    let repository = match prefix {
        Some(None) => return line,
        Some(Some(prefix)) => format!("{prefix}/{name}"),
        None => name.to_owned(),
    };
    line.repository = is_repository(&repository).then_some(repository);
    if let Endpoint::Manifest(reference) = endpoint {
        line.tag = is_tag(reference).then(|| reference.to_owned());
    }
    line
}
