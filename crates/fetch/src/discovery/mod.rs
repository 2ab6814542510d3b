//! Guessing images: what looks like one in an object or in a chart's values, where no API says that it is one.
//!
//! What an API says is certain, and is found by [`sealock_bundle::workload`]. Everything here is found by its shape and
//! by the words around it, and is carried only where the spec accepts it (docs/reference/image-discovery.md).

mod compose;
mod shape;
mod text;
mod values;
mod walk;
mod words;

use std::collections::BTreeSet;
use std::fmt;

use sealock_bundle::Reference;
use sealock_bundle::workload::{self, FieldPath};
use serde_json::Value;

use crate::error::FetchError;
use crate::resolve::objects;
pub use values::{ChartValues, in_values};

/// Something that looks like an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guess {
    /// The image that it would be.
    pub image: Reference,
    /// Where it stands in the object or in the values.
    pub path: FieldPath,
    /// Why it was taken for one.
    pub shape: Shape,
}

/// Why something was taken for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// A field whose name says so: `image`, `baseImage`, `sidecarImage`.
    Field,
    /// Fields that belong together: `{repository, tag}`, `baseImage` and `version`.
    Parts,
    /// An argument or a part of a command.
    Argument,
    /// An environment variable, or another pair of name and value.
    Variable,
    /// Text within text: a file in a ConfigMap, JSON in an annotation.
    Text,
    /// A complete reference in a field that may hold anything.
    Anywhere,
    /// A chart's values, where rendering does not show it.
    Values,
}

impl Shape {
    /// Every shape, in the order of the reference page.
    pub const ALL: [Self; 7] =
        [Self::Field, Self::Parts, Self::Argument, Self::Variable, Self::Text, Self::Anywhere, Self::Values];
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Field => "a field named like an image",
            Self::Parts => "fields that make one up",
            Self::Argument => "an argument",
            Self::Variable => "a variable",
            Self::Text => "text within text",
            Self::Anywhere => "a complete reference",
            Self::Values => "values",
        })
    }
}

/// The images of a YAML stream of Kubernetes objects: those that it names for certain, and guesses. `origin` is what a
/// person calls the stream.
///
/// # Errors
/// Where it is not YAML, or names as an image what is none.
pub fn in_manifests(text: &str, origin: &str) -> Result<(Vec<Reference>, Vec<Guess>), FetchError> {
    let (mut certain, mut guesses) = (Vec::new(), Vec::new());
    for object in objects::parse(text, origin)? {
        certain.extend(objects::images(&object)?);
        guesses.extend(in_object(&object.value));
    }
    Ok((certain, guesses))
}

/// What looks like an image in `object`, and is not among the images that it names for certain.
pub fn in_object(object: &Value) -> Vec<Guess> {
    let certain: BTreeSet<FieldPath> = workload::images(object).into_iter().map(|image| image.path).collect();
    let mut walker = walk::Walker::new(certain);
    walker.object(object);
    walker.into_found()
}
