//! What a person gives when a spec is locked.

use std::path::PathBuf;

/// Values for parameters, before anybody has looked whether they fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The variant whose values hold, where the spec has it.
    pub variant: Option<String>,
    /// A file of values: a YAML mapping of names to values.
    pub file: Option<GivenFile>,
    /// Names and values as typed; the last of one name holds, and goes before the file.
    pub set: Vec<(String, String)>,
}

/// A file of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenFile {
    /// What it is called.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
}
