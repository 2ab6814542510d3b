//! Keys and requests of a host, and what an authority outside has signed for them, laid down: in order, cut off anywhere, and where it does
//! not belong.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use jiff::Timestamp;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer,
    KeyPair, PKCS_ECDSA_P256_SHA256, SanType,
};
use sealock_node::certificates::{Authority, Facts};
use sealock_node::host::{Alteration, Entry, Host};
use sealock_node::kubernetes_certificates::{AUTHORITIES, KUBELET_CLIENT, SERVICE_ACCOUNTS_SECRET};
use sealock_node::request::Secrets;
use sealock_node::requests::{Expected, Request, Usage, check_signed, expected, expected_at};
use sealock_node::step::{
    CertificatesRequested, CertificatesSigned, KubeadmCommand, KubeadmPhase, KubeletCertificate, Renewal,
};
use sealock_node::{Context, Probe, Step, StepError, suitable};

use crate::machine::{Machine, apply, bare, probe};

const FOLDER: &str = "/var/lib/sealock/node/requests";
const CA: &str = "/etc/kubernetes/pki/ca.crt";
const API_SERVER: &str = "/etc/kubernetes/pki/apiserver.crt";
const ADMIN: &str = "/etc/kubernetes/admin.conf";
const TOKENS: &str = "/etc/kubernetes/pki/sa.key";

/// What `kubeadm certs generate-csr` does, with names that stand in its configuration; refused where there are keys already.
pub(crate) fn generate(machine: &Machine, config: &str, (pki, kubeconfigs): (&str, &str)) -> bool {
    let value =
        |field: &str| config.lines().find_map(|line| line.trim().strip_prefix(field)).unwrap_or_default().trim();
    let (node, names) = (value("name:"), value("certSANs:"));
    for one in expected(true, true, true) {
        let (request, key) = (file_in(pki, kubeconfigs, one.request), KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256));
        if machine.inspect(&request).unwrap() != Entry::Missing {
            return false;
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(organization) = organization(&one) {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.distinguished_name.push(DnType::CommonName, one.name(node));
        if one.is_server() {
            let names = names.split(',').map(str::trim).chain([node]).filter(|name| !name.is_empty());
            params.subject_alt_names = names.map(|name| SanType::DnsName(name.try_into().unwrap())).collect();
        }
        let key = key.unwrap();
        private(machine, &request, &params.serialize_request(&key).unwrap().pem().unwrap());
        let (path, text) = match one.request.strip_suffix(".conf.csr") {
            Some(name) => (format!("{kubeconfigs}/{name}.conf"), kubeconfig(name, value("server:"), &key)),
            None => (request.replace(".csr", ".key"), key.serialize_pem()),
        };
        private(machine, &path, &text);
    }
    true
}

fn file_in(pki: &str, kubeconfigs: &str, file: &str) -> String {
    match file.strip_prefix("pki/") {
        Some(file) => format!("{pki}/{file}"),
        None => format!("{kubeconfigs}/{file}"),
    }
}

fn private(machine: &Machine, path: &str, text: &str) {
    machine.put(path, text);
    std::fs::set_permissions(machine.path().join(&path[1..]), std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn organization(one: &Expected) -> Option<&'static str> {
    match one.request {
        "admin.conf.csr" => Some("kubeadm:cluster-admins"),
        "super-admin.conf.csr" => Some("system:masters"),
        "kubelet.conf.csr" => Some("system:nodes"),
        _ => None,
    }
}

/// Of the controller manager and the scheduler it speaks to the API server beside them.
fn kubeconfig(name: &str, server: &str, key: &KeyPair) -> String {
    use base64::Engine as _;
    let server = if matches!(name, "controller-manager" | "scheduler") { "10.77.0.12" } else { server };
    let key = base64::engine::general_purpose::STANDARD.encode(key.serialize_pem());
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    server: https://{server}:6443\n  name: plant-7\nkind: Config\nusers:\n- name: {name}\n  user:\n    client-key-data: {key}\n"
    )
}

struct Pki(Vec<Authority>);

impl Pki {
    fn new() -> Self {
        Self(AUTHORITIES.iter().map(|_| Authority::generate("Plant", Timestamp::now()).unwrap()).collect())
    }

    fn certificates(&self) -> BTreeMap<String, String> {
        let all = AUTHORITIES.iter().zip(&self.0);
        all.map(|(files, one)| (files.certificate.to_owned(), one.certificate().to_owned())).collect()
    }

    fn authority(&self, one: &Expected) -> &Authority {
        let place = AUTHORITIES.iter().position(|files| files.certificate == one.authority.certificate).unwrap();
        &self.0[place]
    }

    fn sign(&self, path: &str, request: &str) -> String {
        let one = expected_at(path).unwrap();
        let mut asked = CertificateSigningRequestParams::from_pem(request).unwrap();
        let usage = |usage: &Usage| match usage {
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        };
        asked.params.extended_key_usages = one.usages.iter().map(usage).collect();
        (asked.params.not_before, asked.params.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2100, 1, 1));
        // The same one again and again, as somebody who signs by hand may have it.
        asked.params.serial_number = Some(7_u64.into());
        let authority = self.authority(&one);
        let issuer = Issuer::from_ca_cert_pem(authority.certificate(), KeyPair::from_pem(&authority.key()).unwrap());
        asked.signed_by(&issuer.unwrap()).unwrap().pem()
    }

    /// What waits on the machine, signed as the station takes it.
    fn signed(&self, machine: &Machine) -> BTreeMap<String, String> {
        let now = Timestamp::now();
        let sign = |(path, text): (String, String)| {
            let certificate = self.sign(&path, &text);
            let facts = |text: &str| Facts::of(text).unwrap();
            let authority = facts(self.authority(&expected_at(&path).unwrap()).certificate());
            check_signed(&path, &Request::of(&text).unwrap(), &facts(&certificate), &authority, now).unwrap();
            (path, certificate)
        };
        waiting(machine).into_iter().map(sign).collect()
    }
}

