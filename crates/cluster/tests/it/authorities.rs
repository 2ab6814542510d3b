//! Plans that replace the authorities of a cluster: what each stage asks for, and what it does where.

use sealock_cluster::plan::{
    Assessment, AuthoritiesError, Order, Printed, SecretKind, Task, Workloads, plan_authorities, plane_under_way,
};
use sealock_cluster::{Inventory, Plan, PlanError};
use sealock_node::facts::{CertificateFact, Kubernetes};
use sealock_node::kubernetes_certificates::{AUTHORITIES, KUBELET_CLIENT};
use sealock_node::step::{Stage, Workload};
use sealock_node::{Probe, StepKind};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::fixture::{cluster, joined, registry, release};
use crate::plan::{four_hosts, three_planes};

const APISERVER: &str = "/etc/kubernetes/pki/apiserver.crt";

fn fact(path: &str, digest: &str, issued_by: Option<&str>) -> CertificateFact {
    CertificateFact {
        path: path.into(),
        name: "a".into(),
        serial: "01".into(),
        not_after: jiff::Timestamp::UNIX_EPOCH,
        authority: issued_by.is_none(),
        renewable: path == APISERVER,
        digest: Some(Digest::sha256(digest.as_bytes())),
        issued_by: issued_by.map(|by| Digest::sha256(format!("{by}{}", AUTHORITIES[0].certificate).as_bytes())),
    }
}

/// A host that believes `believed`, has `next` in custody, and shows what `issuer` has issued.
fn set(hosts: &mut Inventory, name: &str, believed: &[&str], (next, issuer): (Option<&str>, &str)) {
    let is_plane = name != "w1";
    let facts = &mut hosts.hosts.get_mut(name).unwrap().facts;
    facts.kubernetes = joined("plant-7");
    if let Kubernetes::Sealock(node) = &mut facts.kubernetes {
        node.control_plane = is_plane;
    }
    facts.components = [("kubelet".to_owned(), "v1.36.3".to_owned())].into();
    facts.certificates = vec![fact(KUBELET_CLIENT, name, Some(issuer))];
    if is_plane {
        facts.certificates.push(fact(APISERVER, name, Some(issuer)));
    }
    for files in AUTHORITIES.iter().take(if is_plane { 3 } else { 1 }) {
        let of = |which: &&str| fact(files.certificate, &format!("{which}{}", files.certificate), None);
        facts.certificates.extend(believed.iter().map(of));
        let waits = |which: &str| fact(files.next, &format!("{which}{}", files.certificate), None);
        facts.certificates.extend(next.filter(|_| is_plane).map(waits));
    }
}

fn all(believed: &[&str], custody: (Option<&str>, &str)) -> Inventory {
    let mut hosts = four_hosts();
    for name in ["cp1", "cp2", "cp3", "w1"] {
        set(&mut hosts, name, believed, custody);
    }
    hosts
}

fn plan(stage: Stage, hosts: &Inventory) -> Result<Plan, PlanError> {
    let restart = if stage == Stage::Issue {
        vec![Workloads { namespace: "shop".into(), kind: Workload::StatefulSet, name: "db".into() }]
    } else {
        Vec::new()
    };
    let order = Order { stage, program: "/opt/sealock/sealock", restart, supplied: None };
    plan_authorities(&cluster(&three_planes()), (&release(), &registry()), hosts, &order)
}

fn refusal(stage: Stage, hosts: &Inventory) -> AuthoritiesError {
    match plan(stage, hosts).unwrap_err() {
        PlanError::Authorities(error) => error,
        other => panic!("{other}"),
    }
}

fn text(plan: &Plan) -> String {
    let mut text = Printed { plan, assessment: None }.to_string();
    for task in &plan.tasks {
        text.push_str(&format!("{} after {}\n", task.id, task.after.join(" ")));
    }
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), *plan);
    text
}

#[test]
fn new_ones_are_made_and_believed_on_one_control_plane_after_the_other() {
    let plan = plan(Stage::Trust, &all(&["old"], (None, "old"))).unwrap();
    insta::assert_snapshot!("authorities_trust", text(&plan));
    assert_eq!(plan.task("cp2/trust").unwrap().secrets, [SecretKind::Authorities]);
    assert_eq!(plan.task("w1/trust").unwrap().secrets, [SecretKind::NextAuthority], "a worker gets no key");
}

