//! One member of etcd that is lost comes back, while the others live.

use sealock_cluster::plan::{LostMember, Printed, plan_member};
use sealock_cluster::{Inventory, Plan, PlanError};
use sealock_node::StepKind;
use sealock_trust::reason::Code;

use crate::fixture::{THREE_AND_THREE, bare_hosts, cluster, nodes, registry, release, spec};

const LOST: LostMember<'_> =
    LostMember { host: "cp2", id: Some("8e9e05c52164694d"), speaker: "cp1", when: "2026-11-26T06-48-02Z" };

fn planes() -> String {
    spec(&THREE_AND_THREE[..3]).replace("endpoint: 10.77.0.11:6443", "endpoint: 10.77.0.10:6443")
}

fn plan(lost: LostMember<'_>, inventory: &Inventory) -> Result<Plan, PlanError> {
    let site = (&release(), &registry());
    plan_member(&cluster(&planes()), site, lost, inventory, "/opt/sealock/sealock/0.1.0/sealock")
}

#[test]
fn a_member_is_taken_out_before_its_data_goes_aside_and_comes_back_before_it_counts() {
    let plan = plan(LOST, &nodes(&planes(), "v1.36.3")).unwrap();
    insta::assert_snapshot!("member_lost", Printed { plan: &plan, assessment: None }.to_string());
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
    let text = String::from_utf8(plan.to_json().unwrap()).unwrap();
    assert!(text.contains("${secret:certificate-key}"), "secrets stand in no plan");
}

#[test]
fn one_that_etcd_does_not_list_any_more_only_comes_back() {
    let plan = plan(LostMember { id: None, ..LOST }, &nodes(&planes(), "v1.36.3")).unwrap();
    let steps = || plan.tasks.iter().flat_map(|task| &task.steps);
    assert!(!steps().any(|step| matches!(step.action, StepKind::MemberRemoved(_))));
    assert!(steps().any(|step| matches!(step.action, StepKind::MemberAside(_))));
}

#[test]
fn only_a_control_plane_has_a_member_that_comes_back() {
    let refused = |lost, inventory: &Inventory| plan(lost, inventory).unwrap_err().code();
    let all = nodes(&planes(), "v1.36.3");
    assert_eq!(refused(LostMember { host: "w1", ..LOST }, &all), Some(Code::Spec));
    let mut bare = all;
    bare.hosts.get_mut("cp2").unwrap().facts.kubernetes = bare_hosts().hosts["cp1"].facts.kubernetes.clone();
    assert_eq!(refused(LOST, &bare), Some(Code::Spec));
}
