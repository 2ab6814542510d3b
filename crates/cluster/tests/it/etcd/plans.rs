//! Gates and plans, which ask nobody: every state of small clusters, and transcripts.

use std::fs;

use sealock_cluster::etcd::machine::{
    MachineError, MachinePlan, Observed, Program, Restore, Settings, Supervisor, observe, plan,
};
use sealock_cluster::etcd::{AlarmKind, Member, MemberId, MemberState, Membership, Survey, quorum};
use sealock_node::Local;
use sealock_trust::Digest;
use sealock_trust::reason::Code;

/// A cluster of `up.len()` voters, of which some are up.
fn survey(up: &[bool]) -> Survey {
    let id = |n: usize| MemberId(n as u64 + 1);
    let member = |n: usize| Member {
        id: id(n),
        name: format!("m{}", n + 1),
        peer_urls: vec![format!("https://10.77.0.1{}:2380", n + 1)],
        client_urls: vec![format!("https://10.77.0.1{}:2379", n + 1)],
        learner: false,
    };
    let state = |n: usize| MemberState {
        member: id(n),
        endpoint: format!("https://10.77.0.1{}:2379", n + 1).parse().ok(),
        status: None,
        problem: (!up[n]).then(|| "it is down".to_owned()),
        alarms: Vec::new(),
    };
    let members = (0..up.len()).map(member).collect();
    Survey {
        membership: Membership { cluster: MemberId(0xc), members },
        agreed: true,
        leader: up.iter().position(|up| *up).map(id),
        states: (0..up.len()).map(state).collect(),
        stray_alarms: Vec::new(),
    }
}

#[test]
fn whatever_is_allowed_leaves_a_majority_and_whatever_keeps_one_is_allowed() {
    for voters in 1..=7_usize {
        for state in 0..1_u32 << voters {
            let up: Vec<bool> = (0..voters).map(|n| state & 1 << n != 0).collect();
            let (seen, healthy) = (survey(&up), up.iter().filter(|up| **up).count());
            let serves = healthy > voters / 2;
            assert_eq!(quorum::may_change(&seen).is_ok(), serves, "{up:?}");
            assert_eq!(quorum::may_add(&seen, "new", "https://10.77.0.99:2380").is_ok(), healthy == voters, "{up:?}");
            assert_eq!(quorum::may_pause_each(&seen).is_ok(), healthy == voters, "{up:?}");
            for n in 0..voters {
                let left_up = healthy - usize::from(up[n]);
                let keeps = serves && voters > 1 && left_up > (voters - 1) / 2;
                assert_eq!(quorum::may_remove(&seen, MemberId(n as u64 + 1)).is_ok(), keeps, "{up:?} without {n}");
                let leads = quorum::may_lead(&seen, MemberId(n as u64 + 1)).is_ok();
                assert_eq!(leads, serves && up[n], "{up:?} led by {n}");
            }
        }
    }
}

#[test]
fn a_member_whose_data_is_in_doubt_stops_what_relies_on_it() {
    let mut seen = survey(&[true, true, true]);
    seen.states[2].alarms.push(AlarmKind::Corrupt);
    assert!(matches!(quorum::may_lead(&seen, MemberId(3)), Err(quorum::Refusal::Corrupt(_))));
    assert!(quorum::may_add(&seen, "new", "https://10.77.0.99:2380").is_err());
    assert!(quorum::may_remove(&seen, MemberId(3)).is_ok(), "removing it is the remedy");
    seen.states[2].alarms = vec![AlarmKind::NoSpace];
    assert!(quorum::may_pause_each(&seen).is_ok(), "defragmenting is the remedy");
}

fn settings(supervisor: Supervisor) -> Settings {
    let program = |name: &str| Program {
        name: name.into(),
        source: format!("/media/etcd/{name}"),
        digest: Digest::sha256(name.as_bytes()),
    };
    Settings {
        name: "m4".into(),
        address: "10.77.0.14".parse().unwrap(),
        client_port: 2379,
        peer_port: 2380,
        metrics_port: 2381,
        data: "/var/lib/etcd".into(),
        config: "/etc/etcd/etcd.yaml".into(),
        pki: "/etc/etcd/pki".into(),
        bin: "/usr/local/bin".into(),
        supervisor,
        version: "v3.6.8".into(),
        programs: vec![program("etcd"), program("etcdutl")],
        names: vec!["etcd-4.plant".into()],
        quota: Some(4 << 30),
        token: "plant".into(),
        days: 365,
    }
}

fn pod() -> Supervisor {
    Supervisor::StaticPod {
        image: "registry.k8s.io/etcd:3.6.8-0".into(),
        manifests: "/etc/kubernetes/manifests".into(),
    }
}

fn given(observed: &Observed, may_set_aside: bool) -> plan::Given<'_> {
    plan::Given { observed, aside: "2026-11-26T07-00-00Z", may_set_aside }
}

