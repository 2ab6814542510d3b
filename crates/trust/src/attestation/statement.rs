//! in-toto statements (in-toto attestation framework, v1 and v0.1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::AttestationError;
use crate::digest::Digest;

/// What an envelope says it holds.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The type of the statements that are written here.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Statements of other tools have the type of the framework's first version, too. The fields read here are the same.
const KNOWN_TYPES: [&str; 2] = [STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1"];
/// Subjects of one statement at most.
const SUBJECTS: usize = 50_000;

/// What a statement is about, and what kind of thing it says. Its predicate is left to whoever knows the kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
}

/// One thing that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// What it is called, where the author calls it something.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Digests in hexadecimal, by algorithm.
    pub digest: BTreeMap<String, String>,
    /// What the author notes about it; cosign's annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, serde_json::Value>,
}

impl Subject {
    /// The artifact `digest` under `name`.
    pub fn new(name: impl Into<String>, digest: &Digest) -> Self {
        let digest = BTreeMap::from([(digest.algorithm().as_str().to_owned(), digest.hex().to_owned())]);
        Self { name: name.into(), digest, annotations: BTreeMap::new() }
    }

    fn is(&self, digest: &Digest) -> bool {
        self.digest.get(digest.algorithm().as_str()).is_some_and(|hex| hex == digest.hex())
    }
}

impl Statement {
    /// Reads a statement. The caller bounds the bytes, and has verified them.
    ///
    /// # Errors
    /// [`AttestationError::Statement`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, AttestationError> {
        let wrong = |reason: String| AttestationError::Statement(reason);
        let statement: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if !KNOWN_TYPES.contains(&statement.kind.as_str()) {
            return Err(wrong(format!("its type is {:?}", statement.kind)));
        }
        if statement.subject.len() > SUBJECTS {
            return Err(wrong(format!("it has {} subjects", statement.subject.len())));
        }
        Ok(statement)
    }

    /// What it says of the subject `digest`; none where it is about other things.
    pub fn about(&self, digest: &Digest) -> Option<&Subject> {
        self.subject.iter().find(|subject| subject.is(digest))
    }

    /// Its subjects, for a person.
    pub fn subjects(&self) -> String {
        let one = |subject: &Subject| {
            let digests = subject.digest.iter().map(|(algorithm, hex)| format!("{algorithm}:{hex}"));
            digests.collect::<Vec<_>>().join(" ")
        };
        self.subject.iter().take(4).map(one).collect::<Vec<_>>().join(", ")
    }

    /// What kind of thing it says, a URI.
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }
}
