//! The etcd member of a control plane on this machine, as kubeadm set it up: who else counts on it, its leaving, and its data where it
//! does not leave.

use std::fmt;
use std::time::Duration;

use sealock_node::changes::{Changes, Subject};
use sealock_node::host::{self, Host};
use sealock_node::step::{File, Mode, SetAside, unit_is_active};
use sealock_node::{Step, StepError, journal};
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::MachineError;
use crate::etcd::quorum::{self, Refusal};
use crate::etcd::{Credentials, Endpoint, Endpoints, Etcd, EtcdError, MemberId, Survey};

pub(super) const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";
const PKI: &str = "/etc/kubernetes/pki/etcd";
const KEY: &str = "healthcheck-client.key";
const OWN: &str = "https://127.0.0.1:2379";
const PEER_URL: &str = "--initial-advertise-peer-urls=";
const DATA_FLAG: &str = "--data-dir=";
const DATA: &str = "/var/lib/etcd";
/// How long a member may take to vote once kubeadm is through.
const VOTES: Duration = Duration::from_secs(120);
/// The member's peer URL, and below it where the others answer: cut off after etcd has ended here, the next run asks them whether the member
/// is gone. No other lines where there are no others.
const OTHERS: &str = "/var/lib/sealock/node/plane-etcd-others";
/// The step that takes the machine back.
pub(super) const RESET: &str = "reset";

/// A member of the etcd of a control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdMember {
    /// Which.
    pub id: MemberId,
    /// Where its peers reach it.
    pub peer_url: String,
    /// Where the others answer; none where it is the only one.
    pub others: Vec<String>,
}

impl fmt::Display for EtcdMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {} at {}", self.id, self.peer_url)
    }
}

/// The etcd member on this machine that its cluster lists; refused where the others would lose their majority without it.
///
/// # Errors
/// etcd does not answer, or its quorum would be lost.
pub async fn etcd_member(host: &dyn Host) -> Result<Option<EtcdMember>, MachineError> {
    let remembered = Remembered::read(host)?;
    let Some(manifest) = host::read_text(host, MANIFEST)? else { return without_manifest(host, remembered).await };
    let peer_url = peer_url_in(&manifest)?;
    // What an earlier cluster left is not about this one.
    let remembered = remembered.filter(|remembered| remembered.peer_url == peer_url);
    let asked = match survey(host, &[OWN.to_owned()]).await {
        Ok(survey) => member_in(&survey, &peer_url)?,
        Err(MachineError::Etcd(silent @ EtcdError::Silent(_))) => {
            return match remembered {
                Some(remembered) if remembered.is_alone() && !is_ending(host)? => Err(unknown(silent)),
                Some(remembered) => remembered.gone(host).await,
                None => Err(unknown(silent)),
            };
        }
        Err(error) => return Err(of_member(error)),
    };
    match (asked, remembered) {
        (Some(member), _) => Ok(Some(member)),
        // It has just left, and still answers.
        (None, Some(remembered)) if !remembered.is_alone() => remembered.gone(host).await,
        (None, _) => Err(MachineError::MemberNotFound(format!("its cluster lists no member at {peer_url}"))),
    }
}

/// A reset that was cut off takes the manifest away, and with it what the others would be asked with; it has stopped kubelet by then.
async fn without_manifest(host: &dyn Host, remembered: Option<Remembered>) -> Result<Option<EtcdMember>, MachineError> {
    match remembered {
        Some(remembered) if !remembered.is_alone() && host::exists(host, &format!("{PKI}/{KEY}"))? => {
            remembered.gone(host).await
        }
        Some(_) if is_ending(host)? => Ok(None),
        _ if host::exists(host, &format!("{DATA}/member"))? => {
            Err(MachineError::MemberNotFound(format!("{DATA} holds data, and {MANIFEST} is not there")))
        }
        _ => Ok(None),
    }
}

/// What a reset wrote down before it took anything away.
#[derive(Debug, PartialEq, Eq)]
struct Remembered {
    peer_url: String,
    others: Vec<String>,
}

impl Remembered {
    fn read(host: &dyn Host) -> Result<Option<Self>, MachineError> {
        Ok(host::read_text(host, OTHERS)?.as_deref().and_then(Self::from_text))
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(ToOwned::to_owned);
        Some(Self { peer_url: lines.next()?, others: lines.collect() })
    }

    fn is_alone(&self) -> bool {
        self.others.is_empty()
    }

    /// Whether the member has left by the word of the others.
    async fn gone(&self, host: &dyn Host) -> Result<Option<EtcdMember>, MachineError> {
        if self.is_alone() {
            return Ok(None);
        }
        let survey = survey(host, &self.others).await.map_err(of_member)?;
        if !survey.agreed {
            return Err(unknown(EtcdError::NoLeader));
        }
        member_in(&survey, &self.peer_url)
    }
}