fn waiting(machine: &Machine) -> BTreeMap<String, String> {
    let text = |one: Expected| {
        let path = format!("{FOLDER}/{}", one.request);
        (machine.inspect(&path).unwrap() != Entry::Missing).then(|| (one.path.to_owned(), machine.text(&path)))
    };
    expected(true, true, true).into_iter().filter_map(text).collect()
}

fn config(node: &str, names: &str) -> String {
    format!("kind: InitConfiguration\nname: {node}\ncertSANs: {names}\nserver: api.plant.example\n")
}

fn of_worker() -> CertificatesRequested {
    CertificatesRequested {
        node: "w1".into(),
        control_plane: false,
        etcd: false,
        super_admin: false,
        config: config("w1", ""),
        serials: BTreeMap::new(),
    }
}

fn of_plane(super_admin: bool) -> CertificatesRequested {
    CertificatesRequested {
        node: "cp1".into(),
        control_plane: true,
        etcd: true,
        super_admin,
        config: config("cp1", "api.plant.example"),
        serials: BTreeMap::new(),
    }
}

fn step(action: impl Into<sealock_node::StepKind>) -> Step {
    Step::new("requests", action)
}

fn all_signed(pki: &Pki, machine: &Machine) -> CertificatesSigned {
    let certificates = pki.signed(machine);
    CertificatesSigned {
        node: "cp1".into(),
        authorities: pki.certificates(),
        certificates,
        service_accounts_sent: false,
    }
}

fn missing(step: &Step, machine: &Machine) -> String {
    match probe(step, machine) {
        Probe::NotDone { because } => because,
        other => panic!("{other:?}"),
    }
}

fn is_private(machine: &Machine, path: &str) -> bool {
    matches!(machine.inspect(path).unwrap(), Entry::File { mode, .. } if mode.bits() == 0o600)
}

