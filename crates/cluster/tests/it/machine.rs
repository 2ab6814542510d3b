//! A machine by itself: the plan that prepares it, and the plan that gives it back.

use std::net::TcpListener;
use std::path::Path;

use jiff::Timestamp;
use sealock_cluster::machine::plan::EtcdFate;
use sealock_cluster::machine::{
    self, EtcdMember, Founding, JoinFile, MachineError, MachinePlan, Means, OwnNode, carry_out, plan,
};
use sealock_cluster::spec::{Cni, Network, Overrides};
use sealock_node::facts::{CertificateFact, ClusterNode, HostFacts, Kubernetes};
use sealock_node::fence::{Fence, FenceError};
use sealock_node::host::Local;
use sealock_node::runner::RunError;
use sealock_node::step::{BY_ITSELF, SetAside};
use sealock_node::{StepKind, journal};
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
        for refused in [prepare(true, &facts), plan::reset(&facts, EtcdFate::Absent)] {
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
    insta::assert_snapshot!(plan::reset(&facts(joined(BY_ITSELF)), EtcdFate::Absent).unwrap());
}

/// As `node prepare` leaves a machine.
fn prepared(control_plane: bool) -> HostFacts {
    let Kubernetes::Sealock(node) = joined(BY_ITSELF) else { panic!("it is a node") };
    let bare = ClusterNode { joined: false, control_plane: false, founded: false, complete: false, ..node };
    let mut facts = facts(Kubernetes::Sealock(bare));
    let programs = ["kubeadm", "kubelet"].into_iter().chain(control_plane.then_some("kubectl"));
    facts.components = programs.map(|program| (program.to_owned(), "v1.36.3".to_owned())).collect();
    facts
}

fn init(facts: &HostFacts, endpoint: &str, pods: &str) -> Result<MachinePlan, MachineError> {
    let (name, node, overrides) = ("plant-7".parse().unwrap(), "cp1".parse().unwrap(), overrides());
    let network = Network { pods: pods.parse().unwrap(), cni: Cni::None, ..Network::default() };
    let endpoint = endpoint.parse().unwrap();
    let founding = Founding { name: &name, endpoint: &endpoint, cert_sans: &[], network: &network };
    let address = "10.77.0.11".parse().unwrap();
    machine::init(&founding, &OwnNode { name: &node, address, runs_pods: false, overrides: &overrides }, facts)
}

fn join_file(control_plane: bool) -> JoinFile {
    let mut file = serde_json::json!({
        "format": "node-join/1.0", "cluster": "plant-7", "kubernetes": "v1.36.3", "endpoint": "api.plant-7.lab:6443",
        "caHash": format!("sha256:{}", "a1".repeat(32)), "token": "abcdef.0123456789abcdef",
        "expires": "2026-11-28T09:00:00Z",
    });
    if control_plane {
        let key = "c3".repeat(32);
        file["controlPlane"] = serde_json::json!({"certificateKey": key, "expires": "2026-11-27T11:00:00Z"});
    }
    JoinFile::from_json(file.to_string().as_bytes()).unwrap()
}

fn join(file: &JoinFile, control_plane: bool, facts: &HostFacts) -> Result<MachinePlan, MachineError> {
    let (node, overrides) = ("cp2".parse().unwrap(), overrides());
    let own = OwnNode { name: &node, address: "10.77.0.11".parse().unwrap(), runs_pods: false, overrides: &overrides };
    machine::join(file, &own, control_plane, (facts, "2026-11-27T10:00:00Z".parse().unwrap()))
}

#[test]
fn a_machine_begins_a_cluster_in_the_version_that_it_is_prepared_for() {
    let plan = init(&prepared(true), "api.plant-7.lab:6443", "10.244.0.0/16").unwrap();
    insta::assert_snapshot!(plan);
    let StepKind::KubeadmPhase(phase) = &plan.steps[0].action else { panic!("a phase") };
    insta::assert_snapshot!(phase.config);
}

#[test]
fn a_machine_joins_by_a_file_whose_secrets_stand_in_no_plan() {
    let worker = join(&join_file(false), false, &prepared(false)).unwrap();
    insta::assert_snapshot!(worker);
    let plane = join(&join_file(true), true, &prepared(true)).unwrap();
    insta::assert_snapshot!(plane);
    for plan in [worker, plane] {
        let text = serde_json::to_string(&plan).unwrap();
        assert!(text.contains("${secret:bootstrap-token}"), "{text}");
        assert!(!text.contains("0123456789abcdef") && !text.contains("c3c3"), "{text}");
    }
}

