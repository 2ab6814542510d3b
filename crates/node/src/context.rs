//! What a step needs beyond its own data and the host.

use std::collections::BTreeSet;
use std::fmt;

use sealock_trust::Digest;

use crate::error::StepError;
use crate::request::Secrets;
use crate::source::Source;

/// What a step needs beyond its own data and the host.
pub struct Context<'a> {
    /// Where it fetches from.
    pub source: Option<&'a Source>,
    /// Digests that the site's release holds. Nothing else is fetched.
    pub admitted: &'a BTreeSet<Digest>,
    /// What the operator sent on standard input.
    pub secrets: &'a Secrets,
    /// Told what a person waiting wants to know.
    pub progress: &'a dyn Fn(&str),
}

impl Context<'_> {
    /// Nothing that the release does not hold is fetched.
    pub(crate) fn admit(&self, name: &str, digest: &Digest) -> Result<(), StepError> {
        if self.admitted.contains(digest) {
            return Ok(());
        }
        Err(StepError::NotInRelease { name: name.to_owned(), digest: digest.clone() })
    }

    pub(crate) fn source(&self) -> Result<&Source, StepError> {
        let problem = || "it fetches, and the request names no registry".to_owned();
        self.source.ok_or_else(|| StepError::Invalid { problem: problem() })
    }

    /// `text` with every `${secret:NAME}` replaced.
    pub(crate) fn reveal(&self, text: &str) -> Result<zeroize::Zeroizing<String>, StepError> {
        const OPEN: &str = "${secret:";
        let mut revealed = zeroize::Zeroizing::new(String::with_capacity(text.len() + 256));
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPEN) {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| StepError::Invalid { problem: "a ${secret:NAME} is not closed".to_owned() })?;
            let secret = self.secrets.find(name).ok_or_else(|| StepError::NoSecret { name: name.to_owned() })?;
            revealed.push_str(before);
            revealed.push_str(secret);
            rest = after;
        }
        revealed.push_str(rest);
        Ok(revealed)
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("admitted", &self.admitted.len()).finish_non_exhaustive()
    }
}