/// Takes away what a reset wrote down that was given up: another member may come, and then it is not true any more.
///
/// # Errors
/// The machine refuses.
pub fn forget(host: &dyn Host) -> Result<(), MachineError> {
    let changes =
        Changes::load(host).and_then(|mut changes| changes.undo(host, &Subject::File { path: OTHERS.into() }));
    changes.map_err(StepError::from).map_err(MachineError::Forgetting)
}

/// Whether a reset is what has ended etcd: it has begun to take the machine back, and kubelet, the first thing that it stops, has not come back
/// since. What was written down before that may have been given up: since then a machine may have joined by a file that was made earlier.
fn is_ending(host: &dyn Host) -> Result<bool, MachineError> {
    Ok(journal::is_under_way(host, RESET)? && !unit_is_active(host, "kubelet.service")?)
}

fn member_in(survey: &Survey, peer_url: &str) -> Result<Option<EtcdMember>, MachineError> {
    let Some(member) = survey.membership.at(peer_url) else { return Ok(None) };
    let (id, peer_url) = (member.id, peer_url.to_owned());
    match quorum::may_remove(survey, id) {
        Err(Refusal::LastVoter(_)) => Ok(Some(EtcdMember { id, peer_url, others: Vec::new() })),
        allowed => {
            allowed?;
            Ok(Some(EtcdMember { id, others: others(survey, id), peer_url }))
        }
    }
}

pub(super) async fn survey(host: &dyn Host, seeds: &[String]) -> Result<Survey, MachineError> {
    let seeds = seeds.iter().map(|url| url.parse()).collect::<Result<_, EtcdError>>()?;
    Ok(etcd(host, seeds)?.survey().await?)
}

/// What the member on this machine says of its cluster.
pub(super) async fn own_survey(host: &dyn Host) -> Result<Survey, MachineError> {
    survey(host, &[OWN.to_owned()]).await
}

/// Of the member that is to leave, an etcd that refuses tells nothing.
fn of_member(error: MachineError) -> MachineError {
    match error {
        MachineError::Etcd(error) => unknown(error),
        other => other,
    }
}

fn unknown(error: EtcdError) -> MachineError {
    MachineError::MemberUnknown(Box::new(error))
}

/// The etcd of the control plane on this machine is well: only then another member may come.
///
/// # Errors
/// It is not, or does not answer.
pub async fn check_etcd(host: &dyn Host) -> Result<(), MachineError> {
    Ok(quorum::may_pause_each(&own_survey(host).await?)?)
}

/// Waits until the member on this machine votes, and is well. kubeadm has added it without a vote and given it its vote: what counts is
/// what the cluster says.
///
/// # Errors
/// It does not; etcd does not answer.
pub(super) async fn await_vote(host: &dyn Host) -> Result<(), MachineError> {
    let manifest = host::read_text(host, MANIFEST)?.unwrap_or_default();
    let peer_url = flag_in(&manifest, PEER_URL).ok_or_else(|| MachineError::Refused {
        program: "kubeadm".to_owned(),
        said: format!("it has left {MANIFEST} without a peer URL"),
    })?;
    let own = OWN.parse::<Endpoint>().map_err(MachineError::from)?;
    let missing = |survey: &Survey| match survey.membership.at(&peer_url) {
        None => Some(format!("the cluster lists no member at {peer_url}")),
        Some(member) if member.learner => Some(format!("{member} has no vote yet")),
        Some(member) => survey.state_of(member.id).and_then(|state| state.problem.clone()),
    };
    etcd(host, vec![own])?.await_survey("the member of this machine does not vote", VOTES, missing).await?;
    Ok(())
}

/// Where the data of a member on this machine goes where nobody says that it may be deleted; `when` tells it from what went aside before.
///
/// # Errors
/// The machine refuses.
pub fn data_aside(host: &dyn Host, when: &str) -> Result<Option<SetAside>, MachineError> {
    let manifest = host::read_text(host, MANIFEST)?.unwrap_or_default();
    let path = flag_in(&manifest, DATA_FLAG).unwrap_or_else(|| DATA.to_owned());
    let name = format!("{}.{when}", path.rsplit('/').next().unwrap_or_default());
    let is_there = host::exists(host, &format!("{path}/member"))?;
    Ok(is_there.then_some(SetAside { path, name }))
}

/// Where kubeadm told the member's peers to reach it.
pub(super) fn peer_url_in(manifest: &str) -> Result<String, MachineError> {
    flag_in(manifest, PEER_URL).ok_or_else(|| MachineError::MemberNotFound(format!("{MANIFEST} names no peer URL")))
}