/// Nobody answers here: then kubeadm is not let near etcd.
#[test]
fn no_member_comes_to_etcd_before_the_others_were_asked() {
    let mut plan = join(&join_file(true), true, &prepared(true)).unwrap();
    plan.steps.retain(|step| step.id == "kubeadm/join/etcd-join");
    assert_eq!(plan.steps.len(), 1);
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("var/lib/sealock/node");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let host = Local::rooted(root.path());
    let refused = runtime.block_on(carry_out(&plan, Means::default(), &host, &folder, &|_| {})).unwrap_err();
    assert!(matches!(refused, MachineError::Host(_) | MachineError::Refused { .. }), "{refused}");
    let files = std::fs::read_dir(folder.join("journal")).unwrap();
    let records: Vec<_> = files.flat_map(|file| journal::read(&file.unwrap().path()).unwrap()).collect();
    assert!(!format!("{records:?}").contains("etcd-join"), "{records:?}");
}

#[test]
fn what_a_machine_cannot_begin_or_join_is_told() {
    let ready = || prepared(true);
    let mut node = ready();
    node.kubernetes = joined(BY_ITSELF);
    let mut other = ready();
    for version in other.components.values_mut() {
        *version = "v1.37.2".into();
    }
    let (name, own, pods) = ("api.plant-7.lab:6443", "10.77.0.11:6443", "10.244.0.0/16");
    let all = [
        (init(&facts(Kubernetes::None), name, pods), Code::Preflight, "node prepare"),
        (init(&prepared(false), name, pods), Code::Preflight, "--control-plane"),
        (init(&facts(joined("plant-7")), name, pods), Code::Foreign, "station"),
        (init(&node, name, pods), Code::Foreign, "node reset"),
        (init(&ready(), name, "10.77.0.0/16"), Code::Spec, "within"),
        (init(&ready(), name, "10.96.0.0/16"), Code::Spec, "--service-cidr"),
        (init(&ready(), "10.77.0.11:8443", pods), Code::Spec, "6443"),
        (join(&join_file(false), true, &ready()), Code::Spec, "invite --control-plane"),
        (join(&join_file(false), false, &other), Code::Spec, "v1.36.3"),
    ];
    for (refused, code, words) in all {
        let error = refused.expect_err(words);
        assert_eq!(error.code(), Some(code), "{error}");
        let said = format!("{error:?} {error} {}", error.hint().unwrap_or_default());
        assert!(said.contains(words), "{said}");
    }
    init(&ready(), own, pods).unwrap();
}

/// As far as kubeadm came before it was cut off, or all the way.
#[test]
fn a_machine_of_one_cluster_does_not_go_on_into_another() {
    let known_by = |hash: &str, joined: bool| {
        let mut facts = prepared(true);
        let Kubernetes::Sealock(node) = &mut facts.kubernetes else { panic!("it is prepared") };
        (node.ca_hash, node.joined, node.complete) = (Some(format!("sha256:{}", hash.repeat(32))), joined, joined);
        facts
    };
    for is_joined in [false, true] {
        join(&join_file(true), true, &known_by("a1", is_joined)).unwrap();
        let error = join(&join_file(true), true, &known_by("b2", is_joined)).unwrap_err();
        assert!(matches!(error, MachineError::OtherCluster { .. }), "{error}");
        assert_eq!(error.code(), Some(Code::Foreign));
        assert!(error.hint().unwrap().contains("node reset"));
        let begin = init(&known_by("a1", is_joined), "api.plant-7.lab:6443", "10.244.0.0/16").unwrap_err();
        assert_eq!(begin.code(), Some(Code::Foreign));
        let hint = begin.hint().unwrap();
        match is_joined {
            true => assert!(matches!(begin, MachineError::AlreadyNode), "{begin}"),
            // It may be somebody's own, and a reset would delete it.
            false => {
                assert!(begin.to_string().contains("/etc/kubernetes/pki/ca.crt") && hint.contains("move"), "{hint}");
            }
        }
    }
    let mut founded = known_by("a1", false);
    let Kubernetes::Sealock(node) = &mut founded.kubernetes else { panic!("it is prepared") };
    node.founded = true;
    init(&founded, "api.plant-7.lab:6443", "10.244.0.0/16").unwrap();
}

#[test]
fn who_may_not_invite_is_told_before_etcd_is_asked() {
    assert!(matches!(machine::invites(&prepared(true)), Err(MachineError::NoPlane)));
    assert!(matches!(machine::invites(&facts(joined("plant-7"))), Err(MachineError::Driven { .. })));
}

#[test]
fn a_node_is_deleted_under_the_name_that_its_cluster_has() {
    let mut facts = facts(joined(BY_ITSELF));
    facts.certificates.push(CertificateFact {
        path: "/var/lib/kubelet/pki/kubelet-client-current.pem".into(),
        name: "system:node:hall-2".into(),
        serial: "01".into(),
        not_after: "2027-11-27T10:00:00Z".parse().unwrap(),
        authority: false,
        renewable: false,
        digest: None,
        issued_by: None,
    });
    let plan = plan::reset(&facts, EtcdFate::Absent).unwrap();
    assert!(plan.to_string().contains("`kubectl delete node hall-2`"), "{plan}");
}

#[test]
fn data_that_nobody_may_delete_goes_aside() {
    let aside = SetAside { path: "/var/lib/etcd".into(), name: "etcd.2026-11-27T09-00-00Z".into() };
    insta::assert_snapshot!(plan::reset(&facts(joined(BY_ITSELF)), EtcdFate::KeptAside(aside)).unwrap());
}

