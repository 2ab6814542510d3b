//! The app spec: what a person wants to run on a cluster (`docs/formats/app-spec.md`).

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use sealock_bundle::document::{self, ApiVersion, Document};
use serde::{Deserialize, Serialize};

use crate::spec::{LoadError, Metadata, Name, SpecError};

/// A document of kind `App`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppDocument {
    /// `sealock/v1alpha1`.
    pub api_version: ApiVersion,
    /// `App`.
    pub kind: AppKind,
    /// What the app is called.
    pub metadata: Metadata,
    /// What it is.
    pub spec: AppSpec,
}

impl Document for AppDocument {
    const KIND: &'static str = "App";
}

/// The value of `kind` in an [`AppDocument`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AppKind {
    /// `App`.
    #[default]
    App,
}

/// What an app is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppSpec {
    /// The cluster's name.
    pub cluster: Name,
    /// The namespace of all that names none; made if it is not there.
    #[serde(default = "default_namespace")]
    pub namespace: Name,
    /// Helm charts of the release, installed in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<Chart>,
    /// Files of manifests of the release, or folders of them, by their paths in the bundle spec that brought them, like
    /// `manifests/web.yaml`, or by their whole names, like `manifests/plant-7/manifests/web.yaml`. Applied after the charts,
    /// in the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<String>,
}

fn default_namespace() -> Name {
    Name::default_namespace()
}

/// A Helm chart of the release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chart {
    /// What its installation is called: Helm's release name.
    pub name: Name,
    /// Its name in the release, without the tag: `stefanprodan.github.io/podinfo/podinfo`. Where absent, the chart that is
    /// called as its installation is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<String>,
    /// Its exact version.
    pub version: String,
    /// The namespace, where it is not the app's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    /// Values files, relative to the spec; a later one wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<PathBuf>,
    /// Values files with secrets that lie at the station only; they win over `values`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values_from: Vec<PathBuf>,
}

/// An app spec and the folder that its paths start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    name: Name,
    spec: AppSpec,
    folder: PathBuf,
}

impl App {
    /// The app that `text`, the content of the file `path`, describes.
    ///
    /// # Errors
    /// The text is no YAML, has no document of kind `App` or several, or one that makes no sense.
    pub fn load(path: &Path, text: &str) -> Result<Self, LoadError> {
        let document: AppDocument = document::load_document(path, text)?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let app = Self { name: document.metadata.name, spec: document.spec, folder };
        app.check().map_err(|source| LoadError::Spec { path: path.display().to_string(), source })?;
        Ok(app)
    }

    /// The app's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What stands in the file.
    pub fn spec(&self) -> &AppSpec {
        &self.spec
    }

    /// The namespace of `chart`.
    pub fn namespace_of<'a>(&'a self, chart: &'a Chart) -> &'a Name {
        chart.namespace.as_ref().unwrap_or(&self.spec.namespace)
    }

    /// The values files of `chart`, those that win last.
    pub fn values_of(&self, chart: &Chart) -> Vec<PathBuf> {
        chart.values.iter().chain(&chart.values_from).map(|path| self.folder.join(path)).collect()
    }

    /// Those among them that hold secrets.
    pub(super) fn secret_values_of(&self, chart: &Chart) -> Vec<PathBuf> {
        chart.values_from.iter().map(|path| self.folder.join(path)).collect()
    }

    fn check(&self) -> Result<(), SpecError> {
        if self.spec.charts.is_empty() && self.spec.manifests.is_empty() {
            return Err(SpecError::new("spec", "has neither charts nor manifests"));
        }
        for (n, chart) in self.spec.charts.iter().enumerate() {
            let twin = |other: &Chart| other.name == chart.name && self.namespace_of(other) == self.namespace_of(chart);
            if self.spec.charts[..n].iter().any(twin) {
                let problem = format!("{} is installed in {} already", chart.name, self.namespace_of(chart));
                return Err(SpecError::new(format!("spec.charts[{n}].name"), problem));
            }
        }
        Ok(())
    }
}
