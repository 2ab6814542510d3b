//! What goes to the folder of requests and what comes from it, with real keys and no host.

use std::fs;
use std::path::Path;

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use sealock_node::facts::{CertificateFact, ClusterNode, Kubernetes};
use sealock_node::kubernetes_certificates::KUBELET_CLIENT;
use sealock_node::requests::expected;
use sealock_trust::reason::Code;
use serde_json::json;

use super::*;

mod backup;

const SPEC: &str = "apiVersion: sealock/v1alpha1\nkind: Cluster\nmetadata: {name: plant-7}\nspec:\n  site: plant-7\n  \
    kubernetes: {version: v1.36.3}\n  controlPlane: {endpoint: \"10.77.0.11:6443\"}\n  pki:\n    external:\n      \
    kubernetes: {certFile: ca.crt}\n      frontProxy: {certFile: fp.crt}\n      etcd: {certFile: etcd.crt}\n      \
    requests: requests\n  hosts:\n    - {name: cp1, address: 10.77.0.11, roles: [control-plane], ssh: {user: ops, \
    hostKey: \"SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8\"}}\n    - {name: w1, address: 10.77.0.21, roles: [worker], ssh: {user: ops, \
    hostKey: \"SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8\"}}\n";
const W1_CERTIFICATE: &str = "requests/w1/kubelet.conf.crt";