#[test]
fn a_worker_asks_for_its_kubelet_and_no_other_key_stays() {
    let machine = Machine::new();
    let step = step(of_worker());
    assert_eq!(missing(&step, &machine), "no request waits on the host");
    apply(&step, &machine).unwrap();
    assert_eq!(probe(&step, &machine), Probe::Done);
    assert_eq!(waiting(&machine).into_keys().collect::<Vec<_>>(), [KUBELET_CLIENT]);
    assert_eq!(machine.inspect(&format!("{FOLDER}/admin.conf")).unwrap(), Entry::Missing);
    assert!(is_private(&machine, &format!("{FOLDER}/kubelet.conf")));
    let Entry::Directory { mode } = machine.inspect(FOLDER).unwrap() else { panic!("no folder") };
    assert_eq!(mode.bits(), 0o700);
    assert_eq!(machine.inspect("/run/sealock/kubeadm-certs-generate-csr.yaml").unwrap(), Entry::Missing);
    let request = Request::of(&waiting(&machine)[KUBELET_CLIENT]).unwrap();
    request.check(KUBELET_CLIENT, "w1", &[]).unwrap();
    bare(|context| step.undo(&machine, context)).unwrap();
    assert_eq!(machine.inspect(FOLDER).unwrap(), Entry::Missing);
}

#[test]
fn what_is_asked_for_again_is_the_same_request_until_it_asks_for_something_else() {
    let machine = Machine::new();
    apply(&step(of_plane(true)), &machine).unwrap();
    let first = waiting(&machine);
    assert_eq!(first.len(), 12);
    apply(&step(of_plane(true)), &machine).unwrap();
    assert_eq!(waiting(&machine), first);

    let mut other = of_plane(true);
    other.config =
        config("cp1", "api.plant.example").replace("api.plant.example\n", "api.plant.example\nanother: word\n");
    assert_eq!(missing(&step(other.clone()), &machine), "what waits on the host was requested for something else");
    apply(&step(other.clone()), &machine).unwrap();
    assert_eq!(waiting(&machine), first, "all of them ask for the same");
    assert_eq!(probe(&step(other), &machine), Probe::Done);

    let mut named = of_plane(true);
    named.config = config("cp1", "api.plant.example, next.plant.example");
    apply(&step(named.clone()), &machine).unwrap();
    let second = waiting(&machine);
    for (path, request) in &second {
        let is_server = expected_at(path).unwrap().is_server();
        assert_eq!(first[path] != *request, is_server, "{path}");
    }
    named.serials.insert(API_SERVER.to_owned(), "07".to_owned());
    let stale = apply(&step(named.clone()), &machine).unwrap_err();
    assert!(matches!(&stale, StepError::OtherThanPlanned { .. }), "{stale}");
    assert_eq!(waiting(&machine), second);
}

#[test]
fn a_renewal_asks_with_other_keys() {
    let (machine, pki) = (Machine::new(), Pki::new());
    apply(&step(of_plane(true)), &machine).unwrap();
    let first = waiting(&machine);
    apply(&step(all_signed(&pki, &machine)), &machine).unwrap();
    let mut renewal = of_plane(true);
    renewal.serials = first.keys().map(|path| (path.clone(), "07".to_owned())).collect();
    renewal.serials.remove(KUBELET_CLIENT);
    apply(&step(renewal), &machine).unwrap();
    for (path, request) in waiting(&machine) {
        let key = |text: &str| Request::of(text).unwrap().public_key_hash();
        assert_ne!(key(&first[&path]), key(&request), "{path}");
    }
}

/// The power goes at every change, and the same step goes on.
#[test]
fn cut_off_anywhere_there_is_one_set_of_requests_with_their_keys() {
    let mut finished = false;
    for changes in 0..60 {
        let machine = Machine::new();
        apply(&step(of_plane(false)), &machine).unwrap();
        let mut named = of_plane(false);
        named.config = config("cp1", "next.plant.example");
        let step = step(named);
        machine.fail_after(changes);
        finished = apply(&step, &machine).is_ok();
        machine.heal();
        apply(&step, &machine).unwrap();
        assert_eq!(probe(&step, &machine), Probe::Done, "after {changes} changes");
        assert_eq!(machine.inspect(&format!("{FOLDER}.new")).unwrap(), Entry::Missing);
        if finished {
            break;
        }
    }
    assert!(finished, "more changes than were tried");
}

