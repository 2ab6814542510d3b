//! Plans that need what was revoked.

use sealock_cluster::revoked::{Fact, Revoked};
use sealock_cluster::{Plan, PlanError, plan_reset};
use sealock_trust::Digest;

use crate::fixture::{ONE_AND_ONE, bare_hosts, cluster, plan_of, registry, release};

fn plan() -> Plan {
    plan_of(ONE_AND_ONE, &bare_hosts()).unwrap()
}

/// What is known against the release: an image, and a program through its only layer.
fn revoked(blocked: bool) -> Revoked {
    let release = release();
    let fact = |name: &str, digest: Option<Digest>| {
        let reference = release.release.references.iter().find(|reference| reference.name.contains(name)).unwrap();
        let (name, reference) = (reference.name.clone(), reference.digest.clone());
        let digest = digest.unwrap_or_else(|| reference.clone());
        Fact { name, reference, digest, reason: "it calls home".into(), blocked }
    };
    [fact("kube-proxy", None), fact("kubelet", Some(Digest::sha256(b"its layer")))].into_iter().collect()
}

fn refusal(plan: &Plan, revoked: &Revoked, applied: Option<&Plan>) -> PlanError {
    let error = plan.check_revoked(revoked, applied).unwrap_err();
    assert_eq!(error.code().unwrap().as_str(), "REVOKED");
    assert!(error.is_refusal());
    error
}

#[test]
fn a26_a_plan_that_needs_what_was_revoked_is_refused_with_all_of_it_and_where_it_is_needed() {
    insta::assert_snapshot!(refusal(&plan(), &revoked(true), None).to_string());
}

#[test]
fn a_plan_that_needs_none_of_it_is_made() {
    let other = Digest::sha256(b"nothing of this plan");
    let (name, reason) = ("quay.io/team/app:v1".into(), "it calls home".into());
    let revoked: Revoked =
        [Fact { name, reference: other.clone(), digest: other, reason, blocked: true }].into_iter().collect();
    assert_eq!(plan().check_revoked(&revoked, None).unwrap(), []);
}

/// One stolen revoker key is no kill switch, and no licence to make something new either.
#[test]
fn what_the_cluster_itself_uses_raises_an_alarm_and_nobody_elses_use_counts() {
    let (plan, revoked) = (plan(), revoked(false));
    let alarms = plan.check_revoked(&revoked, Some(&plan)).unwrap();
    assert_eq!(alarms.len(), 2);
    refusal(&plan, &revoked, None);
    let others = Plan { cluster: "another".into(), ..plan.clone() };
    refusal(&plan, &revoked, Some(&others));
    let mut before = plan.clone();
    before.tasks.clear();
    refusal(&plan, &revoked, Some(&before));
    // The site has confirmed, or more than the revoker signed.
    refusal(&plan, &self::revoked(true), Some(&plan));
}

#[test]
fn hosts_can_be_given_back_whatever_is_revoked() {
    let reset = plan_reset(&cluster(ONE_AND_ONE), &release(), &registry(), &bare_hosts(), None).unwrap();
    assert_eq!(reset.check_revoked(&revoked(true), None).unwrap(), []);
}

#[test]
fn of_one_content_under_two_names_what_is_blocked_counts() {
    let digest = Digest::sha256(b"content");
    let fact = |name: &str, blocked| Fact {
        name: name.into(),
        reference: digest.clone(),
        digest: digest.clone(),
        reason: "it calls home".into(),
        blocked,
    };
    for order in [[("a", true), ("b", false)], [("b", false), ("a", true)]] {
        let revoked: Revoked = order.into_iter().map(|(name, blocked)| fact(name, blocked)).collect();
        assert!(revoked.of(&digest).unwrap().blocked);
        assert_eq!(revoked.blocked().collect::<Vec<_>>(), [&digest]);
    }
}
