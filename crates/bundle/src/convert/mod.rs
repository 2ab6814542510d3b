//! Other tools' lists of content as a bundle spec (docs/formats/convert.md).
//!
//! Pure: text in, spec and findings out. Whatever is not carried over is a finding with its line and the reason; nothing is
//! dropped in silence, no `verify` rule is invented, and no credential is copied.

mod draft;
mod error;
mod fields;
mod hauler;
mod imgpkg;
mod list;
mod oc_mirror;
mod skopeo;
mod write;
mod yaml;
mod zarf;

use std::path::Path;

use schemars::JsonSchema;
use sealock_trust::{SiteId, StreamName};
use serde::Serialize;

pub use draft::{Finding, Level};
pub use error::ConvertError;

use crate::document::load_document;
use crate::names::BundleName;
use crate::spec::Bundle;
use draft::Draft;
use yaml::Node;

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `zarf.yaml`, v1alpha1 and v1beta1.
    Zarf,
    /// Hauler manifests: `Images`, `Charts`, `Files`.
    Hauler,
    /// oc-mirror's `ImageSetConfiguration`, v1alpha2 and v2alpha1.
    OcMirror,
    /// imgpkg's `ImagesLock`.
    Imgpkg,
    /// One image per line.
    Images,
    /// The YAML of `skopeo sync`.
    Skopeo,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = [Self::Zarf, Self::Hauler, Self::OcMirror, Self::Imgpkg, Self::Images, Self::Skopeo];

    /// Its name, as `--from` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zarf => "zarf",
            Self::Hauler => "hauler",
            Self::OcMirror => "oc-mirror",
            Self::Imgpkg => "imgpkg",
            Self::Images => "images",
            Self::Skopeo => "skopeo",
        }
    }

    fn list() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

/// What the input does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The format; found out when left out.
    pub from: Option<Format>,
    /// The name of the bundle; that of the input when left out.
    pub name: Option<BundleName>,
    /// The stream; the bundle's name when left out.
    pub stream: Option<StreamName>,
    /// The sites that the bundle is for; none when left out, which `lock` then refuses.
    pub sites: Vec<SiteId>,
}

/// A converted file.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// What it was.
    pub format: Format,
    /// The spec as text, with the findings as comments.
    pub text: String,
    /// The same, read.
    pub bundle: Bundle,
    /// What to know about it: credentials, then what was lost, then what changed, then what is to be decided; each by line.
    pub findings: Vec<Finding>,
}

/// Converts `text`, the content of the file called `file`.
///
/// # Errors
/// With line and column, where it is none of the formats, or hostile.
pub fn convert(file: &str, text: &str, options: &Options) -> Result<Conversion, ConvertError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut draft = Draft::default();
    let format = read(text, options.from, &mut draft)?;
    draft.findings.sort();
    let text = write::spec(file, format, &draft, options);
    let bundle = load_document::<Bundle>(Path::new("sealock.yaml"), &text).map_err(ConvertError::Output)?;
    Ok(Conversion { format, text, bundle, findings: draft.findings })
}

fn read(text: &str, from: Option<Format>, draft: &mut Draft) -> Result<Format, ConvertError> {
    if from == Some(Format::Images) {
        list::read(text, draft)?;
        return Ok(Format::Images);
    }
    // A list of images is YAML too: one long text, or one that breaks off at the first `:` behind a blank.
    let documents = match yaml::documents(text) {
        Err(ConvertError::Syntax { .. }) if from.is_none() && list::is_list(text) => Vec::new(),
        documents => documents?,
    };
    let detected = documents.first().and_then(detect);
    let format = match from.or(detected) {
        Some(format) => format,
        None if list::is_list(text) => Format::Images,
        None => return Err(ConvertError::UnknownFormat),
    };
    match format {
        Format::Zarf => zarf::read(&documents, draft)?,
        Format::Hauler => hauler::read(&documents, draft)?,
        Format::OcMirror => oc_mirror::read(&documents, draft)?,
        Format::Imgpkg => imgpkg::read(&documents, draft)?,
        Format::Skopeo => skopeo::read(&documents, draft)?,
        Format::Images => list::read(text, draft)?,
    }
    Ok(format)
}

fn detect(first: &Node) -> Option<Format> {
    let text = |key: &str| first.get(key).and_then(Node::text).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    match kind {
        "ZarfPackageConfig" | "ZarfInitConfig" | "ZarfComponentConfig" => Some(Format::Zarf),
        "ImageSetConfiguration" => Some(Format::OcMirror),
        "ImagesLock" => Some(Format::Imgpkg),
        _ if version.contains("hauler.cattle.io/") => Some(Format::Hauler),
        "" if skopeo::is_sync(first) => Some(Format::Skopeo),
        _ => None,
    }
}