#[test]
fn new_ones_issue_on_all_control_planes_before_a_kubelet_gets_a_certificate() {
    let plan = plan(Stage::Issue, &all(&["old", "new"], (Some("new"), "old"))).unwrap();
    insta::assert_snapshot!("authorities_issue", text(&plan));
    let StepKind::Authorities(step) = &plan.task("cp3/issue").unwrap().steps[0].action else { panic!() };
    assert!(step.config.contains("advertiseAddress: 10.77.0.13"), "{}", step.config);
    assert_eq!(step.old[AUTHORITIES[0].certificate], Digest::sha256(b"old/etc/kubernetes/pki/ca.crt"));
}

/// Else the same command would start every kubelet anew another time.
#[test]
fn a_kubelet_was_started_with_the_order_in_which_the_new_ones_issue() {
    let plan = plan(Stage::Issue, &all(&["old", "new"], (Some("new"), "old"))).unwrap();
    for host in ["cp1", "cp2", "cp3", "w1"] {
        let last = |task: &str| plan.task(&format!("{host}/{task}")).unwrap().steps.last().cloned();
        assert_eq!(last("kubelet"), last("trust"), "{host}");
    }
}

#[test]
fn old_ones_are_dropped_everywhere_and_in_what_the_cluster_says() {
    let plan = plan(Stage::Drop, &all(&["new", "old"], (Some("new"), "new"))).unwrap();
    insta::assert_snapshot!("authorities_drop", text(&plan));
}

#[test]
fn no_stage_comes_before_its_time_and_none_is_begun_over() {
    let alone = all(&["old"], (None, "old"));
    assert!(matches!(refusal(Stage::Issue, &alone), AuthoritiesError::NotTrusted { .. }));
    assert!(matches!(refusal(Stage::Drop, &alone), AuthoritiesError::NothingToDrop { .. }));

    let trusted = all(&["old", "new"], (Some("new"), "old"));
    plan(Stage::Trust, &trusted).unwrap();
    assert!(matches!(refusal(Stage::Drop, &trusted), AuthoritiesError::NotIssued { .. }));
    let mut one_is_late = trusted.clone();
    set(&mut one_is_late, "w1", &["old"], (None, "old"));
    assert!(matches!(refusal(Stage::Issue, &one_is_late), AuthoritiesError::NotTrusted { host } if host == "w1"));

    let issued = all(&["new", "old"], (Some("new"), "new"));
    assert!(matches!(refusal(Stage::Trust, &issued), AuthoritiesError::Issues { .. }));
    let mut half = trusted;
    set(&mut half, "cp1", &["new", "old"], (Some("new"), "new"));
    plan(Stage::Issue, &half).unwrap();
    assert!(matches!(refusal(Stage::Trust, &half), AuthoritiesError::Issues { .. }));
    assert!(matches!(refusal(Stage::Drop, &half), AuthoritiesError::NotIssued { .. }));

    let mut kubelet_is_late = issued.clone();
    set(&mut kubelet_is_late, "w1", &["new", "old"], (None, "old"));
    let late = refusal(Stage::Drop, &kubelet_is_late);
    assert_eq!(late.to_string(), format!("{KUBELET_CLIENT} on host w1 is still issued by the old authority"));

    let mut dropped_on_one = issued;
    set(&mut dropped_on_one, "cp1", &["new"], (None, "new"));
    plan(Stage::Drop, &dropped_on_one).unwrap();
}

#[test]
fn a_control_plane_that_has_joined_since_gets_the_keys_and_does_not_hide_what_waits() {
    let mut hosts = all(&["old", "new"], (Some("new"), "old"));
    set(&mut hosts, "cp3", &["old", "new"], (None, "old"));
    let plan = plan(Stage::Issue, &hosts).unwrap();
    assert_eq!(plan.task("cp3/trust").unwrap().secrets, [SecretKind::Authorities]);
    // The first one is a newcomer: whoever keeps them speaks, and sends them.
    set(&mut hosts, "cp1", &["old", "new"], (None, "old"));
    let plan = self::plan(Stage::Issue, &hosts).unwrap();
    assert_eq!((plan.speaker.as_str(), &*plan.tasks[0].host), ("cp2", "cp2"));
    assert!(matches!(refusal(Stage::Drop, &hosts), AuthoritiesError::NotIssued { .. }));
    // Nobody keeps them any more.
    set(&mut hosts, "cp2", &["old", "new"], (None, "old"));
    assert!(matches!(refusal(Stage::Issue, &hosts), AuthoritiesError::NotTrusted { .. }));
}