/// The cluster was to begin on this host when it was asked first, and begins on another one now.
#[test]
fn what_the_host_is_not_to_show_any_more_does_not_wait_on() {
    let machine = Machine::new();
    apply(&step(of_plane(true)), &machine).unwrap();
    let before = waiting(&machine);
    assert!(before.contains_key("/etc/kubernetes/super-admin.conf"));
    let step = step(of_plane(false));
    assert!(missing(&step, &machine).contains("a request for /etc/kubernetes/super-admin.conf waits"));
    apply(&step, &machine).unwrap();
    let after = waiting(&machine);
    assert!(!after.contains_key("/etc/kubernetes/super-admin.conf"));
    assert!(after.iter().all(|(path, request)| before.get(path) == Some(request)), "others are the same");
}

/// Somebody may sign what waits while it is asked for once more: also where the power goes, that is kept.
#[test]
fn cut_off_anywhere_what_is_asked_for_again_is_the_same_request() {
    for changes in 0..60 {
        let machine = Machine::new();
        apply(&step(of_plane(true)), &machine).unwrap();
        let before = waiting(&machine);
        let step = step(of_plane(false));
        machine.fail_after(changes);
        let finished = apply(&step, &machine).is_ok();
        machine.heal();
        apply(&step, &machine).unwrap();
        let after = waiting(&machine);
        assert!(after.iter().all(|(path, request)| before.get(path) == Some(request)), "after {changes} changes");
        if finished {
            return;
        }
    }
    panic!("more changes than were tried");
}

#[test]
fn where_kubeadm_fails_nothing_new_waits() {
    let machine = Machine::new();
    apply(&step(of_worker()), &machine).unwrap();
    let first = waiting(&machine);
    let mut other = of_worker();
    other.config = "coffee".into();
    let failed = apply(&step(other), &machine).unwrap_err();
    assert!(failed.to_string().contains("kubeadm certs generate-csr"), "{failed}");
    assert_eq!(waiting(&machine), first);
}

/// Where the cluster begins: kubeadm finds all that its phases would have made.
#[test]
fn what_was_signed_is_laid_down_with_its_keys_and_nothing_waits_any_more() {
    let (machine, pki) = (Machine::new(), Pki::new());
    apply(&step(of_plane(true)), &machine).unwrap();
    let step = step(all_signed(&pki, &machine));
    assert_eq!(missing(&step, &machine), format!("{CA} is not there"));
    apply(&step, &machine).unwrap();
    assert_eq!(probe(&step, &machine), Probe::Done);
    assert_eq!(machine.inspect(FOLDER).unwrap(), Entry::Missing);
    for files in AUTHORITIES {
        assert_eq!(machine.inspect(files.key).unwrap(), Entry::Missing);
    }
    for one in expected(true, true, true) {
        if let Some(base) = one.path.strip_suffix(".crt") {
            let key = format!("{base}.key");
            assert!(is_private(&machine, &key), "{key}");
            assert!(Facts::of(&machine.text(one.path)).unwrap().has_key(&machine.text(&key)).unwrap(), "{key}");
        } else if one.path != KUBELET_CLIENT {
            assert!(is_private(&machine, one.path), "{}", one.path);
            let text = machine.text(one.path);
            for field in ["certificate-authority-data: ", "client-certificate-data: ", "client-key-data: "] {
                assert_eq!(text.matches(field).count(), 1, "{field} in {}", one.path);
            }
        }
    }
    // Of the key of service accounts kubeadm makes none here.
    assert!(is_private(&machine, TOKENS));
    assert_eq!(suitable::service_accounts(&machine.text(TOKENS)).unwrap(), machine.text("/etc/kubernetes/pki/sa.pub"));
    let kubelet = machine.text("/etc/kubernetes/kubelet.conf");
    assert!(kubelet.contains("server: https://10.77.0.12:6443"), "it speaks to the API server beside it: {kubelet}");
    let Entry::Link { target } = machine.inspect(KUBELET_CLIENT).unwrap() else { panic!("no link") };
    assert!(is_private(&machine, &target));

    let phase = KubeadmPhase {
        command: KubeadmCommand::Init,
        phase: "certs all".into(),
        node: "cp1".into(),
        config: "kind: InitConfiguration".into(),
    };
    let phase = Step::new("certs", phase);
    assert_eq!(missing(&phase, &machine), "it has not run");
    apply(&phase, &machine).unwrap();
    assert_eq!(probe(&phase, &machine), Probe::Done);

    bare(|context| step.undo(&machine, context)).unwrap();
    assert_eq!(missing(&step, &machine), format!("{CA} is not there"));
    for path in [TOKENS, "/etc/kubernetes/pki/sa.pub"] {
        assert_eq!(machine.inspect(path).unwrap(), Entry::Missing);
    }
    assert_eq!(missing(&phase, &machine), "/etc/kubernetes/pki/ca.crt is not there");
}

