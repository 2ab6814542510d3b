//! etcd's members, asked on a control plane host with what its API server shows to them: etcd is reached by those machines only.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Connection, ExecuteError};
use crate::etcd::external::{Look, Order};
use crate::spec::Host;

/// `$1` is Sealock there, the rest are words of `sealock etcd`. Exit code 1 of `status` says that not all is well, which is why
/// somebody is being removed.
const ASK: &str = r#"program="$1"
shift
"$program" etcd "$@" --of-control-plane
code=$?
if [ "$1" = status ] && [ "$code" = 1 ]; then exit 0; fi
exit "$code""#;
/// `$1` is Sealock there; standard input says which etcd it is that nobody else there knows of yet.
const LOOK: &str = r#"exec "$1" node etcd-look"#;
/// `$1` is Sealock there. The exit code says as well whether all is well; where something was compared, what is told of it counts.
const COMPARE: &str = r#"said="$("$1" etcd status --hash -o json --of-control-plane)"
code=$?
if [ -n "$said" ]; then
    printf '%s\n' "$said"
    exit 0
fi
exit "$code""#;
/// The exit code of a refusal (DESIGN §4).
const REFUSED: i32 = 3;

/// The members of an etcd.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct EtcdMembers {
    /// Whether every member serves, votes, and has raised no alarm.
    pub(crate) well: bool,
    /// Whether a majority says so, and not one member alone as it remembers.
    pub(crate) agreed: bool,
    members: Vec<EtcdMember>,
    #[serde(default)]
    states: Vec<EtcdState>,
    /// Of members that are none any more: nothing is written while one stands.
    #[serde(default, rename = "strayAlarms")]
    stray_alarms: Vec<StrayAlarm>,
}

/// An alarm of a member that is none any more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct StrayAlarm {
    /// The id that it had.
    member: String,
}

/// How a member was found, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct EtcdState {
    /// Its id.
    member: String,
    status: Option<EtcdStatus>,
    /// Why it does not serve.
    problem: Option<String>,
    alarms: Vec<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EtcdStatus {
    /// Like `3.6.8`.
    version: String,
    revision: i64,
    /// Bytes of the database's file.
    #[serde(default)]
    db_size: i64,
}

/// What `etcd status --hash` says of what the members hold.
#[derive(Debug, Deserialize)]
struct Compared {
    hashes: Hashes,
}

#[derive(Debug, Deserialize)]
struct Hashes {
    revision: i64,
    agree: bool,
    checks: Vec<HashOf>,
}

#[derive(Debug, Deserialize)]
struct HashOf {
    member: EtcdMember,
    hash: u32,
}

impl Hashes {
    /// Who holds what, where it is not the same.
    fn difference(&self) -> Option<String> {
        if self.agree {
            return None;
        }
        let holds = |check: &HashOf| format!("{} ({}) has {:08x}", check.member.name, check.member.id, check.hash);
        let all: Vec<String> = self.checks.iter().map(holds).collect();
        Some(format!("at revision {} {}", self.revision, all.join(", ")))
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EtcdMember {
    /// As etcd prints it.
    pub(crate) id: String,
    /// Empty until it has started once.
    name: String,
    peer_urls: Vec<String>,
    /// It has no vote.
    pub(crate) learner: bool,
}

impl EtcdMembers {
    /// Each member with its version, where it answers, and with why it is not well; and whose alarm stands that is none any more.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (&str, Option<&str>, Option<String>)> {
        let strays = self.stray_alarms.iter().map(|alarm| {
            let problem =
                "its alarm stands, and it is no member any more (`sealock etcd remove` with its id takes it back)";
            (alarm.member.as_str(), None, Some(problem.to_owned()))
        });
        let members = self.members.iter().map(|member| {
            let state = self.states.iter().find(|state| state.member == member.id);
            let version = state.and_then(|state| state.status.as_ref()).map(|status| status.version.as_str());
            let alarm =
                || state.is_some_and(|state| !state.alarms.is_empty()).then(|| "it has raised an alarm".to_owned());
            let problem = state.and_then(|state| state.problem.clone()).or_else(alarm);
            let name = if member.name.is_empty() { &member.id } else { &member.name };
            (name.as_str(), version, problem.or_else(|| member.learner.then(|| "it has no vote yet".to_owned())))
        });
        members.chain(strays)
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.members.len()
    }

    /// The versions of the members that answer, like `3.6.8`.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &str> {
        self.answers().map(|status| status.version.as_str())
    }

    /// The newest revision that a member holds.
    pub(crate) fn revision(&self) -> Option<i64> {
        self.answers().map(|status| status.revision).max()
    }

    /// Bytes of the largest database.
    pub(crate) fn database(&self) -> u64 {
        self.answers().filter_map(|status| u64::try_from(status.db_size).ok()).max().unwrap_or_default()
    }

    fn answers(&self) -> impl Iterator<Item = &EtcdStatus> {
        self.states.iter().filter_map(|state| state.status.as_ref())
    }

