//! What the operator sends to a node, and what the node answers.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use sealock_trust::Digest;
use sealock_trust::format;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::step::{Probe, Step};

/// The format of a [`RunRequest`].
pub const RUN_FORMAT: &str = format::NODE_RUN.current;

/// One node's part of a plan: what `sealock node run` is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RunRequest {
    /// [`RUN_FORMAT`].
    pub format: String,
    /// The digest of the whole plan; the node's journal is kept under it.
    pub plan: Digest,
    /// The node's name in the plan.
    pub node: String,
    /// The operator's fencing generation.
    pub generation: u64,
    /// Tells two operators with the same generation apart.
    pub nonce: String,
    /// The site registry that everything is fetched from; absent where no step fetches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Registry>,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// The site registry as a node reaches it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Registry {
    /// Host name, with a port where it is not 443, like `registry.lab:5000`.
    pub name: String,
    /// IP address: the node need not be able to resolve the name.
    pub address: String,
    /// The certificates, in PEM, of which one must have issued the registry's.
    pub ca: String,
}

/// Values that must not stand in a plan, by name: `bootstrap-token`, `certificate-key`, …
///
/// They arrive as one JSON object on standard input and are wiped from memory when dropped.
#[derive(Default)]
pub struct Secrets(BTreeMap<String, Zeroizing<String>>);

impl Secrets {
    /// The secrets of the JSON object `text`; nothing at all is no secrets.
    pub fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let values: BTreeMap<String, String> = serde_json::from_slice(text)?;
        Ok(values.into_iter().collect())
    }

    /// The secret called `name`.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    /// `text` with every secret that stands in it replaced by its name.
    pub(crate) fn hide(&self, text: &str) -> String {
        let spoken = self.0.iter().filter(|(_, value)| !value.is_empty());
        spoken.fold(text.to_owned(), |text, (name, value)| text.replace(value.as_str(), &format!("<{name}>")))
    }
}

impl FromIterator<(String, String)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(values.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One line of what `sealock node run` reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Event {
    /// The node's clock.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: EventKind,
}

/// What happened during a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// The run has begun.
    RunStarted {
        /// Number of steps.
        steps: usize,
    },
    /// A step was looked at.
    StepProbed {
        /// The step's id.
        step: String,
        /// What the host said.
        probe: Probe,
    },
    /// A step's effect begins; its intent is durable.
    StepStarted {
        /// The step's id.
        step: String,
    },
    /// Something a person waiting wants to know: an image has been fetched, a pod is still starting.
    Progress {
        /// The step's id.
        step: String,
        /// One line.
        message: String,
    },
    /// A step's effect was checked and holds.
    StepDone {
        /// The step's id.
        step: String,
        /// False where nothing had to be done.
        changed: bool,
        /// Milliseconds.
        duration_ms: u64,
    },
    /// A step was taken back.
    StepUndone {
        /// The step's id.
        step: String,
    },
    /// A step failed, and the run ends.
    StepFailed {
        /// The step's id.
        step: String,
        /// What failed, with its causes.
        error: Failure,
    },
    /// The run has ended: the last line.
    RunEnded {
        /// Why, if not all steps are done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
}

/// An error on its way from the node to the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// What failed.
    pub message: String,
    /// What it failed of, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The reason code, where it is a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether trying again may help.
    pub retryable: bool,
}