#[test]
fn cut_off_anywhere_it_is_finished_and_no_key_is_lost() {
    let (pki, mut finished) = (Pki::new(), false);
    for changes in 0..120 {
        let machine = Machine::new();
        apply(&step(of_plane(true)), &machine).unwrap();
        let step = step(all_signed(&pki, &machine));
        machine.fail_after(changes);
        finished = apply(&step, &machine).is_ok();
        machine.heal();
        apply(&step, &machine).unwrap();
        assert_eq!(probe(&step, &machine), Probe::Done, "after {changes} changes");
        assert_eq!(machine.inspect(FOLDER).unwrap(), Entry::Missing);
        if finished {
            break;
        }
    }
    assert!(finished, "more changes than were tried");
}

#[test]
fn another_authority_or_the_key_of_one_is_left_alone() {
    let (machine, pki) = (Machine::new(), Pki::new());
    apply(&step(of_plane(true)), &machine).unwrap();
    let step = step(all_signed(&pki, &machine));
    let in_the_way = |found: &str| {
        let Probe::Foreign { found: said } = probe(&step, &machine) else { panic!("nothing is in the way") };
        assert!(said.contains(found), "{said}");
        assert!(matches!(apply(&step, &machine).unwrap_err(), StepError::Foreign { .. }));
        assert_eq!(machine.inspect(API_SERVER).unwrap(), Entry::Missing, "nothing was laid down");
    };
    machine.put(CA, Pki::new().0[0].certificate());
    in_the_way("is not the authority of the spec");
    machine.put(CA, pki.0[0].certificate());
    machine.put("/etc/kubernetes/pki/ca.key", &pki.0[0].key());
    in_the_way("the key of an authority that is kept outside lies on no host");
}

#[test]
fn a_certificate_for_another_request_changes_nothing() {
    let (machine, pki) = (Machine::new(), Pki::new());
    apply(&step(of_plane(true)), &machine).unwrap();
    let mut signed = all_signed(&pki, &machine);
    // The requests were made anew since.
    bare(|context| step(of_plane(true)).undo(&machine, context)).unwrap();
    apply(&step(of_plane(true)), &machine).unwrap();
    let refused = apply(&step(signed.clone()), &machine).unwrap_err();
    assert!(
        matches!(&refused, StepError::OtherThanPlanned { found } if found.contains("another request")),
        "{refused}"
    );
    assert_eq!(machine.inspect(CA).unwrap(), Entry::Missing, "nothing was laid down");

    signed.node = "cp2".into();
    let refused = apply(&step(signed), &machine).unwrap_err();
    assert!(matches!(&refused, StepError::Invalid { .. }), "{refused}");
}