/// A station's folder with authorities, and a worker that asks.
struct Site {
    folder: tempfile::TempDir,
    cluster: Cluster,
    authorities: Vec<Issuer<'static, KeyPair>>,
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn named(name: &str, organization: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn request(name: &str, organization: Option<&str>) -> String {
    named(name, organization).serialize_request(&key()).unwrap().pem().unwrap()
}

fn of_kubelet() -> String {
    request("system:node:w1", Some("system:nodes"))
}

/// A host with requests that wait.
fn observation(requests: &[(&str, &str)]) -> Observation {
    let facts = json!({
        "format": "sealock.dev/host-facts/1.0", "sealock": "0.1.0", "machine-id": "1", "hostname": "w1",
        "os": {"id": "debian", "version": "12", "name": "Debian"}, "architecture": "amd64", "kernel": "6.12.48",
        "cgroup": "v2", "processors": 2, "memory-bytes": 1, "swap-bytes": 0, "clock": "2026-11-28T00:00:00Z",
        "disk": {"total-bytes": 1, "free-bytes": 1},
        "network": {"addresses": [], "default-routes": [], "nameservers": [], "mtu": 1500},
        "kubernetes": {"owner": "none"},
        "requests": requests.iter().copied().collect::<BTreeMap<_, _>>(),
    });
    Observation { facts: serde_json::from_value(facts).unwrap(), clock_ahead_ms: 0 }
}

fn worker(requests: &[(&str, &str)]) -> Inventory {
    Inventory { hosts: BTreeMap::from([("w1".to_owned(), observation(requests))]) }
}

/// What a host says of a certificate.
fn fact(path: &str, facts: &Facts) -> CertificateFact {
    let fact = json!({
        "path": path, "name": facts.name, "serial": facts.serial, "not-after": facts.not_after, "authority": false,
        "renewable": path != KUBELET_CLIENT, "digest": facts.digest(),
    });
    serde_json::from_value(fact).unwrap()
}

fn show(inventory: &mut Inventory, host: &str, fact: &CertificateFact) {
    inventory.hosts.get_mut(host).unwrap().facts.certificates.push(fact.clone());
}

/// kubeadm is through with the host.
fn run(inventory: &mut Inventory, host: &str, control_plane: bool) {
    let node = ClusterNode {
        cluster: "plant-7".into(),
        joined: true,
        control_plane,
        founded: control_plane,
        complete: true,
        kubelet_active: true,
        ca_hash: None,
        etcd: Vec::new(),
    };
    inventory.hosts.get_mut(host).unwrap().facts.kubernetes = Kubernetes::Sealock(node);
}

/// A control plane that runs and shows all, and a worker that asks.
fn with_plane(requests: &[(&str, &str)]) -> Inventory {
    let mut inventory = worker(requests);
    inventory.hosts.insert("cp1".into(), observation(&[]));
    run(&mut inventory, "cp1", true);
    let any = Facts::of(&named("it", None).self_signed(&key()).unwrap().pem()).unwrap();
    for one in expected(true, true, true) {
        show(&mut inventory, "cp1", &fact(one.path, &any));
    }
    inventory
}

impl Site {
    fn new() -> Self {
        Self::of(SPEC)
    }

    fn of(spec: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::load(&folder.path().join("cluster.yaml"), spec).unwrap();
        let authorities = ["ca", "fp", "etcd"].map(|name| {
            let mut params = named(&format!("Plant 7 {name}"), None);
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let key = key();
            let certificate = params.clone().self_signed(&key).unwrap();
            fs::write(folder.path().join(format!("{name}.crt")), certificate.pem()).unwrap();
            Issuer::new(params, key)
        });
        Self { folder, cluster, authorities: authorities.into() }
    }

    fn outside(&self) -> Outside<'_> {
        Outside::read(&self.cluster).unwrap().unwrap()
    }

    /// Signs `request` with one of the authorities, and puts the certificate where it is expected.
    fn sign(&self, request: &str, authority: usize) {
        self.sign_until(request, authority, 2100);
    }

    fn sign_until(&self, request: &str, authority: usize, year: i32) {
        let mut signing = CertificateSigningRequestParams::from_pem(request).unwrap();
        signing.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        signing.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        signing.params.is_ca = IsCa::ExplicitNoCa;
        signing.params.not_after = rcgen::date_time_ymd(year, 1, 1);
        self.put(&signing.signed_by(&self.authorities[authority]).unwrap().pem());
    }

    fn put(&self, text: &str) {
        let path = self.folder.path().join(W1_CERTIFICATE);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn missing(&self, inventory: &Inventory) -> Signed {
        self.outside().missing(inventory).unwrap().whole().unwrap()
    }

    /// Why what lies in the folder is not laid down.
    fn refused(&self, inventory: &Inventory) -> String {
        let error = self.outside().missing(inventory).unwrap().whole().unwrap_err();
        assert_eq!(error.code(), Some(Code::Spec), "{error}");
        error.to_string().replace(&self.folder.path().display().to_string(), "SITE")
    }

    /// Why the requests of a worker are not written.
    fn hostile(&self, requests: &[(&str, &str)]) -> String {
        let error = self.outside().requested(&worker(requests), &["w1"]).unwrap_err();
        assert_eq!(error.code(), Some(Code::Request), "{error}");
        error.to_string()
    }
}

#[test]
fn what_a_worker_may_ask_for_is_listed_with_what_it_is_to_be() {
    let (site, asked) = (Site::new(), of_kubelet());
    let all = site.outside().requested(&worker(&[(KUBELET_CLIENT, &asked)]), &["w1"]).unwrap();
    let (listed, written) = &all[0];
    insta::assert_snapshot!(serde_json::to_string_pretty(listed).unwrap());
    assert!(written.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    assert!(site.outside().requested(&worker(&[]), &["w1"]).unwrap().is_empty());
}

#[test]
fn a_worker_that_was_broken_into_gets_nothing_written() {
    let site = Site::new();
    let of = |name: &str, organization: &str| request(name, Some(organization));
    let (administrator, member) = (of("kubernetes-admin", "system:masters"), of("system:node:w1", "system:masters"));
    let (another, own) = (of("system:node:cp1", "system:nodes"), of_kubelet());
    let long = format!("{own}{}", " ".repeat(sealock_node::requests::MOST));
    let said = [
        site.hostile(&[(KUBELET_CLIENT, &administrator)]),
        site.hostile(&[(KUBELET_CLIENT, &member)]),
        site.hostile(&[(KUBELET_CLIENT, &another)]),
        site.hostile(&[(KUBELET_CLIENT, &own), ("/etc/kubernetes/admin.conf", &administrator)]),
        site.hostile(&[(KUBELET_CLIENT, &own), ("../../\u{1b}[2J", &own)]),
        site.hostile(&[(KUBELET_CLIENT, &long)]),
        site.hostile(&[(KUBELET_CLIENT, "no request")]),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn what_is_missing_or_wrong_is_told_by_file() {
    let (site, asked) = (Site::new(), of_kubelet());
    let (waits, none) = (worker(&[(KUBELET_CLIENT, &asked)]), worker(&[]));
    let mut said = vec![site.refused(&none), site.refused(&waits)];
    site.sign(&asked, 2);
    said.push(site.refused(&waits));
    site.sign(&of_kubelet(), 0);
    said.push(site.refused(&waits));
    site.put("no certificate");
    said.push(site.refused(&waits));
    site.sign(&asked, 0);
    let path = site.folder.path().join(W1_CERTIFICATE);
    let twice = fs::read_to_string(&path).unwrap().repeat(2);
    site.put(&twice);
    said.push(site.refused(&waits));
    insta::assert_snapshot!(said.join("\n"));

    site.sign(&asked, 0);
    let signed = site.missing(&waits);
    assert_eq!(signed.authorities.len(), 3);
    let laid_down = &signed.certificates["w1"][KUBELET_CLIENT];
    assert!(laid_down.starts_with("-----BEGIN CERTIFICATE-----"));
}

/// A plan that was begun stays the same once its certificates are in use; and another one in the folder waits for `renew`.
#[test]
fn what_is_in_use_is_named_further_and_what_is_to_replace_it_is_left_for_renew() {
    let (site, asked) = (Site::new(), of_kubelet());
    site.sign(&asked, 0);
    let waits = worker(&[(KUBELET_CLIENT, &asked)]);
    let before = site.missing(&waits);
    let facts = Facts::of(&before.certificates["w1"][KUBELET_CLIENT]).unwrap();
    let mut shows = worker(&[]);
    show(&mut shows, "w1", &fact(KUBELET_CLIENT, &facts));
    assert_eq!(site.missing(&shows), before);

    let next = of_kubelet();
    shows.hosts.get_mut("w1").unwrap().facts.requests.insert(KUBELET_CLIENT.into(), next.clone());
    let all = |_: &HostFacts| vec![KUBELET_CLIENT.to_owned()];
    let replacing = || site.outside().replacing(&shows, all).unwrap().or_pass_over();
    let error = replacing().unwrap_err().to_string();
    assert!(error.ends_with("kubelet.conf.crt is the one in use"), "{error}");
    site.sign(&next, 0);
    assert!(site.missing(&shows).certificates.is_empty());
    let (replaces, waiting) = replacing().unwrap();
    assert_ne!(replaces, before);
    assert!(waiting.is_empty() && replaces.unfinished.is_empty());
}

#[test]
fn one_authority_for_two_is_refused() {
    let site = Site::new();
    fs::copy(site.folder.path().join("ca.crt"), site.folder.path().join("etcd.crt")).unwrap();
    let error = Outside::read(&site.cluster).unwrap_err().to_string();
    assert!(error.contains("spec.pki.external.kubernetes.certFile") && error.contains("have the same key"), "{error}");
    let plain = SPEC.replace("external", "supplied");
    assert!(Cluster::load(Path::new("cluster.yaml"), &plain).is_err());
}

fn requested(host: &str, name: &str) -> Requested {
    Requested {
        host: host.into(),
        request: format!("{host}/{name}.csr"),
        certificate: format!("{host}/{name}.crt"),
        authority: String::new(),
        authority_file: String::new(),
        name: String::new(),
        organizations: Vec::new(),
        names: Vec::new(),
        usages: Vec::new(),
    }
}

/// A request in `folder`, and a certificate for its key.
fn asked(folder: &Path, one: &Requested) -> String {
    let (key, params) = (key(), named("cp1", None));
    fs::create_dir_all(folder.join(&one.host)).unwrap();
    fs::write(folder.join(&one.request), params.serialize_request(&key).unwrap().pem().unwrap()).unwrap();
    params.self_signed(&key).unwrap().pem()
}

#[test]
fn the_list_keeps_what_nobody_has_signed_of_hosts_that_were_not_asked_again() {
    let site = Site::new();
    let outside = site.outside();
    let folder = outside.folder();
    let all: Vec<Requested> = ["signed", "of-before", "waits"].map(|name| requested("cp1", name)).into();
    let gone = requested("w9", "kubelet");
    let signed = all.iter().map(|one| asked(&folder, one)).collect::<Vec<_>>();
    fs::write(folder.join("cp1/signed.crt"), &signed[0]).unwrap();
    fs::write(folder.join("cp1/of-before.crt"), &signed[0]).unwrap();
    asked(&folder, &gone);
    let list: Vec<&Requested> = all.iter().chain([&gone]).collect();
    fs::write(folder.join(INDEX), serde_json::to_vec(&list).unwrap()).unwrap();
    let names = |asked: &[Requested]| {
        let others = outside.unsigned_of_others(asked).unwrap();
        others.into_iter().map(|one| one.request).collect::<Vec<_>>()
    };
    assert_eq!(names(&[requested("w1", "kubelet")]), ["cp1/of-before.csr", "cp1/waits.csr"]);
    assert_eq!(names(&[requested("cp1", "kubelet")]), Vec::<String>::new());
    fs::write(folder.join(INDEX), "signed: all of it").unwrap();
    assert_eq!(names(&[]), Vec::<String>::new());
}

const OTHER_WORKER: &str = "    - {name: w2, address: 10.77.0.22, roles: [worker], ssh: {user: ops, \
    hostKey: \"SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8\"}}\n";

/// What somebody elsewhere has not signed for one host is no reason for the others to wait.
#[test]
fn of_a_cluster_that_runs_a_host_that_waits_is_passed_over_while_it_is_no_node() {
    let (site, asked) = (Site::of(&format!("{SPEC}{OTHER_WORKER}")), of_kubelet());
    let inventory = || {
        let mut inventory = with_plane(&[(KUBELET_CLIENT, &asked)]);
        inventory.hosts.insert("w2".into(), observation(&[]));
        inventory
    };
    let outside = site.outside();
    let laid = |inventory: Inventory, asked: Required<'_>| {
        let laid = laid::laid(&site.cluster, Some(&outside), (Vec::new(), inventory), asked)?;
        let names = laid.cluster.hosts().iter().map(|host| host.name.to_string()).collect::<Vec<_>>();
        let seen = laid.looked.1.hosts.into_keys().collect::<Vec<_>>();
        Ok::<_, OperatorError>((names, seen, laid.signed.unwrap(), laid.passed_over))
    };
    let (names, seen, signed, passed_over) = laid(inventory(), Required::Nodes).unwrap();
    assert_eq!((names, seen), (vec!["cp1".to_owned()], vec!["cp1".to_owned()]));
    assert!(!signed.certificates.contains_key("w1"));
    let told = passed_over.iter().map(|one| format!("{}: {}\n  {}", one.host, one.because, one.next));
    let told = told.collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(told.replace(&site.folder.path().display().to_string(), "SITE"));

    site.sign(&asked, 0);
    let (names, _, signed, passed_over) = laid(inventory(), Required::Nodes).unwrap();
    assert_eq!((names, passed_over.len()), (vec!["cp1".to_owned(), "w1".to_owned()], 1));
    assert!(signed.certificates.contains_key("w1"));
    // Who was named is not passed over.
    laid(inventory(), Required::And(&["w1".to_owned()])).unwrap();
    let refused = laid(inventory(), Required::And(&["w2".to_owned()])).map(drop).unwrap_err();
    assert!(refused.to_string().contains("not asked for yet"), "{refused}");
    // A cluster begins as a whole.
    let mut begins = inventory();
    begins.hosts.insert("cp1".into(), observation(&[]));
    let refused = laid(begins, Required::Nodes).map(drop).unwrap_err();
    assert_eq!(refused.code(), Some(Code::Spec), "{refused}");
}

/// It would be started without what it shows.
#[test]
fn a_node_that_waits_is_an_obstacle_but_for_who_only_looks() {
    let site = Site::new();
    let mut inventory = with_plane(&[]);
    run(&mut inventory, "w1", false);
    let outside = site.outside();
    let laid = |asked| laid::laid(&site.cluster, Some(&outside), (Vec::new(), inventory.clone()), asked);
    let refused = laid(Required::Nodes).map(|_| ()).unwrap_err();
    let OperatorError::Plan(PlanError::Custody(error)) = &refused else { panic!("{refused}") };
    assert!(error.is_waiting(), "{error}");
    let looks = laid(Required::Nobody).unwrap();
    assert_eq!((looks.cluster.hosts().len(), looks.passed_over.len()), (2, 1));
}

/// Cut off between the certificate and what shows it: by the key that waits still, the same command finds that again.
#[test]
fn what_was_laid_down_and_not_started_anew_is_found_by_renew_and_left_by_apply() {
    let (site, asked) = (Site::new(), of_kubelet());
    site.sign(&asked, 0);
    let mut inventory = with_plane(&[(KUBELET_CLIENT, &asked)]);
    run(&mut inventory, "w1", false);
    let certificate = site.outside().certificate(&site.folder.path().join(W1_CERTIFICATE)).unwrap().unwrap().unwrap();
    show(&mut inventory, "w1", &fact(KUBELET_CLIENT, &certificate));
    let nothing = |_: &HostFacts| Vec::new();
    let (signed, waiting) = site.outside().replacing(&inventory, nothing).unwrap().or_pass_over().unwrap();
    assert_eq!(signed.certificates["w1"][KUBELET_CLIENT], certificate.pem());
    assert_eq!(signed.unfinished, BTreeSet::from(["w1".to_owned()]));
    assert!(waiting.is_empty());
    assert!(!site.missing(&inventory).certificates.contains_key("w1"));
}

#[test]
fn a_renewal_passes_over_who_waits_and_tells_what_ends_sooner() {
    let (site, asked) = (Site::of(&format!("{SPEC}{OTHER_WORKER}")), of_kubelet());
    let mut inventory = with_plane(&[(KUBELET_CLIENT, &asked)]);
    let other = request("system:node:w2", Some("system:nodes"));
    inventory.hosts.insert("w2".into(), observation(&[(KUBELET_CLIENT, &other)]));
    let before = Facts::of(&named("it", None).self_signed(&key()).unwrap().pem()).unwrap();
    for worker in ["w1", "w2"] {
        run(&mut inventory, worker, false);
        show(&mut inventory, worker, &fact(KUBELET_CLIENT, &before));
    }
    let waiting = |facts: &HostFacts| facts.requests.keys().cloned().collect();
    let renews = || site.outside().replacing(&inventory, waiting).unwrap().or_pass_over();
    let nobody = renews().unwrap_err().to_string();
    assert!(nobody.starts_with("2 certificates are not signed yet"), "{nobody}");
    site.sign_until(&asked, 0, 2090);
    let (signed, passed_over) = renews().unwrap();
    assert_eq!(signed.certificates.keys().collect::<Vec<_>>(), ["w1"]);
    assert_eq!(passed_over.iter().map(|one| one.host.as_str()).collect::<Vec<_>>(), ["w2"]);
    let remarks = site.outside().ends_sooner(&signed, &inventory);
    insta::assert_snapshot!(remarks.join("\n"));
    site.sign_until(&asked, 0, 4097);
    let (signed, _) = renews().unwrap();
    assert!(site.outside().ends_sooner(&signed, &inventory).is_empty());
    // What was signed wrongly is somebody's mistake.
    site.sign(&asked, 2);
    assert!(renews().unwrap_err().to_string().contains("is not issued by"));
}

/// As where the disk is full: nobody is to sign some of what was asked for now, and some of what was asked for before.
#[test]
fn requests_are_written_as_a_whole_or_not_at_all() {
    let site = Site::new();
    let folder = site.outside().folder();
    let one = |host: &str| (requested(host, "kubelet"), "a request".to_owned());
    site.outside().write(vec![one("cp1")]).unwrap();
    let before = fs::read(folder.join(INDEX)).unwrap();
    // Nothing can be written below it.
    fs::write(folder.join("w1"), "no folder").unwrap();
    let again = (requested("cp1", "kubelet"), "another request".to_owned());
    let error = site.outside().write(vec![again.clone(), one("w1")]).unwrap_err();
    assert!(error.is_retryable() && error.to_string().ends_with("requests/w1/kubelet.csr"), "{error}");
    assert_eq!(fs::read_to_string(folder.join("cp1/kubelet.csr")).unwrap(), "a request");
    assert_eq!(fs::read(folder.join(INDEX)).unwrap(), before);
    let left = fs::read_dir(folder.join("cp1")).unwrap().count();
    assert_eq!(left, 1, "what was written aside is gone");
    fs::remove_file(folder.join("w1")).unwrap();
    site.outside().write(vec![again, one("w1")]).unwrap();
    assert_eq!(fs::read_to_string(folder.join("cp1/kubelet.csr")).unwrap(), "another request");
    let listed: Vec<Requested> = serde_json::from_slice(&fs::read(folder.join(INDEX)).unwrap()).unwrap();
    assert_eq!(listed.len(), 2);
}

/// Nobody has put that there who meant a list.
#[test]
fn what_is_too_long_for_a_certificate_or_a_list_is_not_read_to_its_end() {
    let site = Site::new();
    site.put("");
    let path = site.folder.path().join(W1_CERTIFICATE);
    fs::File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
    let error = site.outside().certificate(&path).unwrap_err();
    assert!(error.to_string().ends_with("kubelet.conf.crt"), "{error}");
    let list = site.outside().folder().join(INDEX);
    fs::File::create(&list).unwrap().set_len(LONGEST_LIST + 1).unwrap();
    site.outside().unsigned_of_others(&[]).unwrap_err();
}
