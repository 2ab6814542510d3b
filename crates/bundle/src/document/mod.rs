//! YAML documents with `apiVersion` and `kind`: read strictly, with errors that point to line and column.
//!
//! Used for every kind that a person writes: `Bundle` and `Site` here, `Cluster` and `App` in the crate `cluster`, `Registry` in `server`.

mod error;
mod split;

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use error::nearest;
pub(crate) use error::unknown;
pub use error::{DocumentError, Place, Problem};

/// The one `apiVersion` there is.
pub const API_VERSION: &str = "sealock/v1alpha1";

/// Every kind that exists. A document of another kind is a mistake, wherever it stands.
pub const KINDS: &[&str] = &["Bundle", "Site", "Cluster", "App", "Registry"];

/// Bytes of one file at most; specs are written by people.
pub const MAX_BYTES: usize = 4 << 20;

/// A type that is one whole document of the kind [`Document::KIND`].
pub trait Document: DeserializeOwned {
    /// The `kind` field's value.
    const KIND: &'static str;
}

/// The value of `apiVersion`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, Deserialize, schemars::JsonSchema)]
pub enum ApiVersion {
    /// `sealock/v1alpha1`.
    #[default]
    #[serde(rename = "sealock/v1alpha1")]
    V1Alpha1,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "apiVersion")]
    api_version: Option<String>,
    kind: Option<String>,
}

/// Reads every document of the kind `T` from `text`, the content of the file `path`; other known kinds are passed over.
///
/// # Errors
/// With the place, where `text` is not YAML, a document has an unknown kind, version or field, or lacks a field.
pub fn load_documents<T: Document>(path: &Path, text: &str) -> Result<Vec<T>, DocumentError> {
    let mut documents = Vec::new();
    check_length(path, text)?;
    for document in split::documents(text) {
        if kind_of(path, &document)? == T::KIND {
            let parsed = serde_saphyr::from_str_with_options(&document, options());
            documents.push(parsed.map_err(|error| DocumentError::of_yaml(path, &error))?);
        }
    }
    Ok(documents)
}

/// Reads the only document of the kind `T` from `text`, the content of the file `path`.
///
/// # Errors
/// As [`load_documents`], and where there is none, or more than one.
pub fn load_document<T: Document>(path: &Path, text: &str) -> Result<T, DocumentError> {
    let mut documents = load_documents::<T>(path, text)?;
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => Ok(document),
        (_, others) => Err(DocumentError::count(path, T::KIND, others)),
    }
}

/// The text of the only document of the kind `T`: what belongs to others is blank lines, so that places are those of the
/// file.
///
/// # Errors
/// Where a document has no known kind, or there is none of this kind, or more than one.
pub(crate) fn text_of<T: Document>(path: &Path, text: &str) -> Result<String, DocumentError> {
    check_length(path, text)?;
    let mut found = Vec::new();
    for document in split::documents(text) {
        if kind_of(path, &document)? == T::KIND {
            found.push(document);
        }
    }
    match (found.pop(), found.len()) {
        (Some(document), 0) => Ok(document),
        (_, others) => Err(DocumentError::count(path, T::KIND, others)),
    }
}

/// Reads one plain YAML value of the type `T`, such as a settings file, that has no `kind`.
///
/// # Errors
/// With the place, where `text` is not YAML or not a `T`.
pub fn load_plain<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, DocumentError> {
    check_length(path, text)?;
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| DocumentError::of_yaml(path, &error))
}

fn check_length(path: &Path, text: &str) -> Result<(), DocumentError> {
    if text.len() > MAX_BYTES {
        return Err(DocumentError::too_long(path, text.len()));
    }
    Ok(())
}

fn kind_of(path: &Path, document: &str) -> Result<String, DocumentError> {
    let head: Head = serde_saphyr::from_str_with_options(document, options())
        .map_err(|error| DocumentError::of_yaml(path, &error))?;
    let place = || Place::first_content(document);
    let version = head.api_version.ok_or_else(|| DocumentError::missing(path, "apiVersion", place()))?;
    if version != API_VERSION {
        let place = Place::of_key(document, "apiVersion");
        return Err(DocumentError::unknown(path, "apiVersion", &version, &[API_VERSION], place));
    }
    let kind = head.kind.ok_or_else(|| DocumentError::missing(path, "kind", place()))?;
    if !KINDS.contains(&kind.as_str()) {
        let place = Place::of_key(document, "kind");
        return Err(DocumentError::unknown(path, "kind", &kind, KINDS, place));
    }
    Ok(kind)
}

/// YAML 1.2 booleans only (`no` is a country), no merge keys, no duplicate keys, and no bombs.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    }
}

#[cfg(test)]
mod tests;