/// Before its preflight, which refuses a kubelet.conf that is there; kubelet's comes behind it.
#[test]
fn a_further_control_plane_gets_the_key_of_service_accounts_that_was_sent() {
    let (machine, pki) = (Machine::new(), Pki::new());
    apply(&step(of_plane(false)), &machine).unwrap();
    let mut first = CertificatesSigned { service_accounts_sent: true, ..all_signed(&pki, &machine) };
    let kubelet = first.certificates.remove(KUBELET_CLIENT).unwrap();
    let first = step(first);
    assert!(matches!(apply(&first, &machine).unwrap_err(), StepError::NoSecret { .. }));
    let own = Authority::generate("sa", Timestamp::now()).unwrap();
    let run = |step: &Step, key: &str| {
        let secrets: Secrets = [(SERVICE_ACCOUNTS_SECRET.to_owned(), key.to_owned())].into_iter().collect();
        let admitted = BTreeSet::new();
        let context = Context { source: None, admitted: &admitted, secrets: &secrets, progress: &|_| {} };
        step.apply(&machine, &context).and_then(|()| step.verify(&machine, &context))
    };
    run(&first, &own.key()).unwrap();
    assert_eq!(machine.text(TOKENS), *own.key());
    assert_eq!(machine.inspect("/etc/kubernetes/kubelet.conf").unwrap(), Entry::Missing);
    assert_eq!(waiting(&machine).into_keys().collect::<Vec<_>>(), [KUBELET_CLIENT], "kubelet's waits for its turn");
    let other = Authority::generate("sa", Timestamp::now()).unwrap();
    assert!(matches!(run(&first, &other.key()).unwrap_err(), StepError::Foreign { .. }));

    let certificates = BTreeMap::from([(KUBELET_CLIENT.to_owned(), kubelet)]);
    let (node, authorities) = ("cp1".to_owned(), BTreeMap::new());
    let second = step(CertificatesSigned { node, authorities, certificates, service_accounts_sent: false });
    apply(&second, &machine).unwrap();
    assert!(machine.text("/etc/kubernetes/kubelet.conf").contains("server: https://10.77.0.12:6443"));
    assert_eq!((probe(&first, &machine), probe(&second, &machine)), (Probe::Done, Probe::Done));
    assert_eq!(machine.inspect(FOLDER).unwrap(), Entry::Missing);
}

#[test]
fn a_workers_kubelet_speaks_to_the_endpoint_and_is_given_a_new_certificate_later() {
    let (machine, pki) = (Machine::new(), Pki::new());
    machine.put("/etc/systemd/system/kubelet.service", "[Service]");
    apply(&step(of_worker()), &machine).unwrap();
    let authorities = BTreeMap::from([(CA.to_owned(), pki.0[0].certificate().to_owned())]);
    let (node, certificates) = ("w1".to_owned(), pki.signed(&machine));
    apply(&step(CertificatesSigned { node, authorities, certificates, service_accounts_sent: false }), &machine)
        .unwrap();
    assert!(machine.text("/etc/kubernetes/kubelet.conf").contains("server: https://api.plant.example:6443"));
    assert_eq!(machine.inspect(TOKENS).unwrap(), Entry::Missing);
    assert!(!machine.is_active("kubelet.service"));

    apply(&step(CertificatesRequested { config: config("w1", "later"), ..of_worker() }), &machine).unwrap();
    let signed = pki.signed(&machine)[KUBELET_CLIENT].clone();
    let renewed = step(KubeletCertificate { node: "w1".into(), replaced: None, signed: Some(signed) });
    assert_eq!(missing(&renewed, &machine), format!("{KUBELET_CLIENT} is another certificate"));
    machine.fail_after(4);
    apply(&renewed, &machine).unwrap_err();
    machine.heal();
    assert!(!machine.is_active("kubelet.service"));
    // kubelet has not read what is in its place.
    assert_eq!(missing(&renewed, &machine), format!("the key of {KUBELET_CLIENT} still waits"));
    apply(&renewed, &machine).unwrap();
    assert_eq!(probe(&renewed, &machine), Probe::Done);
    assert!(machine.is_active("kubelet.service"));
    assert_eq!(machine.inspect(FOLDER).unwrap(), Entry::Missing);
}

