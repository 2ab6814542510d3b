//! What a plan says: the words a person reviews, and the JSON that is bound by the digest.

use std::collections::{BTreeMap, BTreeSet};

use sealock_node::os_packages::PackageChange;
use sealock_node::step::{
    ApiServerBack, Artifact, Authorities, AuthoritiesForgotten, AuthoritiesMade, AuthoritiesPublished,
    AuthoritiesSupplied, BackupFile, BackupFiles, CertificatesRequested, CertificatesSigned, Claim, Component,
    ComponentFile, Directory, Drained, EtcdClaim, EtcdClient, EtcdFromBackup, EtcdRestored, EtcdSnapshot, EtcdWell,
    File, HostsEntry, Image, Images, KeepsRunning, Kept, KernelModule, KubeadmCommand, KubeadmPhase,
    KubeletCertificate, KubeletRegistered, MachineRestarted, MemberAside, MemberRemoved, MembersAgree, Mode, NodeReady,
    ObjectsBack, ObjectsKept, OsPackageFile, OsPackageSet, OsPackagesAdded, OsPackagesInstalled, OsPackagesLaidDown,
    Packing, Peer, RanBefore, Renewal, Reset, RestartWhen, Restarted, RolledOut, RoutedNetwork, RunAs, ServicesAnswer,
    Stage, StaleNodes, StandsAsBefore, Sysctl, TakenBack, TimeServers, Uncordoned, Unit, Workload,
};
use sealock_node::time::TimeDaemon;
use sealock_node::{Step, StepKind};
use sealock_trust::Digest;
use sealock_trust::json::{Limits, jcs};

/// The digests of the first of a control plane's authorities, by file.
fn authorities(count: usize) -> BTreeMap<String, Digest> {
    let files = ["ca.crt", "etcd/ca.crt", "front-proxy-ca.crt"];
    files.iter().take(count).map(|file| (format!("/etc/kubernetes/pki/{file}"), Digest::sha256(b"old"))).collect()
}

fn on_worker(stage: Stage) -> StepKind {
    let (lost, config) = (BTreeSet::new(), String::new());
    Authorities { stage, control_plane: false, old: authorities(1), lost, config }.into()
}

