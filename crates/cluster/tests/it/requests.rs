//! Plans for a cluster whose authorities keep their keys elsewhere.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sealock_cluster::plan::{Printed, Rescue, SecretKind, Signed, plan_renewal, plan_requests, plan_rescue};
use sealock_cluster::{Inventory, Plan, PlanError};
use sealock_node::StepKind;
use sealock_node::certificates::{Authority, Facts};
use sealock_node::facts::CertificateFact;
use sealock_node::kubernetes_certificates::{AUTHORITIES, KUBELET_CLIENT};
use sealock_node::requests::expected;
use sealock_trust::reason::Code;

use crate::fixture::{cluster, host, kubernetes_images, nodes, registry, release, spec, with_intent};

const EXTERNAL: &str = "  pki:\n    external:\n      kubernetes: {certFile: ca.crt}\n      frontProxy: {certFile: fp.crt}\n      \
    etcd: {certFile: etcd.crt}\n      requests: requests\n";
const HOSTS: [(&str, &str, &str); 3] =
    [("cp1", "10.77.0.11", "control-plane"), ("cp2", "10.77.0.12", "control-plane"), ("w1", "10.77.0.21", "worker")];

/// The spec with these hosts.
fn text(hosts: &[(&str, &str, &str)]) -> String {
    let endpoint = "controlPlane: {endpoint: \"api.plant-7.internal:7443\", localProxy: true}";
    let spec = spec(hosts).replace("controlPlane: {endpoint: 10.77.0.11:6443}", endpoint);
    spec.replacen("  hosts:\n", &format!("{EXTERNAL}  hosts:\n"), 1)
}

fn one_and_one() -> String {
    text(&[HOSTS[0], HOSTS[2]])
}

fn bare(hosts: &[(&str, &str, &str)]) -> Inventory {
    Inventory { hosts: hosts.iter().map(|(name, address, _)| ((*name).to_owned(), host(name, address))).collect() }
}

fn authorities() -> BTreeMap<String, String> {
    let make = |files: sealock_node::kubernetes_certificates::AuthorityFiles| {
        let made = Authority::generate("Plant", Timestamp::now()).unwrap();
        (files.certificate.to_owned(), Facts::of(made.certificate()).unwrap().pem())
    };
    AUTHORITIES.into_iter().map(make).collect()
}

/// Certificates for everything that `hosts` show.
fn signed(hosts: &[(&str, &str, &str)]) -> Signed {
    let of = |(name, _, role): &(&str, &str, &str)| {
        let shown = expected(*role == "control-plane", true, *name == "cp1");
        let all = shown.into_iter().map(|one| (one.path.to_owned(), format!("{name} {}", one.path)));
        ((*name).to_owned(), all.collect())
    };
    Signed { authorities: authorities(), certificates: hosts.iter().map(of).collect(), ..Signed::default() }
}

/// Nodes that show all of it.
fn showing(hosts: &[(&str, &str, &str)]) -> Inventory {
    let mut inventory = nodes(&text(hosts), "v1.36.3");
    for (name, _, role) in hosts {
        let one = inventory.hosts.get_mut(*name).unwrap();
        let fact = |path: &str| CertificateFact {
            path: path.into(),
            name: "it".into(),
            serial: format!("{name}:{path}"),
            not_after: Timestamp::now() + jiff::SignedDuration::from_hours(24 * 300),
            authority: false,
            renewable: path != KUBELET_CLIENT,
            digest: None,
            issued_by: None,
        };
        let shown = expected(*role == "control-plane", true, *name == "cp1");
        one.facts.certificates.extend(shown.iter().map(|shown| fact(shown.path)));
    }
    inventory
}

fn requests(text: &str, names: &[String], inventory: &Inventory) -> Result<Plan, PlanError> {
    let (cluster, release, images) = (cluster(text), release(), kubernetes_images());
    with_intent((&cluster, &release, &images), |intent| plan_requests(&intent, names, inventory))
}

fn apply(text: &str, signed: &Signed, inventory: &Inventory) -> Result<Plan, PlanError> {
    let (cluster, release, images) = (cluster(text), release(), kubernetes_images());
    with_intent((&cluster, &release, &images), |intent| {
        sealock_cluster::plan(&sealock_cluster::plan::Intent { signed: Some(signed), ..intent }, inventory)
    })
}

