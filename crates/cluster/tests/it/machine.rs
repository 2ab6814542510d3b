//! A machine by itself: the plan that prepares it, and the plan that gives it back.

use sealock_cluster::machine::{MachineError, MachinePlan, plan};
use sealock_cluster::spec::Overrides;
use sealock_node::StepKind;
use sealock_node::facts::{HostFacts, Kubernetes};
use sealock_node::step::BY_ITSELF;
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::fixture::{
    ONE_AND_ONE, bare_hosts, cluster, joined, kubernetes_images, next_images, next_release, plan_of, registry, release,
};

fn facts(kubernetes: Kubernetes) -> HostFacts {
    let mut facts = bare_hosts().hosts.remove("cp1").unwrap().facts;
    facts.kubernetes = kubernetes;
    facts
}

fn overrides() -> Overrides {
    cluster(ONE_AND_ONE).spec().overrides.clone()
}

fn site() -> plan::SiteName {
    plan::SiteName { id: "plant-7".into(), root: Digest::sha256(b"a site root") }
}

fn prepare(control_plane: bool, facts: &HostFacts) -> Result<MachinePlan, MachineError> {
    let intent = plan::Intent {
        kubernetes: "v1.36.3".parse().unwrap(),
        control_plane,
        images: &kubernetes_images(),
        release: &release(),
        site: &site(),
        registry: &registry(),
        overrides: &overrides(),
    };
    plan::prepare(&intent, facts)
}

#[test]
fn a_machine_gets_all_that_kubeadm_needs() {
    insta::assert_snapshot!(prepare(true, &facts(Kubernetes::None)).unwrap());
}

#[test]
fn the_steps_are_those_of_a_clusters_plan_but_for_the_claim_and_the_network() {
    for (control_plane, host) in [(true, "cp1"), (false, "w1")] {
        let alone = prepare(control_plane, &facts(Kubernetes::None)).unwrap();
        let of_cluster = plan_of(ONE_AND_ONE, &bare_hosts()).unwrap();
        let steps = of_cluster.task(&format!("{host}/prepare")).unwrap().steps.clone();
        let others = |steps: Vec<sealock_node::Step>| -> Vec<_> {
            steps.into_iter().filter(|step| step.id != "claim" && step.id != "network").collect()
        };
        assert_eq!(others(alone.steps.clone()), others(steps));
        let StepKind::Claim(claim) = &alone.steps[0].action else { panic!("the first step claims the machine") };
        assert_eq!(claim.cluster, BY_ITSELF);
    }
}

#[test]
fn whoevers_machine_it_is_is_asked_first() {
    let evidence = vec!["/var/lib/docker".to_owned()];
    let foreign = facts(Kubernetes::Foreign { evidence });
    for (facts, words) in [(foreign, "/var/lib/docker"), (facts(joined("plant-7")), "cluster plant-7")] {
        for refused in [prepare(true, &facts), plan::reset(&facts, None)] {
            let error = refused.unwrap_err();
            assert_eq!(error.code(), Some(Code::Foreign));
            assert!(error.to_string().contains(words) && error.hint().is_some(), "{error}");
        }
    }
}

#[test]
fn a_node_is_not_prepared_with_another_version_behind_its_back() {
    let mut facts = facts(joined(BY_ITSELF));
    facts.components.insert("kubelet".into(), "v1.36.3".into());
    prepare(false, &facts).unwrap();
    let intent = plan::Intent {
        kubernetes: "v1.37.2".parse().unwrap(),
        control_plane: false,
        images: &next_images(),
        release: &next_release(),
        site: &site(),
        registry: &registry(),
        overrides: &overrides(),
    };
    let error = plan::prepare(&intent, &facts).unwrap_err();
    assert!(matches!(error, MachineError::OtherVersion { .. }), "{error}");
    facts.kubernetes = Kubernetes::None;
    plan::prepare(&intent, &facts).unwrap();
}

/// The stick has another release by now: what pods run on does not become another one under them.
#[test]
fn the_runtime_of_a_node_stays_what_it_is() {
    let containerd = |facts: &HostFacts| {
        let plan = prepare(false, facts).unwrap();
        plan.steps.into_iter().find_map(|step| match step.action {
            StepKind::Component(component) if component.name == "containerd" => Some(component.version),
            _ => None,
        })
    };
    let mut machine = facts(Kubernetes::None);
    machine.components.insert("containerd".into(), "v2.4.2".into());
    assert_eq!(containerd(&machine), Some("v2.4.10".into()));
    machine.kubernetes = joined(BY_ITSELF);
    assert_eq!(containerd(&machine), Some("v2.4.2".into()));
}

#[test]
fn a_machine_that_is_not_fit_is_told_what_it_lacks() {
    let mut facts = facts(Kubernetes::None);
    facts.swap_bytes = 1 << 30;
    let error = prepare(true, &facts).unwrap_err();
    assert_eq!(error.code(), Some(Code::Preflight));
    assert!(error.to_string().contains("swap is on"), "{error}");
}

#[test]
fn who_gives_back_a_node_is_told_what_goes_with_it() {
    insta::assert_snapshot!(plan::reset(&facts(joined(BY_ITSELF)), None).unwrap());
}
