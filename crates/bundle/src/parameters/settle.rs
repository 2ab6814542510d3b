//! From a spec and what a person gives to a bundle without placeholders, and the value of each parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::declare::{Misdeclared, ParameterSpec, is_legal_name};
use super::fill::{Piece, fill_by, unknown_parameter};
use super::holes::Step;
use super::{Given, GivenFile, MAX_PARAMETERS, ParameterValue, Parameters, places};
use crate::document::{self, Document, DocumentError, nearest};
use crate::spec::Bundle;

/// A spec whose parameters have values.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The spec, its placeholders filled in.
    pub bundle: Bundle,
    /// The value of every parameter that it declares.
    pub parameters: Parameters,
    /// The parameters that stand in the spec itself.
    pub used: BTreeSet<String>,
}

/// Why a spec and the values given for it do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// Something in a file.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Something that was typed, or was not.
    #[error("{0}")]
    Given(String),
}

/// What of a spec is read before its placeholders are filled in; the rest is judged afterwards.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    spec: HeadSpec,
}

#[derive(Default, Deserialize)]
struct HeadSpec {
    #[serde(default)]
    parameters: BTreeMap<String, ParameterSpec>,
    #[serde(default)]
    variants: BTreeMap<String, HeadVariant>,
}

#[derive(Default, Deserialize)]
struct HeadVariant {
    #[serde(default)]
    parameters: BTreeMap<String, ParameterValue>,
}

impl Document for Head {
    const KIND: &'static str = <Bundle as Document>::KIND;
}

/// Reads the only bundle spec of `text`, the content of the file `path`, with the values that `given` and its defaults
/// make. What is given goes before a file of values, that before the variant, and that before a default.
///
/// # Errors
/// With the place, where the spec or the file of values is wrong; in words where what was typed is.
pub fn prepare(path: &Path, text: &str, given: &Given) -> Result<Prepared, ParameterError> {
    let text = document::text_of::<Bundle>(path, text)?;
    let head: Head = document::load_document(path, &text)?;
    let declared = Declared { path, text: &text, specs: head.spec.parameters };
    declared.check()?;
    let parameters = declared.settle(&head.spec.variants, given)?;
    let rule = |steps: &[Step], pieces: &[Piece]| places::check(steps, pieces, &parameters);
    let filled = fill_by(path, &text, &parameters, &rule)?;
    let (text, used) = filled.map_or((text.clone(), BTreeSet::new()), |filled| (filled.text, filled.used));
    Ok(Prepared { bundle: document::load_document(path, &text)?, parameters, used })
}

struct Declared<'a> {
    path: &'a Path,
    /// The spec.
    text: &'a str,
    specs: BTreeMap<String, ParameterSpec>,
}

impl Declared<'_> {
    fn check(&self) -> Result<(), DocumentError> {
        if self.specs.len() > MAX_PARAMETERS {
            let problem =
                format!("it declares {} parameters, and at most {MAX_PARAMETERS} are taken", self.specs.len());
            return Err(self.wrong(&["spec", "parameters"], problem));
        }
        for (name, spec) in &self.specs {
            if !is_legal_name(name) {
                let rule = "a name is at most 63 letters, digits, '-' and '_', and begins with a letter";
                return Err(self.wrong(&["spec", "parameters", name], format!("the parameter {name:?}: {rule}")));
            }
            spec.check().map_err(|Misdeclared { field, problem }| {
                let mut steps = vec!["spec", "parameters", name.as_str()];
                steps.extend(field);
                self.wrong(&steps, format!("the parameter {name:?}: {problem}"))
            })?;
        }
        Ok(())
    }

    /// Every variant is judged, chosen or not: a spec that is wrong for one site is wrong.
    fn settle(&self, variants: &BTreeMap<String, HeadVariant>, given: &Given) -> Result<Parameters, ParameterError> {
        let mut values = Parameters::new();
        let defaults = self.specs.iter().filter_map(|(name, spec)| Some((name.clone(), spec.default.clone()?)));
        values.extend(defaults);
        for (variant, head) in variants {
            for (name, value) in &head.parameters {
                let steps = ["spec", "variants", variant, "parameters", name];
                let spec = self.specs.get(name).ok_or_else(|| self.unknown(self.text, self.path, &steps, name))?;
                spec.accept(value)
                    .map_err(|problem| self.wrong(&steps, format!("the parameter {name:?}: {problem}")))?;
                if given.variant.as_ref() == Some(variant) {
                    values.insert(name.clone(), value.clone());
                }
            }
        }
        if let Some(file) = &given.file {
            values.extend(self.filed(file)?);
        }
        for (name, text) in &given.set {
            values.insert(name.clone(), self.typed(name, text)?);
        }
        self.check_required(&values)?;
        Ok(values)
    }

    fn filed(&self, GivenFile { path, text }: &GivenFile) -> Result<Parameters, ParameterError> {
        let values: Parameters = document::load_plain(path, text)?;
        for (name, value) in &values {
            let spec = self.specs.get(name).ok_or_else(|| self.unknown(text, path, &[name], name))?;
            spec.accept(value).map_err(|problem| {
                DocumentError::other(path, find(text, &[name]), format!("the parameter {name:?}: {problem}"))
            })?;
        }
        Ok(values)
    }

    fn typed(&self, name: &str, text: &str) -> Result<ParameterValue, ParameterError> {
        let unknown = || {
            let known = self.names();
            let what = match (nearest(name, &known), known.as_slice()) {
                (Some(nearest), _) => format!(", did you mean {nearest:?}?"),
                (None, []) => String::new(),
                (None, known) => format!(", known are {}", known.join(", ")),
            };
            ParameterError::Given(format!("the spec has no parameter {name:?}{what}"))
        };
        let spec = self.specs.get(name).ok_or_else(unknown)?;
        spec.read(text).map_err(|problem| ParameterError::Given(format!("the parameter {name:?}: {problem}")))
    }

    fn check_required(&self, values: &Parameters) -> Result<(), ParameterError> {
        let missing: Vec<String> = self
            .specs
            .iter()
            .filter(|(name, _)| !values.contains_key(*name))
            .map(|(name, spec)| match &spec.description {
                Some(description) => format!("{name} ({})", crate::plain::Plain::of(description)),
                None => name.clone(),
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(ParameterError::Given(format!("no value is given for {}", missing.join(", "))))
    }

    fn names(&self) -> Vec<&str> {
        self.specs.keys().map(String::as_str).collect()
    }

    fn wrong(&self, steps: &[&str], problem: impl Into<String>) -> DocumentError {
        DocumentError::other(self.path, find(self.text, steps), problem)
    }

    fn unknown(&self, text: &str, path: &Path, steps: &[&str], name: &str) -> DocumentError {
        let problem = Box::new(unknown_parameter(name, &self.names()));
        DocumentError { path: path.to_owned(), place: find(text, steps), problem }
    }
}

/// The place of the value, or of the nearest thing around it that has one.
fn find(text: &str, steps: &[&str]) -> Option<document::Place> {
    let steps: Vec<_> = steps.iter().map(|step| Step::Key((*step).to_owned())).collect();
    (1..=steps.len()).rev().find_map(|length| places::find(text, steps.get(..length)?))
}