    /// Whether every member serves, votes, and has raised no alarm, but for that of `host`.
    pub(crate) fn are_well_but(&self, host: Option<&Host>) -> bool {
        self.are_well_without(host.and_then(|host| self.of(host)))
    }

    /// The same, but for `left_out`.
    pub(super) fn are_well_without(&self, left_out: Option<&EtcdMember>) -> bool {
        let left_out = left_out.map(|member| member.id.as_str());
        let is_well = |member: &EtcdMember| {
            let mut states = self.states.iter().filter(|state| state.member == member.id);
            !member.learner && states.any(|state| state.problem.is_none() && state.alarms.is_empty())
        };
        self.members.iter().filter(|member| Some(member.id.as_str()) != left_out).all(is_well)
    }

    /// Whether the member of `host` serves, votes, and has raised no alarm.
    pub(crate) fn is_well(&self, host: &Host) -> bool {
        let state_of = |member: &EtcdMember| self.states.iter().find(|state| state.member == member.id);
        let is_well = |member: &EtcdMember| {
            !member.learner && state_of(member).is_some_and(|state| state.problem.is_none() && state.alarms.is_empty())
        };
        self.of(host).is_some_and(is_well)
    }

    /// Whether the member of `host` is still to come: etcd does not list it, it has never started, or it has no vote.
    pub(crate) fn is_coming(&self, host: &Host) -> bool {
        self.of(host).is_none_or(|member| member.name.is_empty() || member.learner)
    }

    /// Whether the member of `host` has started once, and does not serve or has raised an alarm.
    pub(crate) fn has_failed(&self, host: &Host) -> bool {
        let Some(member) = self.of(host).filter(|member| !member.name.is_empty()) else { return false };
        let state = self.states.iter().find(|state| state.member == member.id);
        state.is_none_or(|state| state.problem.is_some() || !state.alarms.is_empty())
    }

    /// A member without a vote that is not that of `host`.
    pub(crate) fn learner_but(&self, host: &Host) -> Option<&str> {
        let own = self.of(host).map(|member| member.id.as_str());
        let other = self.members.iter().find(|member| member.learner && Some(member.id.as_str()) != own)?;
        Some(if other.name.is_empty() { &other.id } else { &other.name })
    }

    /// The member of `host`: by its name, or by the address of one that has never started.
    pub(crate) fn of(&self, host: &Host) -> Option<&EtcdMember> {
        self.at(host.name.as_str(), &host.address.to_string())
    }

    /// Whether a member listens for others at `address`, where kubeadm has it on a control plane host.
    pub(super) fn has_peer(&self, address: &str) -> bool {
        let url = format!("https://{address}:2380");
        self.members.iter().any(|member| member.peer_urls.contains(&url))
    }

    /// The same for the host called `name` with this `address`.
    pub(super) fn at(&self, name: &str, address: &str) -> Option<&EtcdMember> {
        let url = format!("https://{address}:2380");
        self.members.iter().find(|member| member.name == name || member.peer_urls.contains(&url))
    }
}

impl Connection {
    /// Who is a member of the etcd of this control plane host.
    ///
    /// # Errors
    /// As every command.
    pub(crate) async fn etcd_members(&self, program: &str) -> Result<EtcdMembers, ExecuteError> {
        let said = self.script(ASK, &[program, "status", "-o", "json"], b"").await?;
        serde_json::from_slice(&said).map_err(|source| self.not_understood("sealock etcd status", source))
    }

    /// What is said where the members of the etcd of this control plane host do not hold the same at one revision; nothing where they do.
    ///
    /// # Errors
    /// As every command; a member does not answer.
    pub(crate) async fn etcd_differs(&self, program: &str) -> Result<Option<String>, ExecuteError> {
        let said = self.script(COMPARE, &[program], b"").await?;
        let compared: Compared = serde_json::from_slice(&said)
            .map_err(|source| self.not_understood("sealock etcd status --hash", source))?;
        Ok(compared.hashes.difference())
    }

    /// What this host sees of an etcd that somebody else runs.
    ///
    /// # Errors
    /// As every command; the order goes by standard input, and stands in none of them.
    pub(crate) async fn look_at_external(&self, program: &str, order: &Order<'_>) -> Result<Look, ExecuteError> {
        let order = serde_json::to_vec(order).map(Zeroizing::new);
        let order = order.map_err(|source| self.not_understood("sealock node etcd-look", source))?;
        let said = self.script(LOOK, &[program], &order).await?;
        serde_json::from_slice(&said).map_err(|source| self.not_understood("sealock node etcd-look", source))
    }

