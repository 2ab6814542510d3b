//! Plans for a cluster whose authorities somebody else has made.

use jiff::Timestamp;
use sealock_cluster::plan::{Intent, Order, Printed, SecretKind, plan_authorities};
use sealock_cluster::{Inventory, Plan, PlanError};
use sealock_node::certificates::{Authority, Facts};
use sealock_node::facts::CertificateFact;
use sealock_node::kubernetes_certificates::AUTHORITIES;
use sealock_node::step::{AuthoritiesSupplied, Stage};
use sealock_node::suitable::public_key_digest;
use sealock_node::{Step, StepKind};
use sealock_trust::reason::Code;

use crate::fixture::{ONE_AND_ONE, cluster, host, kubernetes_images, nodes, registry, release, with_intent};

/// Three authorities, each for one of kubeadm's files.
fn made() -> AuthoritiesSupplied {
    let now = Timestamp::now();
    let make = |files: sealock_node::kubernetes_certificates::AuthorityFiles| {
        let made = Authority::generate("Plant", now).unwrap();
        (files.certificate.to_owned(), Facts::of(made.certificate()).unwrap().pem())
    };
    AuthoritiesSupplied { certificates: AUTHORITIES.into_iter().map(make).collect(), service_accounts: None }
}

/// `text` without what is another one in each run.
fn plainly(mut text: String, all: &[&AuthoritiesSupplied]) -> String {
    for certificate in all.iter().flat_map(|one| one.certificates.values()) {
        let facts = Facts::of(certificate).unwrap();
        text = text.replace(&facts.digest().hex()[..12], "DIGEST");
        text = text.replace(&facts.not_after.strftime("%Y-%m-%d").to_string(), "DATE");
    }
    text
}

fn bare() -> Inventory {
    let hosts = [("cp1", "10.77.0.11"), ("w1", "10.77.0.21")];
    Inventory { hosts: hosts.iter().map(|(name, address)| ((*name).to_owned(), host(name, address))).collect() }
}

/// The hosts as nodes, whose control plane holds `held`, each in front of the one after it, and what waits.
fn holding(held: &[&AuthoritiesSupplied], next: Option<&AuthoritiesSupplied>) -> Inventory {
    let mut inventory = nodes(ONE_AND_ONE, "v1.36.3");
    let fact = |path: &str, text: &str| {
        let facts = Facts::of(text).unwrap();
        CertificateFact {
            path: path.into(),
            name: facts.name.clone(),
            serial: facts.serial.clone(),
            not_after: facts.not_after,
            authority: true,
            renewable: false,
            digest: Some(facts.digest()),
            issued_by: None,
        }
    };
    for (name, one) in &mut inventory.hosts {
        for files in AUTHORITIES.iter().take(if name == "cp1" { 3 } else { 1 }) {
            let all = held.iter().map(|supplied| fact(files.certificate, &supplied.certificates[files.certificate]));
            one.facts.certificates.extend(all);
            let next =
                next.filter(|_| name == "cp1").map(|next| fact(files.next, &next.certificates[files.certificate]));
            one.facts.certificates.extend(next);
        }
    }
    inventory
}

fn plan(supplied: &AuthoritiesSupplied, inventory: &Inventory) -> Result<Plan, PlanError> {
    let (cluster, release, images) = (cluster(ONE_AND_ONE), release(), kubernetes_images());
    with_intent((&cluster, &release, &images), |intent| {
        sealock_cluster::plan(&Intent { supplied: Some(supplied), ..intent }, inventory)
    })
}

fn replaced(supplied: &AuthoritiesSupplied, stage: Stage, inventory: &Inventory) -> Result<Plan, PlanError> {
    let order = Order { stage, program: "/opt/sealock/sealock", restart: Vec::new(), supplied: Some(supplied) };
    plan_authorities(&cluster(ONE_AND_ONE), (&release(), &registry()), inventory, &order)
}

fn text(plan: &Plan) -> String {
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), *plan);
    Printed { plan, assessment: None }.to_string()
}

#[test]
fn they_are_laid_down_where_the_cluster_begins_before_kubeadm_makes_any() {
    let supplied = AuthoritiesSupplied { service_accounts: Some("the public key\n".into()), ..made() };
    let plan = plan(&supplied, &bare()).unwrap();
    let init = plan.task("cp1/init").unwrap();
    let ids: Vec<&str> = init.steps.iter().take(3).map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["kubeadm/init/preflight", "authorities/supplied", "kubeadm/init/certs-all"]);
    assert_eq!(init.secrets, [SecretKind::SuppliedAuthorities]);
    assert!(plan.task("w1/join").unwrap().secrets.iter().all(|kind| *kind != SecretKind::SuppliedAuthorities));
    insta::assert_snapshot!(plainly(init.steps[1].to_string(), &[&supplied]));
    // Another file is another plan.
    assert_ne!(plan.digest().unwrap(), self::plan(&made(), &bare()).unwrap().digest().unwrap());
}