fn asking(plan: &Plan) -> Vec<String> {
    let asks = plan.tasks.iter().filter(|task| task.id.ends_with("/requests"));
    asks.map(|task| format!("{} after {:?}: {}", task.id, task.after, task.steps[0])).collect()
}

#[test]
fn bare_hosts_are_made_ready_and_make_keys_and_requests() {
    let plan = requests(&one_and_one(), &[], &bare(&[HOSTS[0], HOSTS[2]])).unwrap();
    insta::assert_snapshot!(asking(&plan).join("\n"));
    assert!(plan.task("cp1/prepare").is_some() && plan.task("cp1/init").is_none() && plan.task("w1/join").is_none());
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
    let head = Printed { plan: &plan, assessment: None }.to_string();
    assert!(
        head.starts_with("Plan to have hosts of cluster plant-7 make keys, and requests for certificates"),
        "{head}"
    );
}

#[test]
fn who_lacks_nothing_asks_only_where_nobody_lacks_anything_or_by_name() {
    let mut some = showing(&HOSTS);
    some.hosts.insert("cp2".into(), host("cp2", "10.77.0.12"));
    assert_eq!(asking(&requests(&text(&HOSTS), &[], &some).unwrap()).len(), 1);
    let named = requests(&text(&HOSTS), &["w1".to_owned()], &some).unwrap();
    assert!(
        named.task("w1/requests").is_some()
            && named.task("w1/prepare").is_none()
            && named.task("cp2/requests").is_none()
    );
    let all = requests(&text(&HOSTS), &[], &showing(&HOSTS)).unwrap();
    assert_eq!(asking(&all).len(), 3);
    let StepKind::CertificatesRequested(step) = &all.task("w1/requests").unwrap().steps[0].action else { panic!() };
    assert_eq!(step.serials, BTreeMap::from([(KUBELET_CLIENT.to_owned(), format!("w1:{KUBELET_CLIENT}"))]));
    // Taken away on purpose, it is not asked for again.
    let mut without = showing(&HOSTS);
    let facts = &mut without.hosts.get_mut("cp1").unwrap().facts;
    facts.certificates.retain(|one| one.path != "/etc/kubernetes/super-admin.conf");
    let all = requests(&text(&HOSTS), &[], &without).unwrap();
    assert_eq!(asking(&all).len(), 3, "all, as nobody lacks anything");
    let asks = |plan: &Plan| match &plan.task("cp1/requests").unwrap().steps[0].action {
        StepKind::CertificatesRequested(step) => step.super_admin,
        other => panic!("{other:?}"),
    };
    assert!(!asks(&all) && asks(&requests(&text(&HOSTS), &[], &showing(&HOSTS)).unwrap()));
}