pub(super) fn flag_in(manifest: &str, flag: &str) -> Option<String> {
    manifest.lines().find_map(|line| Some(line.split_once(flag)?.1.trim().to_owned()))
}

impl EtcdMember {
    /// Whether others count on it.
    pub fn is_counted_on(&self) -> bool {
        !self.others.is_empty()
    }

    /// The step that remembers whom to ask.
    pub(super) fn remember(&self) -> Step {
        let content = [&self.peer_url].into_iter().chain(&self.others).map(|line| format!("{line}\n")).collect();
        Step::new("etcd/others", File { path: OTHERS.into(), content, mode: Mode::PRIVATE, replaces: None })
    }

    /// Has the member leave: another one leads, it is removed, and another one confirms it.
    ///
    /// # Errors
    /// The others refuse, or do not answer.
    pub(super) async fn leave(&self, host: &dyn Host) -> Result<(), MachineError> {
        let parse = |url: &String| url.parse::<Endpoint>();
        let seeds: Vec<Endpoint> = self.others.iter().map(parse).collect::<Result<_, _>>()?;
        let etcd = etcd(host, seeds)?;
        let survey = etcd.survey().await?;
        if survey.membership.find(self.id).is_none() {
            return Ok(());
        }
        if survey.leader == Some(self.id) {
            etcd.move_leader(None).await?;
        }
        match etcd.remove(self.id).await?.find(self.id) {
            Some(still) => Err(EtcdError::Stale(format!("{still} is listed again")).into()),
            None => Ok(()),
        }
    }
}

fn others(survey: &Survey, own: MemberId) -> Vec<String> {
    let others = survey.states.iter().filter(|state| state.member != own);
    others.filter_map(|state| Some(state.endpoint.as_ref()?.to_string())).collect()
}

pub(super) fn etcd(host: &dyn Host, seeds: Vec<Endpoint>) -> Result<Etcd, MachineError> {
    let read = |name: &str| {
        let text = host::read_text(host, &format!("{PKI}/{name}"))?;
        Ok::<_, MachineError>(text.unwrap_or_default())
    };
    let credentials = Credentials {
        ca: read("ca.crt")?,
        certificate: read("healthcheck-client.crt")?,
        key: Zeroizing::new(read(KEY)?),
    };
    Ok(Etcd::new(&Endpoints { seeds, credentials: Some(credentials) })?)
}

#[cfg(test)]
mod tests {
    use sealock_node::host::{Alteration, Command, Entry, HostError, Local, Output};
    use sealock_node::journal::RecordKind;

    use super::*;

    /// A folder as a machine, on which kubelet runs or does not.
    struct Machine {
        root: tempfile::TempDir,
        kubelet: &'static str,
    }

    impl Machine {
        fn new(kubelet: &'static str, files: &[(&str, &str)]) -> Self {
            let machine = Self { root: tempfile::tempdir().unwrap(), kubelet };
            for (path, text) in files {
                let path = machine.root.path().join(path.trim_start_matches('/'));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            machine
        }

        /// What a run has written down.
        fn journals(&self, records: &[RecordKind]) {
            let folder = self.root.path().join("var/lib/sealock/node/journal");
            let (mut journal, _) = journal::Journal::open(&folder, &sealock_trust::Digest::sha256(b"a plan")).unwrap();
            records.iter().for_each(|what| journal.append(jiff::Timestamp::UNIX_EPOCH, what.clone()).unwrap());
        }

        fn local(&self) -> Local {
            Local::rooted(self.root.path())
        }

        fn asked(&self) -> Result<Option<EtcdMember>, MachineError> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(etcd_member(self))
        }
    }

    impl Host for Machine {
        fn inspect(&self, path: &str) -> Result<Entry, HostError> {
            self.local().inspect(path)
        }
        fn open(&self, path: &str) -> Result<Box<dyn std::io::Read>, HostError> {
            self.local().open(path)
        }
        fn list(&self, path: &str) -> Result<Vec<String>, HostError> {
            self.local().list(path)
        }
        fn write(&self, path: &str, mode: Mode, content: &mut dyn std::io::Read) -> Result<(), HostError> {
            self.local().write(path, mode, content)
        }
        fn alter(&self, alteration: Alteration<'_>) -> Result<(), HostError> {
            self.local().alter(alteration)
        }
        fn run(&self, command: &Command) -> Result<Output, HostError> {
            assert_eq!(command.program, "systemctl", "nothing else is asked");
            Ok(Output { status: 0, stdout: format!("ActiveState={}\n", self.kubelet), stderr: String::new() })
        }
    }