    /// Takes the member with this id out of the etcd of this control plane host, or looks whether it may be.
    ///
    /// # Errors
    /// [`ExecuteError::Etcd`], where etcd would lose its majority; as every command.
    pub(crate) async fn etcd_remove(&self, program: &str, id: &str, dry_run: bool) -> Result<(), ExecuteError> {
        let how = if dry_run { "--dry-run" } else { "--yes" };
        match self.script(ASK, &[program, "remove", id, how], b"").await {
            Err(ExecuteError::Command { host, code: Some(REFUSED), said, .. }) => {
                Err(ExecuteError::Etcd { host, said })
            }
            outcome => outcome.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Cluster;

    const SPEC: &str = "apiVersion: sealock/v1alpha1\nkind: Cluster\nmetadata: {name: plant-7}\nspec:\n  site: plant-7\n  \
        kubernetes: {version: v1.36.3}\n  controlPlane: {endpoint: \"10.77.0.11:6443\"}\n  hosts:\n    - {name: cp1, address: 10.77.0.11, \
        roles: [control-plane], ssh: {user: ops, hostKey: \"SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8\"}}\n";

    #[test]
    fn a_member_that_never_started_is_found_by_its_address() {
        let cluster = Cluster::load(std::path::Path::new("cluster.yaml"), SPEC).unwrap();
        let host = cluster.host("cp1").unwrap();
        let members = |member: &str| -> EtcdMembers {
            serde_json::from_str(&format!(
                r#"{{"well":false,"agreed":true,"members":[{member}],"leader":null,"states":[]}}"#
            ))
            .unwrap()
        };
        let nameless =
            r#"{"id":"8e9e","name":"","peerUrls":["https://10.77.0.11:2380"],"clientUrls":[],"learner":true}"#;
        assert_eq!(members(nameless).of(host).map(|member| (member.id.as_str(), member.learner)), Some(("8e9e", true)));
        let named =
            r#"{"id":"8e9e","name":"cp1","peerUrls":["https://10.77.0.99:2380"],"clientUrls":[],"learner":false}"#;
        assert!(members(named).of(host).is_some());
        let other =
            r#"{"id":"8e9e","name":"cp11","peerUrls":["https://10.77.0.110:2380"],"clientUrls":[],"learner":false}"#;
        assert!(members(other).of(host).is_none());
    }

    #[test]
    fn a_member_that_is_away_counts_unless_it_is_the_one_that_is_brought_up_again() {
        let cluster = Cluster::load(std::path::Path::new("cluster.yaml"), SPEC).unwrap();
        let host = cluster.host("cp1").unwrap();
        let member = |id: &str, name: &str| serde_json::json!({"id": id, "name": name, "peerUrls": [], "clientUrls": [], "learner": false});
        let survey = |problems: [Option<&str>; 2], alarms: &[&str]| -> EtcdMembers {
            let state = |id: &str, problem: Option<&str>, alarms: &[&str]| serde_json::json!({"member": id, "endpoint": null, "status": null, "problem": problem, "alarms": alarms});
            let states = [state("a", problems[0], &[]), state("b", problems[1], alarms)];
            let members = [member("a", "cp1"), member("b", "cp2")];
            let survey = serde_json::json!({"well": false, "agreed": true, "members": members, "states": states});
            serde_json::from_value(survey).unwrap()
        };
        let away = Some("connection refused");
        assert!(survey([None, None], &[]).are_well_but(None));
        assert!(!survey([away, None], &[]).are_well_but(None));
        assert!(survey([away, None], &[]).are_well_but(Some(host)));
        assert!(!survey([None, away], &[]).are_well_but(Some(host)), "then none of two would be there");
        assert!(!survey([None, None], &["NOSPACE"]).are_well_but(Some(host)));
        let stray = serde_json::json!({"well": false, "agreed": true, "members": [], "strayAlarms": [{"member": "c", "kind": "corrupt"}]});
        let stray: EtcdMembers = serde_json::from_value(stray).unwrap();
        let seen: Vec<_> = stray.seen().collect();
        assert!(seen.len() == 1 && seen[0].0 == "c" && seen[0].2.as_ref().unwrap().contains("no member any more"));
        assert!(survey([None, away], &[]).is_well(host) && !survey([away, None], &[]).is_well(host));
    }

    /// `etcd status` ends with 1 where a member is not well, too: the exit code says nothing of what was compared.
    #[test]
    fn members_differ_by_what_was_compared_and_not_by_whether_all_is_well() {
        let compared = |well: bool, agree: bool| -> Option<String> {
            let member = |id: &str, name: &str| serde_json::json!({"id": id, "name": name, "peerUrls": [], "clientUrls": [], "learner": false});
            let check = |id: &str, name: &str, hash: u32| serde_json::json!({"member": member(id, name), "hash": hash, "compacted": 1});
            let checks = [check("a", "cp1", 7), check("b", "cp2", if agree { 7 } else { 8 })];
            let hashes = serde_json::json!({"revision": 9, "agree": agree, "checks": checks});
            let said = serde_json::json!({"well": well, "hashes": hashes});
            serde_json::from_value::<Compared>(said).unwrap().hashes.difference()
        };
        assert_eq!(compared(true, true), None);
        assert_eq!(compared(false, true), None);
        let said = compared(true, false).unwrap();
        assert_eq!(said, "at revision 9 cp1 (a) has 00000007, cp2 (b) has 00000008");
    }
}
