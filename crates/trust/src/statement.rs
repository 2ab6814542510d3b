//! in-toto statements (attestation framework, "Statement", v1) about one thing: the shape of all that a site signs of something by its digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Digest};

/// What the envelope says it holds (in-toto attestation framework, "Envelope").
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// A statement whose predicate is `P`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement<P> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: P,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

/// What a statement is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// A statement of this kind.
    Kind,
    /// One about a single thing.
    OneSubject,
    /// One whose subject has its SHA-256, and no other digest.
    Sha256,
}

impl<P> Statement<P> {
    /// What `predicate`, of the kind `predicate_type`, says of the thing called `name` with `digest`.
    pub fn new(predicate_type: &str, name: &str, digest: &Digest, predicate: P) -> Self {
        let digest = BTreeMap::from([(digest.algorithm().as_str().to_owned(), digest.hex().to_owned())]);
        Self {
            kind: STATEMENT_TYPE.to_owned(),
            subject: vec![Subject { name: name.to_owned(), digest }],
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// What it says, before it is known of what.
    pub fn predicate(&self) -> &P {
        &self.predicate
    }

    /// The name and the digest of the thing it is about, and what it says, where it is of the kind `predicate_type`.
    ///
    /// # Errors
    /// It is another statement.
    pub fn about_one(self, predicate_type: &str) -> Result<(String, Digest, P), Misfit> {
        if self.kind != STATEMENT_TYPE || self.predicate_type != predicate_type {
            return Err(Misfit::Kind);
        }
        let [Subject { name, digest }] = <[Subject; 1]>::try_from(self.subject).map_err(|_| Misfit::OneSubject)?;
        let sha256 = digest.get(Algorithm::Sha256.as_str()).filter(|_| digest.len() == 1);
        let digest = sha256.and_then(|hex| format!("sha256:{hex}").parse().ok()).ok_or(Misfit::Sha256)?;
        Ok((name, digest, self.predicate))
    }
}