/// A key that nobody uses any more helps only whoever finds it.
#[test]
fn of_the_certificates_that_kubelet_had_the_last_one_stays() {
    let (machine, pki) = (Machine::new(), Pki::new());
    machine.put("/etc/systemd/system/kubelet.service", "[Service]");
    let names = ["2024-01-01-00-00-00", "2025-01-01-00-00-00"].map(|at| format!("kubelet-client-{at}.pem"));
    let path = |name: &str| format!("/var/lib/kubelet/pki/{name}");
    apply(&step(of_worker()), &machine).unwrap();
    let signed = pki.signed(&machine)[KUBELET_CLIENT].clone();
    names.iter().for_each(|name| private(&machine, &path(name), "of before"));
    private(&machine, &path("kubelet-client-mine.pem"), "somebody's own");
    machine.put(CA, pki.0[0].certificate());
    machine.alter(Alteration::Link { path: KUBELET_CLIENT, target: &path(&names[1]) }).unwrap();
    let step = step(KubeletCertificate { node: "w1".into(), replaced: None, signed: Some(signed) });
    apply(&step, &machine).unwrap();
    let Entry::Link { target } = machine.inspect(KUBELET_CLIENT).unwrap() else { panic!("no link") };
    let there = machine.list("/var/lib/kubelet/pki").unwrap();
    let own = target.rsplit('/').next().unwrap();
    assert_eq!(there, [names[1].as_str(), own, "kubelet-client-current.pem", "kubelet-client-mine.pem"]);
}

/// The serials are the same: whoever signs may not count.
#[test]
fn a_renewal_puts_pairs_in_the_place_of_pairs_and_is_known_by_the_certificates() {
    let (machine, pki) = (Machine::new(), Pki::new());
    apply(&step(of_plane(true)), &machine).unwrap();
    let first = all_signed(&pki, &machine);
    apply(&step(first.clone()), &machine).unwrap();
    let mut again = of_plane(true);
    again.config = config("cp1", "next.plant.example");
    again.serials = first.certificates.keys().map(|path| (path.clone(), "07".to_owned())).collect();
    again.serials.remove(KUBELET_CLIENT);
    apply(&step(again.clone()), &machine).unwrap();
    let mut second = CertificatesSigned { authorities: BTreeMap::new(), ..all_signed(&pki, &machine) };
    second.certificates.remove(KUBELET_CLIENT);
    let renewal = |signed: &CertificatesSigned, made_only| {
        let (serials, config) = (again.serials.clone(), again.config.clone());
        step(Renewal { serials, config, made_only, signed: Some(signed.clone()) })
    };
    let tokens = machine.text(TOKENS);
    assert_eq!(missing(&renewal(&second, true), &machine), format!("{ADMIN} is another certificate"));
    apply(&renewal(&second, true), &machine).unwrap();
    assert_eq!(probe(&renewal(&second, true), &machine), Probe::Done);
    assert_eq!(missing(&renewal(&second, false), &machine), "what runs has not been started anew");
    assert_eq!(waiting(&machine).len(), 12, "by the keys that wait it is known that nothing was started anew");
    assert_eq!(machine.text(TOKENS), tokens);
    assert_eq!(
        Facts::of(&machine.text(API_SERVER)).unwrap().digest(),
        Facts::of(&second.certificates[API_SERVER]).unwrap().digest()
    );
    assert_eq!(machine.inspect("/etc/kubernetes/pki/ca.key").unwrap(), Entry::Missing);
    assert!(machine.text(ADMIN).contains("server: https://api.plant.example:6443"));
}