/// A machine below a folder, whose member is to leave an etcd that only listens.
struct Leaving {
    root: tempfile::TempDir,
    others: TcpListener,
    plan: MachinePlan,
}

impl Leaving {
    fn new() -> Self {
        let others = TcpListener::bind("127.0.0.1:0").unwrap();
        others.set_nonblocking(true).unwrap();
        let url = format!("http://{}", others.local_addr().unwrap());
        let member =
            EtcdMember { id: "8e9e".parse().unwrap(), peer_url: "https://10.77.0.11:2380".into(), others: vec![url] };
        let plan = plan::reset(&facts(joined(BY_ITSELF)), EtcdFate::Leaves(member)).unwrap();
        Self { root: tempfile::tempdir().unwrap(), others, plan }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.root.path().join("var/lib/sealock/node")
    }

    fn reset(&self) -> MachineError {
        let (host, folder) = (Local::rooted(self.root.path()), self.folder());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let run = async {
            let reset = carry_out(&self.plan, Means::default(), &host, &folder, &|_| {});
            tokio::select! {
                done = reset => done.map(drop),
                () = self.is_asked() => Err(MachineError::MemberNotFound("the others are asked".into())),
            }
        };
        runtime.block_on(run).unwrap_err()
    }

    /// Ends when somebody connects.
    async fn is_asked(&self) {
        let listener = tokio::net::TcpListener::from_std(self.others.try_clone().unwrap()).unwrap();
        listener.accept().await.unwrap();
    }

    fn nobody_has_asked(&self) -> bool {
        self.others.accept().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

#[test]
fn no_member_leaves_while_another_run_holds_the_machine() {
    let leaving = Leaving::new();
    let held = Fence::claim(&leaving.folder(), 1, "this machine").unwrap();
    let refused = leaving.reset();
    let MachineError::Run(error) = &refused else { panic!("{refused}") };
    assert!(matches!(**error, RunError::Fence(FenceError::Busy)), "{error}");
    assert!(leaving.nobody_has_asked());
    drop(held);
    assert_eq!(leaving.reset().to_string(), MachineError::MemberNotFound("the others are asked".into()).to_string());
}

#[test]
fn no_member_leaves_where_the_journal_is_damaged() {
    let leaving = Leaving::new();
    let plan = Digest::sha256(&serde_json::to_vec(&leaving.plan).unwrap());
    let path = leaving.folder().join("journal").join(plan.hex());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, b"not a journal of this or any other plan").unwrap();
    let refused = leaving.reset();
    let MachineError::Run(error) = &refused else { panic!("{refused}") };
    assert!(matches!(**error, RunError::Journal(_)), "{error}");
    assert!(leaving.nobody_has_asked());
}

/// Whom to ask is written down, and that they are asked, before anything of it happens.
#[test]
fn a_leaving_that_is_cut_off_is_in_the_journal() {
    let leaving = Leaving::new();
    leaving.reset();
    let records = |path: &Path| journal::read(path).unwrap();
    let files = std::fs::read_dir(leaving.folder().join("journal")).unwrap();
    let all: Vec<String> =
        files.flat_map(|file| records(&file.unwrap().path())).map(|record| format!("{:?}", record.what)).collect();
    let place = |words: &str| all.iter().position(|record| record.contains(words)).unwrap_or_else(|| panic!("{all:?}"));
    assert!(place("Done { step: \"etcd/others\"") < place("Intent { step: \"etcd/leave\""), "{all:?}");
    let remembered = leaving.root.path().join("var/lib/sealock/node/plane-etcd-others");
    assert!(std::fs::read_to_string(remembered).unwrap().starts_with("https://10.77.0.11:2380\nhttp://127.0.0.1:"));
}

/// What the other plans did is taken back: their journals tell of nothing that is there.
#[test]
fn a_machine_that_was_given_back_has_the_journal_of_that_alone() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("var/lib/sealock/node");
    let journals = folder.join("journal");
    let (mut earlier, _) = journal::Journal::open(&journals, &Digest::sha256(b"an earlier plan")).unwrap();
    earlier.append(Timestamp::UNIX_EPOCH, journal::RecordKind::RunBegun { generation: 1 }).unwrap();
    std::fs::write(journals.join("notes"), "somebody's").unwrap();
    let plan = plan::reset(&facts(Kubernetes::None), EtcdFate::Absent).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let host = Local::rooted(root.path());
    for _ in 0..2 {
        runtime.block_on(carry_out(&plan, Means::default(), &host, &folder, &|_| {})).unwrap();
        let mut names: Vec<String> = std::fs::read_dir(&journals)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let own = Digest::sha256(&serde_json::to_vec(&plan).unwrap());
        assert_eq!(names, [own.hex(), "notes"]);
        assert!(!journal::is_open(&journal::read(&journals.join(own.hex())).unwrap()));
    }
}