/// What changes the OS packages of a host.
fn of_os_packages(digest: &Digest) -> Vec<StepKind> {
    let change = |package: &str, from: Option<&str>, to: Option<&str>| PackageChange {
        package: package.into(),
        architecture: "amd64".into(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
    };
    let artifact = Artifact { repository: "os-packages/debian-12".into(), digest: digest.clone() };
    let file = |name: &str| OsPackageFile { name: name.into(), digest: digest.clone() };
    let files = vec![file("Packages"), file("libc6_2.36-9+deb12u9_amd64.deb")];
    let laid = OsPackagesLaidDown { sets: vec![OsPackageSet { name: "debian-12".into(), artifact, files }] };
    let changes = vec![
        change("libc6", Some("2.36-9+deb12u8"), Some("2.36-9+deb12u9")),
        change("new", None, Some("1.0")),
        change("old", Some("0.9"), None),
    ];
    let added = vec![change("nftables", None, Some("1.0.6-2")), change("libc6", Some("2.36-9"), Some("2.37-1"))];
    vec![
        OsPackagesAdded { sets: vec!["debian-12".into()], contents: laid.contents(), changes: added }.into(),
        OsPackagesInstalled { sets: vec!["debian-12".into()], contents: laid.contents(), changes }.into(),
        laid.into(),
        MachineRestarted { when: RestartWhen::Required, timeout_seconds: 1800 }.into(),
        MachineRestarted { when: RestartWhen::Always, timeout_seconds: 1800 }.into(),
        StandsAsBefore { differed: BTreeSet::from(["/etc/a was changed".to_owned()]), timeout_seconds: 600 }.into(),
        EtcdWell { program: "/opt/sealock/sealock/0.1.0/sealock".into(), members: 3, but: None, timeout_seconds: 300 }
            .into(),
    ]
}

fn of_time() -> StepKind {
    let servers = ["10.77.0.2", "ntp.plant.internal"].map(str::to_owned).into();
    TimeServers { servers, daemon: TimeDaemon::Chrony, timeout_seconds: 60 }.into()
}

/// A certificate that ends on a day, without its key: whatever is written of a step shows which it is.
const SHOWN: &str = concat!(
    "-----BEGIN CERTIFICATE-----\n",
    "MIIBhzCCAS6gAwIBAgIBKjAKBggqhkjOPQQDAjAjMSEwHwYDVQQDDBhwbGFudC03\n",
    "LWFwaXNlcnZlci1jbGllbnQwHhcNMjYxMTI3MTc1MzQ0WhcNMzYxMTI0MTc1MzQ0\n",
    "WjAjMSEwHwYDVQQDDBhwbGFudC03LWFwaXNlcnZlci1jbGllbnQwWTATBgcqhkjO\n",
    "PQIBBggqhkjOPQMBBwNCAATlF3NXWd2veOOJQN74Ca1kjJQircEKJEWH+cU0Pl50\n",
    "HGDbaB7dMzRqpMBWJeS8P80pbfAj5RDHVmgyKzrlHvHmo1MwUTAdBgNVHQ4EFgQU\n",
    "PyEB3GJBKo0j1ZcvY4To2e5lH1YwHwYDVR0jBBgwFoAUPyEB3GJBKo0j1ZcvY4To\n",
    "2e5lH1YwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiB5jhK5i5YX\n",
    "fbhvvzHklL6DXdFY60UlOmWb73gVsd0N4gIgIlEpgeHAC+YO/HxGem3uEnZvcDJm\n",
    "m8E3IsEVMW3qCIg=\n",
    "-----END CERTIFICATE-----\n",
);

/// What a control plane has whose etcd is elsewhere.
fn of_external_etcd() -> Vec<StepKind> {
    let client = |laid_only| EtcdClient { authority: "the authority\n".into(), certificate: SHOWN.into(), laid_only };
    vec![
        client(false).into(),
        client(true).into(),
        EtcdClaim {
            program: "/opt/sealock/sealock/0.1.0/sealock".into(),
            cluster: "plant-7".into(),
            endpoints: vec!["https://10.77.0.31:2379".into(), "https://10.77.0.32:2379".into()],
        }
        .into(),
    ]
}

/// An authority that somebody else has made.
fn supplied() -> BTreeMap<String, String> {
    [("/etc/kubernetes/pki/ca.crt".to_owned(), SHOWN.to_owned())].into()
}

/// What replaces the authorities of a cluster.
fn of_authorities(digest: &Digest) -> Vec<StepKind> {
    vec![
        AuthoritiesMade { old: authorities(3), supplied: BTreeMap::new() }.into(),
        AuthoritiesMade { old: authorities(1), supplied: supplied() }.into(),
        AuthoritiesSupplied { certificates: supplied(), service_accounts: None }.into(),
        AuthoritiesSupplied { certificates: supplied(), service_accounts: Some("the public key\n".into()) }.into(),
        Authorities {
            stage: Stage::Trust,
            control_plane: true,
            old: authorities(3),
            lost: BTreeSet::from([digest.clone()]),
            config: String::new(),
        }
        .into(),
        Authorities {
            stage: Stage::Issue,
            control_plane: true,
            old: authorities(3),
            lost: BTreeSet::new(),
            config: "kind: InitConfiguration\n".into(),
        }
        .into(),
        on_worker(Stage::Issue),
        on_worker(Stage::Drop),
        AuthoritiesPublished { alone: false, timeout_seconds: 300 }.into(),
        AuthoritiesPublished { alone: true, timeout_seconds: 300 }.into(),
        AuthoritiesForgotten {}.into(),
        Restarted {
            workload: Workload::StatefulSet,
            namespace: "shop".into(),
            name: "db".into(),
            because: "issue".into(),
            timeout_seconds: 600,
        }
        .into(),
        KubeletCertificate { node: "w1".into(), replaced: Some(digest.clone()), signed: None }.into(),
    ]
}

/// What an authority outside signs.
fn of_requests() -> Vec<StepKind> {
    let signed = |service_accounts_sent| CertificatesSigned {
        node: "cp1".into(),
        authorities: supplied(),
        certificates: [("/etc/kubernetes/pki/apiserver.crt".to_owned(), SHOWN.to_owned())].into(),
        service_accounts_sent,
    };
    let requested = |control_plane| CertificatesRequested {
        node: "cp1".into(),
        control_plane,
        etcd: control_plane,
        super_admin: control_plane,
        config: "kind: InitConfiguration\n".into(),
        serials: BTreeMap::new(),
    };
    let renewal = |made_only| Renewal {
        serials: authorities(1).into_keys().map(|path| (path, "1a:2b".into())).collect(),
        config: "kind: InitConfiguration\n".into(),
        made_only,
        signed: Some(signed(false)),
    };
    vec![
        requested(true).into(),
        requested(false).into(),
        signed(false).into(),
        signed(true).into(),
        renewal(false).into(),
        renewal(true).into(),
        KubeletCertificate { node: "w1".into(), replaced: None, signed: Some(SHOWN.into()) }.into(),
    ]
}

fn every_kind() -> Vec<Step> {
    let digest = Digest::sha256(b"");
    let kinds: Vec<StepKind> = vec![
        Claim { cluster: "plant-7".into(), running: None }.into(),
        File { path: "/etc/a".into(), content: "text\n".into(), mode: Mode::FILE, replaces: Some(digest.clone()) }
            .into(),
        Directory { path: "/etc/b".into(), mode: Mode::EXECUTABLE }.into(),
        Sysctl { settings: BTreeMap::from([("net.ipv4.ip_forward".into(), "1".into())]) }.into(),
        KernelModule { modules: vec!["overlay".into()] }.into(),
        HostsEntry { address: "10.77.0.2".into(), names: vec!["registry.lab".into()] }.into(),
        Component {
            name: "runc".into(),
            version: "v1.3.0".into(),
            artifact: Artifact { repository: "github.com/runc".into(), digest: digest.clone() },
            packing: Packing::Plain,
            files: vec![ComponentFile { member: "runc".into(), link: "/usr/local/sbin/runc".into() }],
            staged: false,
            replaces: BTreeMap::from([("/usr/local/sbin/runc".into(), digest.clone())]),
        }
        .into(),
        Unit {
            name: "containerd.service".into(),
            content: "[Service]\n".into(),
            drop_ins: BTreeMap::new(),
            running: true,
            restart_on: vec!["/etc/containerd/config.toml".into()],
            replaces: BTreeMap::new(),
        }
        .into(),
        Images { images: vec![Image { name: "registry.k8s.io/pause:3.10.2".into(), digest: digest.clone() }] }.into(),
        KubeadmPhase {
            command: KubeadmCommand::Init,
            phase: "certs all".into(),
            node: "cp1".into(),
            config: "kind: InitConfiguration\n".into(),
        }
        .into(),
        RoutedNetwork {
            address: "10.77.0.11".into(),
            pods: "10.244.0.0/24".into(),
            cluster_pods: "10.244.0.0/16".into(),
            services: "10.96.0.0/12".into(),
            mtu: 1500,
            peers: vec![Peer { address: "10.77.0.21".into(), pods: "10.244.1.0/24".into() }],
        }
        .into(),
        KeepsRunning { unit: "kubelet.service".into(), seconds: 10 }.into(),
        NodeReady {
            node: "cp1".into(),
            control_plane: true,
            version: None,
            containerd: None,
            lately: false,
            timeout_seconds: 300,
        }
        .into(),
        NodeReady {
            node: "w1".into(),
            control_plane: false,
            version: Some("v1.37.2".into()),
            containerd: Some("v2.4.2".into()),
            lately: true,
            timeout_seconds: 300,
        }
        .into(),
    ];
    let kinds = [
        kinds,
        of_an_upgrade(&digest),
        vec![Reset { cluster: "plant-7".into(), etcd_aside: None }.into()],
        of_a_backup(&digest),
        of_authorities(&digest),
        of_external_etcd(),
        of_an_adoption(&digest),
        of_a_way_back(),
        of_os_packages(&digest),
        vec![of_time()],
        of_a_member(),
        of_requests(),
    ]
    .concat();
    kinds.into_iter().enumerate().map(|(n, kind)| Step::new(format!("step-{n}"), kind)).collect()
}

fn of_an_upgrade(digest: &Digest) -> Vec<StepKind> {
    vec![
        EtcdSnapshot {
            program: "/opt/sealock/sealock/0.1.0/sealock".into(),
            before: "v1.37.2".into(),
            config: Some(digest.clone()),
        }
        .into(),
        Drained {
            node: "w1".into(),
            version: Some("v1.37.2".into()),
            force: false,
            delete_emptydir_data: true,
            timeout_seconds: 600,
        }
        .into(),
        Uncordoned { node: "w1".into() }.into(),
        RunAs { command: KubeadmCommand::Init, config: digest.clone(), version: "v1.37.2".into() }.into(),
        RolledOut {
            workload: Workload::DaemonSet,
            name: "kube-proxy".into(),
            image: "registry.k8s.io/kube-proxy:v1.37.2".into(),
            timeout_seconds: 600,
        }
        .into(),
        ServicesAnswer {
            kube_proxy: "registry.k8s.io/kube-proxy:v1.37.2".into(),
            api: [10, 96, 0, 1].into(),
            dns: [10, 96, 0, 10].into(),
            name: "kubernetes.default.svc.cluster.local".into(),
        }
        .into(),
    ]
}

fn of_an_adoption(digest: &Digest) -> Vec<StepKind> {
    let phases = vec!["preflight".into(), "kubelet-start".into()];
    vec![
        Claim { cluster: "plant-7".into(), running: Some(digest.to_string()) }.into(),
        RanBefore { command: KubeadmCommand::Join, phases, node: "w1".into(), config: digest.clone() }.into(),
    ]
}

fn of_a_way_back() -> Vec<StepKind> {
    let since = || "v1.36.3 of release 1, plan 3f2a91c0d4e7".to_owned();
    vec![
        Kept { since: since() }.into(),
        ObjectsKept { since: since() }.into(),
        TakenBack { since: since() }.into(),
        ObjectsBack { since: since() }.into(),
    ]
}

fn of_a_member() -> Vec<StepKind> {
    let (program, peer_url) = ("/opt/sealock/sealock/0.1.0/sealock".to_owned(), "https://10.77.0.12:2380".to_owned());
    let removed = MemberRemoved { program: program.clone(), id: "8e9e05c52164694d".into(), peer_url: peer_url.clone() };
    vec![
        removed.into(),
        MemberAside { path: "/var/lib/etcd".into(), name: "etcd.2026-11-26T06-48-02Z".into() }.into(),
        ApiServerBack { timeout_seconds: 600 }.into(),
        MembersAgree { program, peer_url, timeout_seconds: 600 }.into(),
    ]
}

fn of_a_backup(digest: &Digest) -> Vec<StepKind> {
    let folder = format!("/var/lib/sealock/node/restore/{}", digest.hex());
    let file = BackupFile {
        source: "kubernetes/pki/ca.key".into(),
        path: "/etc/kubernetes/pki/ca.key".into(),
        digest: digest.clone(),
        mode: Mode::PRIVATE,
    };
    let restored = EtcdRestored {
        snapshot: format!("{folder}/etcd/snapshot.db"),
        digest: digest.clone(),
        etcdutl: format!("{folder}/programs/etcdutl"),
        data: "/var/lib/etcd".into(),
        member: "cp1".into(),
        peer_url: "https://10.77.0.11:2380".into(),
        initial_cluster: "cp1=https://10.77.0.11:2380".into(),
        token: "restored-e3b0c44298fc".into(),
        bump_revision: 1_000_000_000,
        run: "e3b0c44298fc".into(),
    };
    vec![
        BackupFiles { folder: folder.clone(), files: vec![file] }.into(),
        EtcdFromBackup { image: "registry.k8s.io/etcd:3.6.8-0".into(), folder, restored }.into(),
        KubeletRegistered { run: "e3b0c44298fc".into() }.into(),
        StaleNodes { before: "2026-11-26T10:00:00Z".parse().unwrap(), stay: vec!["cp1".into()] }.into(),
    ]
}

#[test]
fn a_person_reads_one_line_per_step() {
    let lines: Vec<String> = every_kind().iter().map(|step| format!("{step} [{}]", step.class())).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_json_is_canonical_and_reads_back() {
    let steps = every_kind();
    let text = jcs::to_vec(&steps).unwrap();
    let again: Vec<Step> = jcs::from_slice(&text, &Limits::DOCUMENT).unwrap();
    assert_eq!(again, steps);
    insta::assert_json_snapshot!(steps);
}

#[test]
fn an_unknown_field_is_refused() {
    let text = r#"{"id":"a","action":{"kind":"claim","cluster":"c","force":true}}"#;
    assert!(serde_json::from_str::<Step>(text).is_err());
}