/// A machine on which the files of `plan` have been written.
fn machine(plan: &MachinePlan) -> (tempfile::TempDir, Observed) {
    let root = tempfile::tempdir().unwrap();
    let text = serde_json::to_value(plan).unwrap();
    for step in text["stages"].as_array().unwrap().iter().filter_map(|stage| stage["steps"].as_array()).flatten() {
        let action = &step["action"];
        if let (Some("file"), Some(path)) = (action["kind"].as_str(), action["path"].as_str()) {
            let place = root.path().join(&path[1..]);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, action["content"].as_str().unwrap()).unwrap();
        }
    }
    let observed = observe(&Local::rooted(root.path()), "/etc/etcd/etcd.yaml", "/var/lib/etcd").unwrap();
    (root, observed)
}

#[test]
fn a_person_reads_what_is_about_to_happen() {
    let nothing = Observed::default();
    let joined =
        plan::join(&settings(Supervisor::Systemd), &survey(&[true, true, true]), given(&nothing, false)).unwrap();
    insta::assert_snapshot!("join", joined);
    insta::assert_snapshot!("config_of_join", file(&joined, "/etc/etcd/etcd.yaml"));
    let pods = plan::init(&settings(pod()), None, given(&nothing, false)).unwrap();
    insta::assert_snapshot!("manifest", file(&pods, "/etc/kubernetes/manifests/etcd.yaml"));
    let restore = Restore {
        snapshot: "/backup/one.db".into(),
        digest: Digest::sha256(b"one"),
        etcdutl: "/usr/local/bin/etcdutl".into(),
        initial_cluster: None,
        token: "again".into(),
        bump: 1_000_000_000,
    };
    let begun = plan::init(&settings(Supervisor::Other), Some(&restore), given(&nothing, false)).unwrap();
    insta::assert_snapshot!("init_from_a_snapshot", begun);

    let (_root, observed) = machine(&joined);
    let known = observed.known.clone().unwrap();
    assert_eq!((known.name.as_str(), known.data.as_str()), ("m4", "/var/lib/etcd"));
    insta::assert_snapshot!("restore", plan::restore(&known, &restore, given(&observed, true)));
    let mut four = survey(&[true, true, true, true]);
    four.leader = Some(MemberId(4));
    insta::assert_snapshot!("reset", plan::reset(&known, Some(&four), given(&observed, true)).unwrap());
    insta::assert_snapshot!("reset_alone", plan::reset(&known, None, given(&observed, true)).unwrap());
}

fn file(plan: &MachinePlan, path: &str) -> String {
    let text = serde_json::to_value(plan).unwrap();
    let stages = text["stages"].as_array().unwrap();
    let mut steps = stages.iter().filter_map(|stage| stage["steps"].as_array()).flatten();
    let step = steps.find(|step| step["action"]["path"] == path).unwrap();
    step["action"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn data_is_in_the_way_until_somebody_says_that_it_may_be_set_aside() {
    let holds = Observed { has_data: true, ..Observed::default() };
    let all = survey(&[true, true, true]);
    let new = settings(Supervisor::Systemd);
    let refused = plan::join(&new, &all, given(&holds, false)).unwrap_err();
    assert!(matches!(refused, MachineError::DataInTheWay { .. }) && refused.code() == Some(Code::Foreign));
    let allowed = plan::join(&new, &all, given(&holds, true)).unwrap();
    assert!(allowed.to_string().contains("move /var/lib/etcd aside, to /var/lib/etcd.2026-11-26T07-00-00Z"));
    assert!(plan::init(&new, None, given(&holds, false)).is_err());
}

#[test]
fn a_member_that_ran_here_and_lost_its_data_is_removed_before_it_joins() {
    let nothing = Observed::default();
    let mut new = settings(Supervisor::Systemd);
    new.address = "10.77.0.12".parse().unwrap();
    new.name = "m2".into();
    let ghost = plan::join(&new, &survey(&[true, true, true]), given(&nothing, false)).unwrap_err();
    assert!(matches!(ghost, MachineError::Ghost { .. }) && ghost.hint().is_some_and(|hint| hint.contains("remove")));
    // One that was added and never started is ours, from a try that was cut off.
    let mut added = survey(&[true, true, true]);
    added.membership.members[1].name = String::new();
    added.membership.members[1].learner = true;
    added.states[1].problem = Some("it has never started".into());
    let adopted = plan::join(&new, &added, given(&nothing, false)).unwrap();
    assert!(file(&adopted, "/etc/etcd/etcd.yaml").contains("m2=https://10.77.0.12:2380"));
    let other = plan::join(&settings(Supervisor::Systemd), &added, given(&nothing, false)).unwrap_err();
    assert_eq!(other.code(), Some(Code::Quorum), "one learner at a time: {other}");
}
