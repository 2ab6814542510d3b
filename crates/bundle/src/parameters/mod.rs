//! Parameters: values that differ from site to site, declared in the spec with a type, fixed in the lock.
//!
//! There is no template language. A placeholder `$(parameters.NAME)` stands in a value of a YAML document, and is filled
//! in after the document was parsed: whatever the value, the document keeps its structure (decision 0013).

mod declare;
mod fill;
mod given;
mod holes;
mod places;
mod settle;
mod value;

pub use declare::{ParameterSpec, ParameterType};
pub use fill::{Filled, fill};
pub use given::{Given, GivenFile};
pub use settle::{ParameterError, Prepared, prepare};
pub use value::ParameterValue;

use std::collections::BTreeMap;

/// The value of each parameter, by its name.
pub type Parameters = BTreeMap<String, ParameterValue>;

/// Parameters of one spec at most.
pub const MAX_PARAMETERS: usize = 256;

#[cfg(test)]
mod tests;
