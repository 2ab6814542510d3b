//! Rules for what is signed with OpenPGP: charts by their provenance files, and files by signatures beside them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who must have signed a chart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChartRule {
    /// A file of OpenPGP public keys, as `gpg --export` writes it, with or without armour, relative to the spec. One of them must have signed the chart's provenance file (`.prov`).
    pub gpg: PathBuf,
}

/// Who must have signed a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileRule {
    /// A file of OpenPGP public keys, as `gpg --export` writes it, with or without armour, relative to the spec. One of them must have signed the file.
    pub gpg: PathBuf,
    /// Where the detached signature is downloaded, `https://…`; the file's own address with `.asc` behind it when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}
