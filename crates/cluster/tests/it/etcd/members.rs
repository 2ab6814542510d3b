//! Members come and go.

use std::time::Duration;

use sealock_cluster::etcd::quorum::{self, Refusal};
use sealock_cluster::etcd::{CATCH_UP, EtcdError, MemberId, Survey};
use sealock_testkit::etcd::{EtcdCluster, programs};
use sealock_trust::reason::Code;

use super::{client, leader, serving};

fn id_of(survey: &Survey, name: &str) -> MemberId {
    survey.membership.called(name).unwrap().id
}

fn refusal(error: EtcdError) -> Refusal {
    assert_eq!(error.code(), Some(Code::Quorum), "{error}");
    assert!(error.is_refusal() && !error.can_retry() && error.hint().is_some());
    match error {
        EtcdError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_killed_is_replaced_by_a_learner_that_is_promoted_when_it_has_caught_up() {
    let Some(programs) = programs() else { return };
    let mut cluster = EtcdCluster::start(&programs, 3);
    let etcd = client(&cluster, &[0, 1, 2]);
    let survey = serving(&etcd, 3, 0).await;
    assert!(survey.is_well(), "{survey:?}");
    cluster.etcdctl(0, &["put", "before", "the crash"]);

    cluster.member_mut(2).kill();
    let survey = serving(&etcd, 3, 1).await;
    let (dead, alive) = (id_of(&survey, "m3"), id_of(&survey, "m2"));
    assert!(matches!(
        refusal(etcd.remove(alive).await.unwrap_err()),
        Refusal::WouldLoseQuorum { healthy: 1, voters: 2, needed: 2, .. }
    ));
    let new = cluster.prepare();
    let url = cluster.member(new).peer_url();
    assert!(matches!(refusal(etcd.add_learner("m4", &url).await.unwrap_err()), Refusal::Unwell { .. }));

    let left = etcd.remove(dead).await.unwrap();
    assert_eq!(left.members.len(), 2);
    assert_eq!(etcd.remove(dead).await.unwrap(), left, "done is done");

    let learner = etcd.add_learner("m4", &url).await.unwrap();
    assert!(learner.learner && !learner.has_started());
    assert_eq!(etcd.add_learner("m4", &url).await.unwrap().id, learner.id, "adopted, and not added twice");
    let other = etcd.add_learner("m5", "https://127.0.0.1:9").await.unwrap_err();
    assert!(matches!(refusal(other), Refusal::OtherLearner(_)));

    let behind = etcd.promote(learner.id, Duration::from_secs(1), &|_| {}).await.unwrap_err();
    assert!(
        matches!(behind, EtcdError::Behind { .. }) && behind.can_retry(),
        "a vote is for who has caught up: {behind}"
    );
    assert!(etcd.survey().await.unwrap().membership.find(learner.id).unwrap().learner);

    let initial: Vec<String> = [0, 1, new].iter().map(|&n| cluster.initial(n)).collect();
    cluster.join(new, &initial.join(","));
    let promoted = etcd.promote(learner.id, CATCH_UP, &|_| {}).await.unwrap();
    assert_eq!((promoted.learner, promoted.name.as_str()), (false, "m4"));
    assert_eq!(etcd.promote(learner.id, CATCH_UP, &|_| {}).await.unwrap(), promoted, "done is done");
    let survey = serving(&etcd, 3, 0).await;
    assert!(survey.is_well() && survey.membership.voters().count() == 3);
    assert_eq!(cluster.etcdctl(new, &["get", "before", "--print-value-only"]).trim(), "the crash");
    let taken = etcd.add_learner("m4", "https://127.0.0.1:9").await.unwrap_err();
    assert!(matches!(refusal(taken), Refusal::NameTaken { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_quorum_nothing_is_begun_and_what_is_known_is_still_told() {
    let Some(programs) = programs() else { return };
    let mut cluster = EtcdCluster::start(&programs, 3);
    let etcd = client(&cluster, &[0, 1, 2]);
    let survey = serving(&etcd, 3, 0).await;
    let dead = id_of(&survey, "m3");
    for n in [1, 2] {
        cluster.member_mut(n).kill();
    }
    let lost = etcd.survey().await.unwrap();
    assert!(!lost.agreed && !lost.is_well());
    // Where clients reach each is published by raft: the last one may not have heard of it from all before they were gone.
    let known =
        |survey: &Survey| survey.membership.members.iter().map(|one| (one.id, one.name.clone())).collect::<Vec<_>>();
    assert_eq!(known(&lost), known(&survey), "the last one remembers");
    assert!(matches!(quorum::may_change(&lost), Err(Refusal::QuorumLost { voters: 3, needed: 2, .. })));
    for refused in [
        etcd.remove(dead).await.map(drop),
        etcd.add_learner("m4", "https://127.0.0.1:9").await.map(drop),
        etcd.move_leader(None).await.map(drop),
        etcd.defragment(None, &|_| {}).await.map(drop),
        etcd.check_hashes().await.map(drop),
    ] {
        match refused.unwrap_err() {
            // The leader's place is empty as soon as the last one has noticed.
            EtcdError::NoLeader => {}
            error => assert!(matches!(refusal(error), Refusal::QuorumLost { .. })),
        }
    }
    cluster.member_mut(0).kill();
    assert!(matches!(etcd.survey().await.unwrap_err(), EtcdError::Silent(calls) if calls.len() == 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_voter_stays_and_two_clusters_are_not_taken_for_one() {
    let Some(programs) = programs() else { return };
    let cluster = EtcdCluster::start_in_clear(&programs, 1);
    let etcd = client(&cluster, &[0]);
    let survey = serving(&etcd, 1, 0).await;
    let only = id_of(&survey, "m1");
    assert!(matches!(refusal(etcd.remove(only).await.unwrap_err()), Refusal::LastVoter(_)));
    assert!(matches!(etcd.move_leader(None).await.unwrap_err(), EtcdError::NoMember(_)));

    let updated = etcd.update(only, &["http://127.0.0.1:7380".to_owned()]).await.unwrap();
    assert_eq!(updated.peer_urls, ["http://127.0.0.1:7380"]);

    let other = EtcdCluster::start_in_clear(&programs, 1);
    serving(&client(&other, &[0]), 1, 0).await;
    let seeds = [&cluster, &other].map(|cluster| cluster.member(0).client_url().parse().unwrap()).to_vec();
    let both =
        sealock_cluster::etcd::Etcd::new(&sealock_cluster::etcd::Endpoints { seeds, credentials: None }).unwrap();
    let error = both.survey().await.unwrap_err();
    assert!(matches!(error, EtcdError::TwoClusters { .. }) && error.is_refusal());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_certificate_of_the_cluster_gets_no_answer() {
    let Some(programs) = programs() else { return };
    let (cluster, other) = (EtcdCluster::start(&programs, 1), EtcdCluster::start(&programs, 1));
    serving(&client(&cluster, &[0]), 1, 0).await;
    let seeds = vec![cluster.member(0).client_url().parse().unwrap()];
    let stranger = super::credentials(&other)
        .map(|credentials| sealock_cluster::etcd::Credentials { ca: cluster.ca(), ..credentials });
    let endpoints = sealock_cluster::etcd::Endpoints { seeds, credentials: stranger };
    let error = sealock_cluster::etcd::Etcd::new(&endpoints).unwrap().survey().await.unwrap_err();
    assert!(matches!(error, EtcdError::Silent(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_moves_where_it_is_sent() {
    let Some(programs) = programs() else { return };
    let cluster = EtcdCluster::start(&programs, 3);
    let etcd = client(&cluster, &[0]);
    let survey = serving(&etcd, 3, 0).await;
    let target = (leader(&cluster, &survey) + 1) % 3;
    let id = id_of(&survey, &cluster.member(target).name);
    assert_eq!(etcd.move_leader(Some(id)).await.unwrap().id, id);
    assert_eq!(etcd.survey().await.unwrap().leader, Some(id));
    assert_eq!(etcd.move_leader(Some(id)).await.unwrap().id, id, "done is done");
    let another = etcd.move_leader(None).await.unwrap();
    assert_ne!(another.id, id);
    assert_eq!(etcd.survey().await.unwrap().leader, Some(another.id));
    let nobody = etcd.move_leader(Some(MemberId(7))).await.unwrap_err();
    assert!(matches!(nobody, EtcdError::NoMember(_)) && nobody.code() == Some(Code::Spec));
}
