//! A full database, defragmenting, and what members hold.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use sealock_cluster::etcd::{Alarm, AlarmKind, Etcd, EtcdError, Survey};
use sealock_testkit::etcd::{EtcdCluster, programs};

use super::{client, leader, serving};

fn alarms(survey: &Survey) -> Vec<Alarm> {
    let raised = survey.states.iter().flat_map(|state| state.alarms.iter().map(|&kind| (state.member, kind)));
    raised.map(|(member, kind)| Alarm { member, kind }).collect()
}

/// Takes alarms back until there is none: a member that is late raises its own after those of the others were seen.
async fn disarm_all(etcd: &Etcd) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let survey = etcd.survey().await.unwrap();
        if survey.is_well() {
            return;
        }
        assert!(Instant::now() < deadline, "not well after 60 s: {survey:?}");
        for alarm in alarms(&survey) {
            // One that has come again is seen in the next turn.
            let _ = etcd.disarm(alarm).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_is_told_made_room_in_one_member_at_a_time_and_its_alarm_taken_back() {
    let Some(programs) = programs() else { return };
    // 4 MiB.
    let cluster = EtcdCluster::start_with(&programs, 3, &["--quota-backend-bytes", "4194304"]);
    let etcd = client(&cluster, &[0, 1, 2]);
    let survey = serving(&etcd, 3, 0).await;
    let value = "x".repeat(100_000);
    let mut written = 0;
    while cluster.try_etcdctl(0, &["put", "k", &value]).status.success() {
        written += 1;
        assert!(written < 200, "the quota holds");
    }
    let survey_full = etcd.survey().await.unwrap();
    assert!(alarms(&survey_full).iter().any(|alarm| alarm.kind == AlarmKind::NoSpace), "{survey_full:?}");
    assert!(!survey_full.is_well());

    let revision = survey_full.states[0].status.as_ref().unwrap().revision;
    cluster.etcdctl(0, &["compact", &revision.to_string()]);
    let order = Mutex::new(Vec::new());
    let results = etcd.defragment(None, &|member| order.lock().unwrap().push(member.name.clone())).await.unwrap();
    assert_eq!(results.len(), 3);
    assert!(results.iter().all(|one| one.after < one.before), "{results:?}");
    let led = cluster.member(leader(&cluster, &survey)).name.clone();
    assert_eq!(order.into_inner().unwrap().last(), Some(&led), "the leader comes last");

    disarm_all(&etcd).await;
    cluster.etcdctl(0, &["put", "k", "it writes again"]);
}

/// As where whoever removes a member is cut off before its alarm is taken back: nothing is written until somebody does that.
#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_of_a_member_that_has_gone_is_told_and_taken_back() {
    let Some(programs) = programs() else { return };
    // 4 MiB.
    let cluster = EtcdCluster::start_with(&programs, 3, &["--quota-backend-bytes", "4194304"]);
    let etcd = client(&cluster, &[0, 1, 2]);
    serving(&etcd, 3, 0).await;
    let value = "x".repeat(100_000);
    let is_full = (0..200).any(|_| !cluster.try_etcdctl(0, &["put", "k", &value]).status.success());
    assert!(is_full, "the quota holds");
    // One raises it first, whose file is the largest.
    let alarmed = |survey: &Survey| alarms(survey).is_empty().then(|| format!("{survey:?}"));
    let survey = etcd.await_survey("nobody raises an alarm", Duration::from_secs(60), alarmed).await.unwrap();
    let stray = alarms(&survey)[0];
    let gone = survey.membership.find(stray.member).unwrap().name.clone();
    let stays = (0..3).find(|&n| cluster.member(n).name != gone).unwrap();
    let revision = survey.states[0].status.as_ref().unwrap().revision;
    cluster.etcdctl(stays, &["compact", &revision.to_string()]);
    etcd.defragment(None, &|_| {}).await.unwrap();
    etcd.remove(stray.member).await.unwrap();

    let left = serving(&etcd, 2, 0).await;
    assert_eq!(left.stray_alarms, [stray], "{left:?}");
    assert!(!left.is_well());
    assert_eq!(left.alarms_of(stray.member), [stray]);
    assert!(!cluster.try_etcdctl(stays, &["put", "k", "one"]).status.success(), "nothing is written");
    etcd.disarm(stray).await.unwrap();
    disarm_all(&etcd).await;
    cluster.etcdctl(stays, &["put", "k", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_members_hold_the_same_at_one_revision_and_what_is_written_is_read() {
    let Some(programs) = programs() else { return };
    let cluster = EtcdCluster::start(&programs, 3);
    let etcd = client(&cluster, &[2]);
    serving(&etcd, 3, 0).await;
    let one = etcd.first_seed();
    assert!(one.put_if(b"marker", b"1", 0).await.unwrap());
    assert!(!one.put_if(b"marker", b"2", 0).await.unwrap(), "it is there already");
    assert_eq!(one.value(b"marker").await.unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(one.count_keys().await.unwrap().keys, 1);
    let verdict = etcd.check_hashes().await.unwrap();
    assert_eq!(verdict.checks.len(), 3);
    assert!(verdict.checks.iter().all(|check| check.hash == verdict.checks[0].hash), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downgrade_is_begun_for_the_minor_version_before_only_and_ended_again() {
    let Some(programs) = programs() else { return };
    let cluster = EtcdCluster::start(&programs, 3);
    let etcd = client(&cluster, &[1]);
    let survey = serving(&etcd, 3, 0).await;
    let mut minor = survey.states[0].status.as_ref().unwrap().version.split('.').skip(1);
    let minor: u32 = minor.next().unwrap().parse().unwrap();
    let [before, two_before, same] = [1, 2, 0].map(|back| format!("3.{}", minor - back).parse().unwrap());

    for wrong in [two_before, same] {
        let error = etcd.downgrade(wrong).await.unwrap_err();
        assert!(matches!(error, EtcdError::NoWayBack { .. }), "{error:?}");
    }
    etcd.may_downgrade(before).await.unwrap();
    assert_eq!(etcd.survey().await.unwrap().downgrade(), None, "asking changes nothing");

    assert!(etcd.downgrade(before).await.unwrap());
    assert!(!etcd.downgrade(before).await.unwrap(), "it is under way");
    let error = etcd.may_downgrade(two_before).await.unwrap_err();
    assert!(error.to_string().contains("it is going back to 3."), "{error}");
    let survey = etcd.survey().await.unwrap();
    assert!(survey.states.iter().all(|state| state.status.as_ref().unwrap().downgrade.is_some()), "{survey:?}");

    assert!(etcd.cancel_downgrade().await.unwrap());
    assert!(!etcd.cancel_downgrade().await.unwrap(), "there is none any more");
    assert!(etcd.survey().await.unwrap().is_well());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_downgrade_is_begun_while_a_member_is_down() {
    let Some(programs) = programs() else { return };
    let mut cluster = EtcdCluster::start(&programs, 3);
    let etcd = client(&cluster, &[0]);
    let survey = serving(&etcd, 3, 0).await;
    let mut minor = survey.states[0].status.as_ref().unwrap().version.split('.').skip(1);
    let minor: u32 = minor.next().unwrap().parse().unwrap();
    cluster.member_mut(2).kill();
    serving(&etcd, 3, 1).await;
    let error = etcd.downgrade(format!("3.{}", minor - 1).parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, EtcdError::Refused(_)), "{error:?}");
}
