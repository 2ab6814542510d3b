//! What goes to the folder of requests and what comes from it, with real keys and no host.

use std::fs;
use std::path::Path;

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use sealock_node::kubernetes_certificates::KUBELET_CLIENT;
use sealock_trust::reason::Code;
use serde_json::json;

use super::*;

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

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::load(&folder.path().join("cluster.yaml"), SPEC).unwrap();
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
        let mut signing = CertificateSigningRequestParams::from_pem(request).unwrap();
        signing.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        signing.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        signing.params.is_ca = IsCa::ExplicitNoCa;
        self.put(&signing.signed_by(&self.authorities[authority]).unwrap().pem());
    }

    fn put(&self, text: &str) {
        let path = self.folder.path().join(W1_CERTIFICATE);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Why what lies in the folder is not laid down.
    fn refused(&self, inventory: &Inventory) -> String {
        let error = self.outside().missing(inventory).unwrap_err();
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
    let signed = site.outside().missing(&waits).unwrap();
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
    let before = site.outside().missing(&waits).unwrap();
    let facts = Facts::of(&before.certificates["w1"][KUBELET_CLIENT]).unwrap();
    let mut shows = worker(&[]);
    let fact = json!({
        "path": KUBELET_CLIENT, "name": facts.name, "serial": facts.serial, "not-after": facts.not_after, "authority": false,
        "renewable": false, "digest": facts.digest(),
    });
    let own = &mut shows.hosts.get_mut("w1").unwrap().facts;
    own.certificates.push(serde_json::from_value(fact).unwrap());
    assert_eq!(site.outside().missing(&shows).unwrap(), before);

    let next = of_kubelet();
    shows.hosts.get_mut("w1").unwrap().facts.requests.insert(KUBELET_CLIENT.into(), next.clone());
    let all = |_: &HostFacts| vec![KUBELET_CLIENT.to_owned()];
    let error = site.outside().replacing(&shows, all).unwrap_err().to_string();
    assert!(error.ends_with("kubelet.conf.crt is the one in use"), "{error}");
    site.sign(&next, 0);
    assert!(site.outside().missing(&shows).unwrap().certificates.is_empty());
    assert_ne!(site.outside().replacing(&shows, all).unwrap(), before);
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