#[test]
fn a_cluster_keeps_its_authorities_whatever_the_spec_says_until_they_are_replaced() {
    let (own, other) = (made(), made());
    plan(&own, &holding(&[&own], None)).unwrap();
    let refused = plan(&other, &holding(&[&own], None)).unwrap_err();
    assert_eq!(refused.code(), Some(Code::Spec));
    assert!(refused.hint().unwrap().contains("renew --authorities trust"));
    insta::assert_snapshot!(plainly(refused.to_string(), &[&own, &other]));
    // While two are believed, the spec may say either.
    for held in [[&own, &other], [&other, &own]] {
        plan(&own, &holding(&held, None)).unwrap();
        plan(&other, &holding(&held, None)).unwrap();
    }
    plan(&own, &holding(&[&other], None)).unwrap_err();
}

#[test]
fn those_of_the_spec_take_the_place_of_others_by_the_same_three_stages() {
    let (own, next) = (made(), made());
    let plan = replaced(&next, Stage::Trust, &holding(&[&own], None)).unwrap();
    let brings = plan.task("cp1/made").unwrap();
    assert_eq!(brings.secrets, [SecretKind::SuppliedAuthorities]);
    let StepKind::AuthoritiesMade(step) = &brings.steps[0].action else { panic!() };
    assert_eq!(step.supplied, next.certificates);
    assert!(text(&plan).contains("keep the new authorities of the spec: Plant ("), "{}", text(&plan));
    let none = |plan: &Plan| plan.tasks.iter().flat_map(|task| &task.steps).all(is_not_made);
    let issue = replaced(&next, Stage::Issue, &holding(&[&own, &next], Some(&next))).unwrap();
    assert!(none(&issue), "what waits is not brought again");
    assert!(none(&replaced(&next, Stage::Drop, &dropping(&next, &own)).unwrap()));
}

fn is_not_made(step: &Step) -> bool {
    !matches!(step.action, StepKind::AuthoritiesMade(_))
}

/// As between `issue` and `drop`: no leaf is looked at here.
fn dropping(next: &AuthoritiesSupplied, own: &AuthoritiesSupplied) -> Inventory {
    holding(&[next, own], Some(next))
}

#[test]
fn nothing_else_comes_next_than_what_the_spec_says() {
    let (own, next, third) = (made(), made(), made());
    let said = |supplied: &AuthoritiesSupplied, stage, inventory: &Inventory| {
        let error = replaced(supplied, stage, inventory).unwrap_err();
        format!("{}: {error}", error.code().map_or("-", Code::as_str))
    };
    let refused = [
        said(&own, Stage::Trust, &holding(&[&own], None)),
        said(&third, Stage::Trust, &holding(&[&own, &next], Some(&next))),
        said(&third, Stage::Issue, &holding(&[&own, &next], Some(&next))),
        said(&own, Stage::Issue, &holding(&[&own, &next], Some(&next))),
        said(&own, Stage::Drop, &dropping(&next, &own)),
    ];
    insta::assert_snapshot!(refused.join("\n"));
}

/// A key that was lost where it waited comes again from the station.
#[test]
fn what_is_brought_again_is_not_forgotten() {
    let (own, next) = (made(), made());
    let plan = replaced(&next, Stage::Trust, &holding(&[&own, &next], None)).unwrap();
    let lost = plan.tasks.iter().flat_map(|task| &task.steps).filter_map(|step| match &step.action {
        StepKind::Authorities(step) => Some(step.lost.len()),
        _ => None,
    });
    assert_eq!(lost.sum::<usize>(), 0);
}

/// Authorities can be replaced, the key of service accounts cannot: a spec with another one would stop at that file after the last stage.
#[test]
fn a_cluster_keeps_the_key_of_its_service_accounts() {
    let key = |content: &str| format!("-----BEGIN PUBLIC KEY-----\n{content}\n-----END PUBLIC KEY-----\n");
    let (own, next) = (made(), made());
    let with_key =
        |one: &AuthoritiesSupplied, key: String| AuthoritiesSupplied { service_accounts: Some(key), ..one.clone() };
    let having = |held: &[&AuthoritiesSupplied]| {
        let mut inventory = holding(held, None);
        let facts = &mut inventory.hosts.get_mut("cp1").unwrap().facts;
        facts.service_accounts = Some(public_key_digest(&key("b3du")).unwrap());
        inventory
    };
    let others = |one: &AuthoritiesSupplied| with_key(one, key("b3RoZXI="));
    let refused = [
        plan(&others(&own), &having(&[&own])).unwrap_err(),
        replaced(&others(&next), Stage::Trust, &having(&[&own])).unwrap_err(),
    ];
    for refused in refused {
        assert_eq!(refused.code(), Some(Code::Spec), "{refused}");
        let said = "/etc/kubernetes/pki/sa.pub on host cp1 is not the public half of spec.pki.supplied.serviceAccounts";
        assert!(refused.to_string().starts_with(said), "{refused}");
        assert!(refused.hint().unwrap().starts_with("leave `serviceAccounts` out"));
    }
    for supplied in [own.clone(), with_key(&own, key("b3du"))] {
        plan(&supplied, &having(&[&own])).unwrap();
    }
    replaced(&next, Stage::Trust, &having(&[&own])).unwrap();
    // Where there is none yet, the spec's comes.
    plan(&others(&own), &bare()).unwrap();
}
