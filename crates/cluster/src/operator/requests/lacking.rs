//! What hosts wait for, and which of them are passed over until they have it.

use serde::Serialize;

use crate::execute::ExecuteError;
use crate::plan::{CustodyError, PlanError, Signed, are};

/// A host that a plan passes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PassedOver {
    /// The host.
    pub host: String,
    /// Why.
    pub because: String,
    /// What to do next.
    pub next: String,
}

impl PassedOver {
    /// A host that does not answer; `next` is what to do once it does.
    pub(in crate::operator) fn away(host: &str, error: &ExecuteError, next: &str) -> Self {
        Self { host: host.to_owned(), because: error.to_string(), next: next.to_owned() }
    }

    /// A host on which certificates were laid down, and nothing was started anew since.
    pub(super) fn unfinished(host: &str) -> Self {
        let because = "certificates lie in their place there that nothing has been started anew with".to_owned();
        let next =
            "`sealock cluster renew` finishes that; or `sealock cluster rescue`, where the cluster does not serve";
        Self { host: host.to_owned(), because, next: next.to_owned() }
    }
}

/// What stands in the way of laying down what was signed.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    /// Each as `file on host`.
    pub(super) requests: Vec<String>,
    /// Where each is expected at the station.
    pub(super) certificates: Vec<String>,
    /// What was signed, and is not what was asked for.
    pub(super) unfit: Vec<CustodyError>,
}

impl Lacking {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.certificates.is_empty() && self.unfit.is_empty()
    }

    fn and(mut self, other: Self) -> Self {
        self.requests.extend(other.requests);
        self.certificates.extend(other.certificates);
        self.unfit.extend(other.unfit);
        self
    }

    pub(super) fn check(self) -> Result<(), CustodyError> {
        if let Some(unfit) = self.unfit.into_iter().next() {
            return Err(unfit);
        }
        if !self.requests.is_empty() {
            return Err(CustodyError::NotRequested { files: self.requests });
        }
        if !self.certificates.is_empty() {
            return Err(CustodyError::NotSigned { files: self.certificates });
        }
        Ok(())
    }
}

/// What was found for hosts, and what is not there.
#[derive(Debug)]
pub(in crate::operator) struct Found {
    pub(super) signed: Signed,
    /// By host, in the order of the spec.
    pub(super) lacking: Vec<(String, Lacking)>,
}

impl Found {
    /// All of it.
    ///
    /// # Errors
    /// Something was not asked for yet, or not signed, or is not what was asked for, on any host.
    pub(in crate::operator) fn whole(self) -> Result<Signed, PlanError> {
        Ok(self.without(|_| false)?.0)
    }

    /// What there is for the others, where hosts that lack something may be passed over.
    ///
    /// # Errors
    /// As [`Self::whole`], of a host that may not.
    pub(in crate::operator) fn without(
        self,
        may_be_passed_over: impl Fn(&str) -> bool,
    ) -> Result<(Signed, Vec<PassedOver>), CustodyError> {
        let Self { mut signed, lacking } = self;
        let (passed_over, needed): (Vec<_>, Vec<_>) =
            lacking.into_iter().partition(|(host, _)| may_be_passed_over(host));
        needed.into_iter().fold(Lacking::default(), |all, (_, one)| all.and(one)).check()?;
        let mut told = Vec::new();
        for (host, lacking) in passed_over {
            signed.certificates.remove(&host);
            signed.unfinished.remove(&host);
            told.extend(lacking.check().err().map(|error| PassedOver {
                host,
                because: briefly(&error),
                next: error.hint(),
            }));
        }
        Ok((signed, told))
    }

    /// What there is for hosts that lack nothing, and the others, which wait. What was signed wrongly is no reason to pass a host over.
    ///
    /// # Errors
    /// Something was signed that is not what was asked for; or no host has all, and that is why.
    pub(in crate::operator) fn or_pass_over(self) -> Result<(Signed, Vec<PassedOver>), CustodyError> {
        let lacks = |host: &str| self.lacking.iter().any(|(other, _)| other == host);
        let is_left = self.signed.certificates.keys().any(|host| !lacks(host));
        let wrong: Vec<String> =
            self.lacking.iter().filter(|(_, one)| !one.unfit.is_empty()).map(|(host, _)| host.clone()).collect();
        self.without(|host| is_left && !wrong.iter().any(|one| one == host))
    }

    /// What there is, also for hosts that lack something.
    pub(in crate::operator) fn as_it_is(&self) -> &Signed {
        &self.signed
    }
}

/// On one line: a control plane shows a dozen certificates.
fn briefly(error: &CustodyError) -> String {
    let (files, are_what) = match error {
        CustodyError::NotRequested { files } => (files, "not asked for yet"),
        CustodyError::NotSigned { files } => (files, "not signed yet"),
        other => return other.to_string(),
    };
    let more = match files.len() {
        0 | 1 => String::new(),
        number => format!(", and {} more", number - 1),
    };
    format!("{} {are_what}: {}{more}", are(files), files.first().map(String::as_str).unwrap_or_default())
}
