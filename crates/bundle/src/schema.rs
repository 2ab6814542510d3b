//! JSON Schemas of the YAML kinds, from which editors complete and check.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};

use crate::diff::Diff;
use crate::spec::{Bundle, Site};

/// The JSON Schema (draft 2020-12) of each kind of this crate, and of what `diff` answers, with the name of its file.
pub fn all() -> Vec<(&'static str, Schema)> {
    vec![("bundle", of::<Bundle>()), ("site", of::<Site>()), ("diff", of::<Diff>())]
}

/// The JSON Schema (draft 2020-12) of one YAML kind.
pub fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}
