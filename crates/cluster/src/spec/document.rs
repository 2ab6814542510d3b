//! The kind `Cluster` as it stands in a file.

use std::path::Path;

use schemars::JsonSchema;
use sealock_bundle::document::{self, ApiVersion, Document, DocumentError};
use sealock_trust::reason::Code;
use serde::{Deserialize, Serialize};

use super::{Cluster, ClusterSpec, Name, SpecError};

/// A document of kind `Cluster`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterDocument {
    /// `sealock/v1alpha1`.
    pub api_version: ApiVersion,
    /// `Cluster`.
    pub kind: ClusterKind,
    /// What the cluster is called.
    pub metadata: Metadata,
    /// What it is to be.
    pub spec: ClusterSpec,
}

impl Document for ClusterDocument {
    const KIND: &'static str = "Cluster";
}

/// The value of `kind` in a [`ClusterDocument`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClusterKind {
    /// `Cluster`.
    #[default]
    Cluster,
}

/// What a cluster or an app is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// A DNS label.
    pub name: Name,
}

/// Why a file holds no usable cluster spec.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is not what it should be, with line and column.
    #[error("the file is refused")]
    Document(#[from] DocumentError),
    /// The spec makes no sense as a whole.
    #[error("{path}: the spec makes no sense")]
    Spec {
        /// The file.
        path: String,
        /// Where and why.
        source: SpecError,
    },
}

impl LoadError {
    /// Its reason code.
    pub fn code(&self) -> Code {
        Code::Spec
    }

    /// Always: a spec does not get better by trying again.
    pub fn is_refusal(&self) -> bool {
        true
    }
}

impl Cluster {
    /// The cluster that `text`, the content of the file `path`, describes.
    ///
    /// # Errors
    /// The text is no YAML, has no document of kind `Cluster` or several, or one that makes no sense.
    pub fn load(path: &Path, text: &str) -> Result<Self, LoadError> {
        let document: ClusterDocument = document::load_document(path, text)?;
        let cluster = Self::new(document.metadata.name, document.spec)
            .map_err(|source| LoadError::Spec { path: path.display().to_string(), source })?;
        Ok(Self { folder: path.parent().map(Path::to_path_buf).unwrap_or_default(), ..cluster })
    }
}
