//! Replies that are lost: what happened is read, and never inferred.

use std::net::SocketAddr;

use sealock_cluster::etcd::{CATCH_UP, Endpoints, Etcd, EtcdError};
use sealock_testkit::etcd::{EtcdCluster, programs};
use sealock_testkit::grpc_proxy::{GrpcProxy, Loss};

use super::{client, leader, serving};

/// A cluster whose leader is reached through a proxy only.
async fn behind_a_proxy(cluster: &EtcdCluster, size: usize) -> (GrpcProxy, Etcd) {
    let survey = serving(&client(cluster, &[0]), size, 0).await;
    let url = cluster.member(leader(cluster, &survey)).client_url();
    let target: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
    let proxy = GrpcProxy::start(target).await;
    let seeds = vec![proxy.url().parse().unwrap()];
    (proxy, Etcd::new(&Endpoints { seeds, credentials: None }).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn add_promote_and_remove_are_done_though_every_reply_was_lost() {
    let Some(programs) = programs() else { return };
    let mut cluster = EtcdCluster::start_in_clear(&programs, 1);
    let (proxy, etcd) = behind_a_proxy(&cluster, 1).await;
    let new = cluster.prepare();
    let url = cluster.member(new).peer_url();

    proxy.lose("/MemberAdd", Loss::Reply, 9);
    let learner = etcd.add_learner("m2", &url).await.unwrap();
    assert_eq!(proxy.count("/MemberAdd"), 1, "read, and not asked again");
    assert_eq!(etcd.survey().await.unwrap().membership.members.len(), 2);

    cluster.join(new, &[cluster.initial(0), cluster.initial(new)].join(","));
    proxy.lose("/MemberPromote", Loss::Reply, 9);
    assert!(!etcd.promote(learner.id, CATCH_UP, &|_| {}).await.unwrap().learner);
    assert_eq!(proxy.count("/MemberPromote"), 1);

    serving(&etcd, 2, 0).await;
    proxy.lose("/MemberRemove", Loss::Reply, 9);
    let left = etcd.remove(learner.id).await.unwrap();
    // Right after a promotion etcd may say for a while that it does not yet: that reply is lost too.
    assert!(left.members.len() == 1 && proxy.count("/MemberRemove") >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_arrived_is_asked_again() {
    let Some(programs) = programs() else { return };
    let mut cluster = EtcdCluster::start_in_clear(&programs, 1);
    let (proxy, etcd) = behind_a_proxy(&cluster, 1).await;
    let new = cluster.prepare();
    proxy.lose("/MemberAdd", Loss::Request, 2);
    let learner = etcd.add_learner("m2", &cluster.member(new).peer_url()).await.unwrap();
    assert!(learner.learner);
    assert_eq!(proxy.count("/MemberAdd"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_read_again_is_unknown_and_running_it_again_finds_it_done() {
    let Some(programs) = programs() else { return };
    let mut cluster = EtcdCluster::start_in_clear(&programs, 1);
    let (proxy, etcd) = behind_a_proxy(&cluster, 1).await;
    let new = cluster.prepare();
    let url = cluster.member(new).peer_url();
    // The survey before the change reads twice at most; every reading after it is lost.
    etcd.survey().await.unwrap();
    let reads = proxy.count("/MemberList");
    etcd.survey().await.unwrap();
    let each = proxy.count("/MemberList") - reads;
    assert_eq!(each, 1);
    proxy.lose("/MemberAdd", Loss::Reply, 1);
    proxy.lose_after_next("/MemberAdd", "/MemberList", 100);
    let error = etcd.add_learner("m2", &url).await.unwrap_err();
    assert!(matches!(error, EtcdError::Unknown { .. }), "{error}");
    assert!(error.can_retry() && !error.is_refusal() && error.hint().is_some());
    proxy.heal();
    let asked = proxy.count("/MemberAdd");
    let learner = etcd.add_learner("m2", &url).await.unwrap();
    assert!(learner.learner);
    assert_eq!(proxy.count("/MemberAdd"), asked, "found, and not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_moved_although_its_reply_was_lost_has_moved() {
    let Some(programs) = programs() else { return };
    let cluster = EtcdCluster::start_in_clear(&programs, 3);
    let (proxy, etcd) = behind_a_proxy(&cluster, 3).await;
    proxy.lose("/MoveLeader", Loss::Reply, 9);
    let leads = etcd.move_leader(None).await.unwrap();
    assert_eq!(etcd.survey().await.unwrap().leader, Some(leads.id));
    assert_eq!(proxy.count("/MoveLeader"), 1);
}
