//! An etcd that somebody else runs: looked at, and claimed for one cluster.

use sealock_cluster::etcd::Endpoints;
use sealock_cluster::etcd::external::{self, Claimed, Content, Mark};
use sealock_testkit::etcd::{EtcdCluster, programs};

use super::{client, credentials, serving};

fn endpoints(cluster: &EtcdCluster, known: &[usize]) -> Endpoints {
    let seeds = known.iter().map(|&n| cluster.member(n).client_url().parse().unwrap()).collect();
    Endpoints { seeds, credentials: credentials(cluster) }
}

fn mark(cluster: &str, ca_hash: &str) -> Mark {
    Mark { cluster: cluster.into(), ca_hash: ca_hash.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_is_claimed_once_and_what_holds_something_else_never() {
    let Some(programs) = programs() else { return };
    let cluster = EtcdCluster::start(&programs, 1);
    serving(&client(&cluster, &[0]), 1, 0).await;
    let at = endpoints(&cluster, &[0]);
    let look = external::look(&at).await.unwrap();
    assert_eq!(look.content, Some(Content { keys: 0, mark: None }));
    assert!(look.agreed && look.silent.is_empty());
    assert_eq!(look.members.len(), 1);
    assert!(look.members[0].problem.is_none() && look.members[0].version.is_some(), "{look:?}");

    // A key elsewhere is nobody's business; one where API servers write is a cluster's.
    cluster.etcdctl(0, &["put", "/registry/pods/default/a", "x"]);
    let ours = mark("plant-7", "sha256:aa");
    let foreign = Claimed::Foreign(Content { keys: 1, mark: None });
    assert_eq!(external::claim(&at, &ours).await.unwrap(), foreign);
    cluster.etcdctl(0, &["del", "--prefix", "/registry/"]);
    cluster.etcdctl(0, &["put", "/elsewhere", "x"]);
    assert_eq!(external::claim(&at, &ours).await.unwrap(), Claimed::Ours);
    assert_eq!(external::claim(&at, &ours).await.unwrap(), Claimed::Ours, "done is done");
    let held = Content { keys: 1, mark: Some(ours.clone()) };
    assert_eq!(external::look(&at).await.unwrap().content, Some(held.clone()));
    for other in [mark("plant-8", "sha256:bb"), mark("plant-7", "sha256:bb")] {
        assert_eq!(external::claim(&at, &other).await.unwrap(), Claimed::Foreign(held.clone()), "{other:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_down_is_named_and_without_a_majority_nothing_is_said_of_what_is_held() {
    let Some(programs) = programs() else { return };
    let mut cluster = EtcdCluster::start(&programs, 3);
    let etcd = client(&cluster, &[0, 1, 2]);
    serving(&etcd, 3, 0).await;
    let at = endpoints(&cluster, &[0, 1, 2]);
    external::claim(&at, &mark("plant-7", "sha256:aa")).await.unwrap();
    cluster.member_mut(2).kill();
    serving(&etcd, 3, 1).await;
    let look = external::look(&at).await.unwrap();
    assert!(look.agreed && look.content.is_some());
    assert_eq!(look.silent.len(), 1, "{look:?}");
    assert!(look.silent[0].contains(&cluster.member(2).client_url()), "{look:?}");
    let down: Vec<&str> =
        look.members.iter().filter(|one| one.problem.is_some()).map(|one| one.name.as_str()).collect();
    assert_eq!(down, ["m3"]);
    cluster.member_mut(1).kill();
    let look = external::look(&at).await.unwrap();
    assert!(!look.agreed && look.content.is_none(), "{look:?}");
}