/// As after a plan that was cut off, and given up for another one.
#[test]
fn old_ones_that_no_host_believes_any_more_are_dropped_until_nothing_is_kept_of_them() {
    let dropped = all(&["new"], (Some("new"), "new"));
    let plan = plan(Stage::Drop, &dropped).unwrap();
    let StepKind::Authorities(step) = &plan.task("cp2/drop").unwrap().steps[0].action else { panic!() };
    assert!(step.control_plane && step.old.is_empty(), "{step:?}");
    let is_there =
        |action: fn(&StepKind) -> bool| plan.tasks.iter().any(|task| task.steps.iter().any(|one| action(&one.action)));
    assert!(is_there(|action| matches!(action, StepKind::AuthoritiesPublished(published) if published.alone)));
    assert!(is_there(|action| matches!(action, StepKind::Restarted(_))));
    assert_eq!(plan.tasks.last().unwrap().after, ["cp1/forgotten", "cp2/forgotten", "cp3/forgotten"]);
    // No other change begins before.
    assert!(matches!(refusal(Stage::Trust, &dropped), AuthoritiesError::Issues { .. }));
    let forgotten = all(&["new"], (None, "new"));
    assert!(matches!(refusal(Stage::Drop, &forgotten), AuthoritiesError::NothingToDrop { .. }));
    self::plan(Stage::Trust, &forgotten).unwrap();
}

#[test]
fn what_comes_to_be_believed_is_not_waited_for_where_it_is_about_to_issue() {
    let plan = plan(Stage::Issue, &all(&["old", "new"], (Some("new"), "old"))).unwrap();
    let looks = |stage: &str| plan.tasks.iter().filter(|task| task.id.starts_with(&format!("cp1/{stage}-"))).count();
    assert_eq!(
        (looks("trust"), looks("issue")),
        (0, 3),
        "a control plane that was cut off would not be Ready before its turn"
    );
}

#[test]
fn a_plan_is_at_the_first_control_plane_that_is_not_as_far() {
    let plan = plan(Stage::Issue, &all(&["old", "new"], (Some("new"), "old"))).unwrap();
    let mut assessment = Assessment::default();
    assert_eq!(plane_under_way(&plan, &assessment), Some("cp1"));
    let done = |task: &Task| ["cp1", "w1"].contains(&&*task.host) || task.id.ends_with("/trust");
    for task in plan.tasks.iter().filter(|task| done(task)) {
        let steps = task.steps.iter().map(|step| (step.id.clone(), Probe::Done)).collect();
        assessment.tasks.insert(task.id.clone(), steps);
    }
    assert_eq!(plane_under_way(&plan, &assessment), Some("cp2"));
}

#[test]
fn what_waits_without_its_key_is_forgotten() {
    let plan = plan(Stage::Trust, &all(&["old", "lost"], (None, "old"))).unwrap();
    let StepKind::Authorities(step) = &plan.task("w1/trust").unwrap().steps[0].action else { panic!() };
    assert!(step.lost.contains(&Digest::sha256(b"lost/etc/kubernetes/pki/ca.crt")), "{:?}", step.lost);
}

#[test]
fn authorities_that_others_keep_are_left_to_them() {
    let mut hosts = all(&["old"], (None, "old"));
    let certificates = &mut hosts.hosts.get_mut("cp2").unwrap().facts.certificates;
    certificates.retain(|one| one.path != "/etc/kubernetes/pki/etcd/ca.crt");
    assert!(matches!(refusal(Stage::Trust, &hosts), AuthoritiesError::Elsewhere { host, .. } if host == "cp2"));
    let text = three_planes().replace("failCgroupV1: false", "failCgroupV1: false, serverTLSBootstrap: true");
    let order = Order { stage: Stage::Trust, program: "/opt/sealock/sealock", restart: Vec::new(), supplied: None };
    let hosts = all(&["old"], (None, "old"));
    let error = plan_authorities(&cluster(&text), (&release(), &registry()), &hosts, &order).unwrap_err();
    assert_eq!(error.code(), Some(Code::Spec), "{error}");
}