#[test]
fn what_was_signed_lies_there_before_kubeadm_looks_and_no_authority_is_shared() {
    let hosts = [HOSTS[0], HOSTS[2]];
    let plan = apply(&one_and_one(), &signed(&hosts), &bare(&hosts)).unwrap();
    for (task, next) in [("cp1/init", "kubeadm/init/certs-all"), ("w1/join", "kubeadm/join/kubelet-start")] {
        let ids: Vec<&str> = plan.task(task).unwrap().steps.iter().map(|step| step.id.as_str()).collect();
        assert!(ids[0].ends_with("/preflight") && ids[1] == "certificates/signed", "{ids:?}");
        assert!(ids[2..].contains(&next), "{ids:?}");
    }
    let step = |task: &str| match &plan.task(task).unwrap().steps[1].action {
        StepKind::CertificatesSigned(step) => step.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((step("cp1/init").authorities.len(), step("cp1/init").certificates.len()), (3, 12));
    assert_eq!((step("w1/join").authorities.len(), step("w1/join").certificates.len()), (1, 1));
    assert!(plan.task("cp1/init").unwrap().secrets.is_empty());

    let mut joining = showing(&hosts);
    joining.hosts.insert("cp2".into(), host("cp2", "10.77.0.12"));
    let plan = apply(&text(&HOSTS), &signed(&HOSTS[1..2]), &joining).unwrap();
    let join = plan.task("cp2/join").unwrap();
    assert_eq!(join.secrets, [SecretKind::BootstrapToken, SecretKind::CaHash, SecretKind::ServiceAccounts]);
    // kubeadm's preflight wants what control planes share to be there, and no kubelet.conf.
    let ids: Vec<&str> = join.steps.iter().take(3).map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["certificates/signed", "kubeadm/join/preflight", "certificates/kubelet"]);
    let laid_down = |at: usize| match &join.steps[at].action {
        StepKind::CertificatesSigned(step) => {
            (step.authorities.len(), step.certificates.len(), step.service_accounts_sent)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!((laid_down(0), laid_down(2)), ((3, 10, true), (0, 1, false)));
    assert!(!serde_json::to_string(join).unwrap().contains("certificateKey"));
}

#[test]
fn other_authorities_than_those_of_the_cluster_are_refused_for_good() {
    let hosts = [HOSTS[0], HOSTS[2]];
    let mut has_others = showing(&hosts);
    let others = authorities();
    let facts = Facts::of(&others["/etc/kubernetes/pki/ca.crt"]).unwrap();
    has_others.hosts.get_mut("cp1").unwrap().facts.certificates.push(CertificateFact {
        path: "/etc/kubernetes/pki/ca.crt".into(),
        name: facts.name.clone(),
        serial: facts.serial.clone(),
        not_after: facts.not_after,
        authority: true,
        renewable: false,
        digest: Some(facts.digest()),
        issued_by: None,
    });
    let refused = apply(&one_and_one(), &signed(&hosts), &has_others).unwrap_err();
    assert_eq!(refused.code(), Some(Code::Spec));
    assert!(refused.hint().unwrap().contains("is not replaced in a cluster that runs"));
}

#[test]
fn what_was_signed_takes_the_place_of_what_is_in_use_one_host_after_the_other() {
    let renew = |signed: &Signed| {
        let site = (&release(), &registry());
        plan_renewal(&cluster(&text(&HOSTS)), site, &showing(&HOSTS), ("/opt/sealock/sealock", Some(signed)))
    };
    let plan = renew(&signed(&HOSTS)).unwrap();
    let tasks: Vec<String> = plan
        .tasks
        .iter()
        .map(|task| {
            format!(
                "{} after {:?}: {}",
                task.id,
                task.after,
                task.steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>().join(", ")
            )
        })
        .collect();
    insta::assert_snapshot!(tasks.join("\n"));
    let StepKind::Renewal(renewal) = &plan.task("cp2/renew").unwrap().steps[0].action else { panic!() };
    let laid_down = renewal.signed.as_ref().unwrap();
    assert!(
        !laid_down.certificates.contains_key(KUBELET_CLIENT) && laid_down.certificates.len() == renewal.serials.len()
    );
    // Only who waits.
    let worker = renew(&signed(&HOSTS[2..])).unwrap();
    assert!(worker.task("w1/renew").is_some() && worker.task("cp1/renew").is_none());
    // What a rescue has left: nobody could make the others without the authority's key.
    let mut kubelet = signed(&HOSTS[..1]);
    kubelet.certificates.get_mut("cp1").unwrap().retain(|path, _| path == KUBELET_CLIENT);
    let plan = renew(&kubelet).unwrap();
    let steps: Vec<&str> = plan.task("cp1/renew").unwrap().steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(steps, ["kubelet", "ready"]);
    let nobody = renew(&signed(&[])).unwrap_err();
    assert!(
        nobody.code().is_none() && nobody.to_string().contains("no host of cluster plant-7 waits for a certificate")
    );
}

/// Its member of etcd may be away, and gives no snapshot then; no other one is to be away beside it.
#[test]
fn a_control_plane_that_a_renewal_was_cut_off_on_comes_first() {
    let mut signed = signed(&HOSTS);
    signed.unfinished.insert("cp2".into());
    let site = (&release(), &registry());
    let plan = plan_renewal(&cluster(&text(&HOSTS)), site, &showing(&HOSTS), ("/opt/sealock/sealock", Some(&signed)));
    let order: Vec<(String, Vec<String>)> = plan.unwrap().tasks.into_iter().map(|task| (task.id, task.after)).collect();
    let after = |id: &str| vec![id.to_owned()];
    let wanted = [
        ("cp2/renew", Vec::new()),
        ("cp1/renew", after("cp2/renew")),
        ("w1/renew", after("cp1/renew")),
        ("cp1/ready-w1", after("w1/renew")),
    ];
    assert_eq!(order, wanted.map(|(id, after)| (id.to_owned(), after)));
}

/// With what is wrong for one of them it may be wrong for all.
#[test]
fn one_worker_reports_with_what_was_signed_before_the_others_get_theirs() {
    let more = [("w2", "10.77.0.22", "worker"), ("w3", "10.77.0.23", "worker")];
    let hosts = [&HOSTS[..], &more].concat();
    let site = (&release(), &registry());
    let plan =
        plan_renewal(&cluster(&text(&hosts)), site, &showing(&hosts), ("/opt/sealock/sealock", Some(&signed(&hosts))));
    let plan = plan.unwrap();
    let after = |id: &str| plan.task(id).unwrap().after.clone();
    assert_eq!(after("w1/renew"), ["cp2/renew"]);
    let reports = "cp1/ready-w1";
    assert_eq!(after(reports), ["w1/renew"]);
    assert_eq!((after("w2/renew"), after("w3/renew")), (vec![reports.to_owned()], vec![reports.to_owned()]));
    // Not the worker: it has no kubectl.
    let StepKind::NodeReady(ready) = &plan.task(reports).unwrap().steps[0].action else { panic!() };
    assert!(ready.node == "w1" && ready.lately && ready.version.is_some());
}

/// The keys that wait there are what it is known by.
#[test]
fn who_is_to_be_started_anew_first_asks_by_name_alone() {
    let (text, release, images) = (text(&HOSTS), release(), kubernetes_images());
    let (cluster, mut none) = (cluster(&text), signed(&[]));
    none.unfinished.insert("cp2".into());
    let plan = |names: &[String]| {
        with_intent((&cluster, &release, &images), |intent| {
            let intent = sealock_cluster::plan::Intent { signed: Some(&none), ..intent };
            plan_requests(&intent, names, &showing(&HOSTS)).unwrap()
        })
    };
    assert!(plan(&[]).task("cp2/requests").is_none() && plan(&[]).task("cp1/requests").is_some());
    assert!(plan(&["cp2".to_owned()]).task("cp2/requests").is_some());
}

/// Nothing has ended by now where what was signed lies in its place: it is to be started anew all the same.
#[test]
fn a_rescue_finishes_what_was_laid_down_before_it_was_cut_off() {
    let (inventory, site) = (showing(&HOSTS), (&release(), &registry()));
    let cluster = cluster(&text(&HOSTS));
    let of =
        |signed: &Signed| plan_rescue(&cluster, site, &inventory, Rescue { signed: Some(signed), ..Rescue::default() });
    assert!(of(&signed(&[])).unwrap_err().to_string().contains("no certificate"));
    let plan = of(&signed(&HOSTS[1..2])).unwrap();
    let ids: Vec<&str> = plan.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["cp2/certificates", "cp2/serve", "cp1/ready"]);
}

#[test]
fn a_rescue_lays_down_what_was_signed_and_issues_nothing() {
    let mut inventory = showing(&HOSTS);
    for one in inventory.hosts.values_mut() {
        one.facts.clock = Timestamp::now() + jiff::SignedDuration::from_hours(24 * 400);
    }
    let (signed, site) = (signed(&HOSTS), (&release(), &registry()));
    let rescue = Rescue { signed: Some(&signed), ..Rescue::default() };
    let plan = plan_rescue(&cluster(&text(&HOSTS)), site, &inventory, rescue).unwrap();
    for host in ["cp1", "cp2", "w1"] {
        let made = plan.task(&format!("{host}/certificates")).unwrap();
        assert!(made.secrets.is_empty(), "nobody in the cluster issues");
        let kubelet = made.steps.iter().find_map(|step| match &step.action {
            StepKind::KubeletCertificate(step) => step.signed.clone(),
            _ => None,
        });
        assert_eq!(kubelet, Some(format!("{host} {KUBELET_CLIENT}")));
    }
    let StepKind::Renewal(renewal) = &plan.task("cp2/serve").unwrap().steps[0].action else { panic!() };
    assert_eq!(renewal.signed.as_ref().unwrap().certificates.len(), renewal.serials.len());
}