    const PEER: &str = "https://10.77.0.11:2380";
    const ALONE: &str = "https://10.77.0.11:2380\n";
    const OF_TWO: &str = "https://10.77.0.11:2380\nhttps://127.0.0.1:1\n";
    const ETCD: &str = "    - --initial-advertise-peer-urls=https://10.77.0.11:2380\n";
    const HAS_DATA: (&str, &str) = ("/var/lib/etcd/member/wal", "");

    /// A reset wrote it down and was given up; since then kubelet runs as before, and another member may have come.
    #[test]
    fn what_was_written_down_by_a_reset_that_was_given_up_says_nothing() {
        let stale = Machine::new("active", &[(OTHERS, ALONE), HAS_DATA]);
        assert!(matches!(stale.asked(), Err(MachineError::MemberNotFound(_))));
        // kubelet may have ended for another reason.
        let given_up = Machine::new("inactive", &[(OTHERS, ALONE), HAS_DATA]);
        assert!(matches!(given_up.asked(), Err(MachineError::MemberNotFound(_))));
        given_up.journals(&[RecordKind::Intent { step: "etcd/others".into() }]);
        assert!(matches!(given_up.asked(), Err(MachineError::MemberNotFound(_))));
        let pki = pki();
        let pki: Vec<(&str, &str)> = pki.iter().map(|(path, text)| (&**path, &**text)).collect();
        let files = [&pki[..], &[(OTHERS, ALONE), HAS_DATA, (MANIFEST, ETCD)]].concat();
        let silent = Machine::new("inactive", &files);
        assert!(matches!(silent.asked(), Err(MachineError::MemberUnknown(_))), "{:?}", silent.asked());

        let begun = RecordKind::Intent { step: RESET.into() };
        for machine in [&given_up, &silent] {
            machine.journals(std::slice::from_ref(&begun));
            assert_eq!(machine.asked().unwrap(), None, "it goes on where it was cut off");
        }
        silent.journals(&[RecordKind::RunFinished]);
        assert!(silent.asked().is_err(), "that one came to its end");
        stale.journals(&[begun]);
        assert!(stale.asked().is_err(), "kubelet was started again");
    }

    /// While there is anything to ask them with.
    #[test]
    fn the_others_are_asked_where_the_manifest_is_gone() {
        let pki = pki();
        let pki: Vec<(&str, &str)> = pki.iter().map(|(path, text)| (&**path, &**text)).collect();
        let silent = Machine::new("inactive", &[&pki[..], &[(OTHERS, OF_TWO), HAS_DATA]].concat());
        assert!(matches!(silent.asked(), Err(MachineError::MemberUnknown(_))), "{:?}", silent.asked());
        let gone = Machine::new("inactive", &[(OTHERS, OF_TWO)]);
        assert_eq!(gone.asked().unwrap(), None);
    }

    /// What etcd is asked with.
    fn pki() -> [(String, String); 3] {
        let made = rcgen::generate_simple_self_signed(["etcd".to_owned()]).unwrap();
        let path = |name: &str| format!("{PKI}/{name}");
        [
            (path(KEY), made.signing_key.serialize_pem()),
            (path("healthcheck-client.crt"), made.cert.pem()),
            (path("ca.crt"), made.cert.pem()),
        ]
    }

    #[test]
    fn what_is_written_down_is_read_again_and_forgotten() {
        let machine = Machine::new("active", &[]);
        let member = |others: &[&str]| EtcdMember {
            id: "8e9e".parse().unwrap(),
            peer_url: PEER.into(),
            others: others.iter().map(|&other| other.to_owned()).collect(),
        };
        for others in [&[][..], &["https://10.77.0.12:2379"]] {
            let secrets = sealock_node::request::Secrets::default();
            let admitted = std::collections::BTreeSet::new();
            let context =
                sealock_node::Context { source: None, admitted: &admitted, secrets: &secrets, progress: &|_| {} };
            member(others).remember().apply(&machine, &context).unwrap();
            let read = Remembered::read(&machine).unwrap().unwrap();
            assert_eq!((read.peer_url.as_str(), read.is_alone()), (PEER, others.is_empty()));
            assert_eq!(read.others, others);
            forget(&machine).unwrap();
            assert_eq!(Remembered::read(&machine).unwrap(), None);
        }
    }

    /// A member that is not found is not taken for one on which nobody counts.
    #[test]
    fn a_manifest_without_a_peer_url_is_told() {
        let url = "    - --initial-advertise-peer-urls=https://10.77.0.11:2380\n    - --name=cp1\n";
        assert_eq!(peer_url_in(url).unwrap(), "https://10.77.0.11:2380");
        let error = peer_url_in("    - --name=cp1\n").unwrap_err();
        assert!(error.to_string().contains(MANIFEST) && error.hint().is_some(), "{error}");
    }
}
