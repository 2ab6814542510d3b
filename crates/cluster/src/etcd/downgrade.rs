//! The way back by one minor version. etcd has to be told of it first: it then writes nothing that the older programs could not read,
//! brings the data to their form, and lets them in. When the last member is one of them, it ends the downgrade by itself.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::client::{Etcd, Survey, nobody};
use super::error::{CallError, EtcdError, Outcome};
use super::proto::DowngradeAction;
use super::quorum;

/// How long until every member knows of it: the log has to reach all of them.
const KNOWN: Duration = Duration::from_secs(30);
/// The first version whose members say whether they go back, and bring their data along.
const FIRST: MinorVersion = MinorVersion { major: 3, minor: 6 };

/// A minor version of etcd, like `3.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinorVersion {
    major: u32,
    minor: u32,
}

impl MinorVersion {
    /// That of a whole version, like `3.6.8`.
    fn of(version: &str) -> Option<Self> {
        let mut parts = version.split('.');
        let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { major, minor })
    }

    fn before(self) -> Option<Self> {
        Some(Self { major: self.major, minor: self.minor.checked_sub(1)? })
    }
}

impl fmt::Display for MinorVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for MinorVersion {
    type Err = String;

    /// Reads `3.5` or `v3.5`.
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.strip_prefix('v').unwrap_or(text);
        let is_minor = plain.split('.').count() == 2 && !plain.contains('+');
        Self::of(plain).filter(|_| is_minor).ok_or_else(|| format!("{text:?} is no minor version like 3.5"))
    }
}

impl Etcd {
    /// Whether the members could go back to `target`: by the gates here, and by etcd's own word. Nothing is changed.
    ///
    /// # Errors
    /// They cannot, or not now; or nobody answers.
    pub async fn may_downgrade(&self, target: MinorVersion) -> Result<(), EtcdError> {
        let survey = self.survey().await?;
        if may_begin(&survey, target)? { self.ask_whether(&survey, target).await } else { Ok(()) }
    }

    /// Begins to go back to `target`. Answers whether that was to be done: not where it was begun before.
    ///
    /// # Errors
    /// The members cannot go back to it; or not every member has come to know of it.
    pub async fn downgrade(&self, target: MinorVersion) -> Result<bool, EtcdError> {
        let survey = self.survey().await?;
        if !may_begin(&survey, target)? {
            return Ok(false);
        }
        self.ask_whether(&survey, target).await?;
        let wanted = Some(target);
        self.change_downgrade(&survey, DowngradeAction::Enable, wanted, &target.to_string()).await.map(|()| true)
    }

    /// Goes back no further: members that have done so may be replaced by newer ones again, as in an upgrade. Answers whether that was
    /// to be done: not where nothing was begun.
    ///
    /// # Errors
    /// There is no quorum; or not every member has come to know of it.
    pub async fn cancel_downgrade(&self) -> Result<bool, EtcdError> {
        let survey = self.survey().await?;
        quorum::may_change(&survey)?;
        if survey.downgrade().is_none() {
            return Ok(false);
        }
        self.change_downgrade(&survey, DowngradeAction::Cancel, None, "").await.map(|()| true)
    }

    async fn ask_whether(&self, survey: &Survey, target: MinorVersion) -> Result<(), EtcdError> {
        let voters = self.voters(survey);
        let voter = voters.first().ok_or_else(|| nobody(self.first_seed(), "the downgrade"))?;
        match voter.downgrade(DowngradeAction::Validate, &target.to_string()).await {
            Err(error) if error.outcome() == Outcome::Refused => {
                Err(EtcdError::NoWayBack { target: target.to_string(), problem: format!("etcd says: {}", error.said) })
            }
            asked => Ok(asked?),
        }
    }

    /// What has become of the change the members say, and no reply.
    async fn change_downgrade(
        &self,
        survey: &Survey,
        action: DowngradeAction,
        wanted: Option<MinorVersion>,
        version: &str,
    ) -> Result<(), EtcdError> {
        let voters = self.voters(survey);
        let voter = voters.first().ok_or_else(|| nobody(self.first_seed(), "the downgrade"))?;
        let asked: Result<(), CallError> = voter.downgrade(action, version).await;
        let is_refused = matches!(&asked, Err(error) if error.outcome() == Outcome::Refused);
        let what = match wanted {
            Some(target) => format!("the downgrade to {target}"),
            None => "ending the downgrade".to_owned(),
        };
        let known = |survey: &Survey| {
            let others = survey.states.iter().filter(|state| {
                let said = state.status.as_ref().and_then(|status| status.downgrade.as_deref());
                state.status.is_none() || said.and_then(MinorVersion::of) != wanted
            });
            let names: Vec<String> = others.map(|state| state.member.to_string()).collect();
            (!names.is_empty()).then(|| format!("not known to {}", names.join(", ")))
        };
        match (self.await_survey(&what, if is_refused { Duration::ZERO } else { KNOWN }, known).await, asked) {
            (Ok(_), _) => Ok(()),
            (Err(_), Err(source)) => Err(EtcdError::NotDone { what, source }),
            (Err(error), Ok(())) => Err(error),
        }
    }
}

/// Whether a downgrade to `target` is to be begun; not where it is under way already.
fn may_begin(survey: &Survey, target: MinorVersion) -> Result<bool, EtcdError> {
    let no_way = |problem: String| Err(EtcdError::NoWayBack { target: target.to_string(), problem });
    if let Some(under_way) = survey.downgrade() {
        return match MinorVersion::of(under_way) == Some(target) {
            true => Ok(false),
            false => no_way(format!("it is going back to {under_way}; `--cancel` ends that")),
        };
    }
    quorum::may_pause_each(survey)?;
    for (member, version) in versions(survey) {
        let known = MinorVersion::of(version).filter(|version| *version >= FIRST);
        let Some(version) = known else {
            return no_way(format!("{member} runs {version}, and etcd goes back by itself from {FIRST} on"));
        };
        if version.before() != Some(target) {
            return no_way(format!("{member} runs {version}"));
        }
    }
    Ok(true)
}

fn versions(survey: &Survey) -> impl Iterator<Item = (String, &str)> {
    let with_status = survey.states.iter().filter_map(|state| Some((state.member, state.status.as_ref()?)));
    with_status.map(|(id, status)| {
        let member = survey.membership.find(id).map_or_else(|| id.to_string(), ToString::to_string);
        (member, status.version.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minor_version_has_two_numbers() {
        assert_eq!("3.5".parse::<MinorVersion>().unwrap().to_string(), "3.5");
        assert_eq!("v3.6".parse::<MinorVersion>().unwrap(), FIRST);
        for wrong in ["", "3", "3.5.1", "3.x", "three", "+3.5", "3.-5"] {
            assert!(wrong.parse::<MinorVersion>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_one_before_is_the_only_way_back() {
        let of = |text: &str| MinorVersion::of(text).unwrap();
        assert_eq!(of("3.6.8").before(), Some(of("3.5")));
        assert_eq!(of("3.0.1").before(), None);
    }
}
