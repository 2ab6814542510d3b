//! Taking over a cluster that others made: what is in the way, each by its field, and the plan where nothing is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sealock_cluster::adoption::{
    HostTold, Running, Told, Wanted, changes, compare, draft, kept_of, nodes_of, runtime_of,
};
use sealock_cluster::plan::plan_giving_back;
use sealock_cluster::plan::{Printed, Taken, plan_adoption};
use sealock_cluster::release::ReleaseView;
use sealock_cluster::{Inventory, Plan, PlanError, plan_reset};
use sealock_node::StepKind;
use sealock_node::facts::{CertificateFact, Kubernetes};
use sealock_trust::Digest;
use sealock_trust::reason::Code;
use serde_json::{Value, json};

use crate::fixture::{
    self, ONE_AND_ONE, THREE_AND_THREE, bare_hosts, cluster, joined, kubernetes_images, plan_of, registry, release,
    with_intent,
};

/// What containerd makes of Sealock's configuration, shortened.
const OURS: &str = "version = 4\nroot = '/var/lib/containerd'\nstate = '/run/containerd'\n[plugins.'io.containerd.cri.v1.images']\n\
    snapshotter = 'overlayfs'\n[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'registry.k8s.io/pause:3.10.2'\n\
    [plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dirs = ['/opt/cni/bin']\n\
    [plugins.'io.containerd.nri.v1.nri']\ndisable = false\n\
    [plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = 'runc'\n\
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n\
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nBinaryName = '/usr/local/sbin/runc'\nSystemdCgroup = true\n";
const KUBELET: &str = "cgroupDriver: cgroupfs\nfailCgroupV1: false\nfailSwapOn: true\n";
const KUBEADM: &str = "kubernetesVersion: v1.36.3\nclusterName: hall-7\ncertificatesDir: /etc/kubernetes/pki\n\
    imageRepository: registry.k8s.io\netcd: {local: {dataDir: /var/lib/etcd}}\nnetworking: {podSubnet: 10.244.0.0/16, \
    serviceSubnet: 10.96.0.0/12, dnsDomain: cluster.local}\napiServer: {}\n";

fn spec() -> String {
    ONE_AND_ONE.replace("  hosts:\n", "  network: {cni: none}\n  hosts:\n")
}

/// Hosts with programs of others, as nodes of a cluster that others made.
fn hosts() -> Inventory {
    let mut inventory = bare_hosts();
    for one in inventory.hosts.values_mut() {
        one.facts.kubernetes = Kubernetes::Foreign { evidence: vec!["/etc/kubernetes/kubelet.conf".into()] };
        let others = ["/usr/bin/kubelet", "/etc/containerd/config.toml", "/etc/systemd/system/kubelet.service"];
        let others = others.into_iter().chain(["/opt/cni/bin/loopback"]);
        one.facts.foreign = others.map(|path| (path.to_owned(), Digest::sha256(path.as_bytes()))).collect();
    }
    inventory
}

fn certificate(path: &str, renewable: bool, not_after: Timestamp) -> CertificateFact {
    CertificateFact {
        path: path.into(),
        name: "kube-apiserver".into(),
        serial: "01".into(),
        not_after,
        authority: false,
        renewable,
        digest: None,
        issued_by: None,
    }
}

fn node(name: &str, address: &str) -> Value {
    let (mut labels, mut taints) = (json!({"zone": "hall-2"}), json!([]));
    if name.starts_with("cp") {
        labels = json!({"node-role.kubernetes.io/control-plane": ""});
        taints = json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]);
    }
    json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints},
        "status": {
            "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {
                "machineID": Digest::sha256(name.as_bytes()).hex()[..32],
                "kubeletVersion": "v1.36.3",
                "containerRuntimeVersion": "containerd://2.4.2",
            },
        },
    })
}

/// What it makes of its own, where nobody chose another runc.
fn dumped() -> String {
    OURS.replace("BinaryName = '/usr/local/sbin/runc'", "BinaryName = ''")
}

struct Cluster {
    kubeadm: String,
    kubelet: String,
    version: String,
    control_plane: String,
    proxy: String,
    nodes: Vec<Value>,
    host: HostTold,
    inventory: Inventory,
    spec: String,
}

impl Cluster {
    /// One that can be taken over.
    fn well() -> Self {
        let host = HostTold {
            runc: "runc version 1.3.3+ds1\n".into(),
            containerd_command: "/usr/bin/containerd\n".into(),
            containerd: dumped(),
            containerd_ours: OURS.into(),
            containerd_files: "started 1000\n900 /etc/containerd/config.toml\n".into(),
            containerd_unit: "[Service]\nExecStart=/usr/bin/containerd\nLimitNOFILE=65536\n".into(),
            kubelet_unit: "[Service]\nExecStart=/usr/bin/kubelet\n".into(),
            kubelet_variables: String::new(),
            kubelet_config: KUBELET.into(),
            drop_ins: "DropInPaths=/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf\nDropInPaths=\n".into(),
            kubelet: "/usr/bin/kubelet\n--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf\n\
                --kubeconfig=/etc/kubernetes/kubelet.conf\n--config=/var/lib/kubelet/config.yaml\n--node-ip=10.77.0.11\n"
                .into(),
            kubelet_flags: "KUBELET_KUBEADM_ARGS=\"--node-ip=10.77.0.11\"\n".into(),
            registries: "_default\n".into(),
        };
        let nodes = vec![node("cp1", "10.77.0.11"), node("w1", "10.77.0.21")];
        Self {
            kubeadm: KUBEADM.into(),
            kubelet: KUBELET.into(),
            version: "v1.36.3".into(),
            control_plane: "etcd registry.k8s.io/etcd:3.6.10-0\n\
                kube-controller-manager registry.k8s.io/kube-controller-manager:v1.36.3\n\
                kube-scheduler registry.k8s.io/kube-scheduler:v1.36.3@sha256:00\n"
                .into(),
            proxy: "mode: nftables\n".into(),
            nodes,
            host,
            inventory: hosts(),
            spec: spec(),
        }
    }

    fn running(&self) -> Result<Running, PlanError> {
        let map = |key: &str, text: &str| json!({"data": {key: text}}).to_string().into_bytes();
        let hosts = ["cp1", "w1"].map(|name| (name.to_owned(), self.host.clone()));
        Running::read(Told {
            kubeadm: map("ClusterConfiguration", &self.kubeadm),
            kube_proxy: if self.proxy.is_empty() { Vec::new() } else { map("config.conf", &self.proxy) },
            kubelet: map("kubelet", &self.kubelet),
            version: json!({"gitVersion": self.version}).to_string().into_bytes(),
            control_plane: self.control_plane.clone(),
            nodes: json!({"items": self.nodes}).to_string().into_bytes(),
            images: "nginx:1.22.1\nquay.io/team/app@sha256:00\nregistry.k8s.io/pause:3.10.2\nteam/app\n".into(),
            server: "server: https://10.77.0.11:6443\n".into(),
            authority: Vec::new(),
            hosts: hosts.into_iter().collect(),
        })
    }

    /// What is in the way, a line each.
    fn in_the_way(&self) -> String {
        let (cluster, release) = (cluster(&self.spec), release());
        let (release, now) = (ReleaseView::new(&release), Timestamp::UNIX_EPOCH);
        let wanted = Wanted { cluster: &cluster, inventory: &self.inventory, release, now };
        let found = compare(&self.running().unwrap(), wanted);
        found.iter().map(|one| format!("{one}\n")).collect()
    }
}

fn in_the_way(change: impl FnOnce(&mut Cluster)) -> String {
    let mut cluster = Cluster::well();
    change(&mut cluster);
    cluster.in_the_way()
}

fn taken(runtimes: BTreeMap<String, BTreeMap<String, String>>) -> Taken {
    let kept = BTreeMap::from([("containerd.service".to_owned(), "[Service]\nLimitNOFILE=65536\n".to_owned())]);
    let kept = BTreeMap::from([("w1".to_owned(), kept)]);
    Taken { authority: Digest::sha256(b"authority").to_string(), runtimes, kept }
}

fn adoption(text: &str, inventory: &Inventory) -> Result<Plan, PlanError> {
    let (cluster, release, running) = (cluster(text), release(), Cluster::well().running()?);
    // All of them run the same.
    let runtime = runtime_of(&running, cluster.host("cp1").unwrap());
    let runtimes = cluster.hosts().iter().map(|host| (host.name.to_string(), runtime.clone())).collect();
    with_intent((&cluster, &release, &kubernetes_images()), |intent| {
        plan_adoption(&intent, &taken(runtimes), inventory)
    })
}

#[test]
fn nothing_is_in_the_way_of_a_cluster_that_is_what_the_spec_says() {
    assert_eq!(Cluster::well().in_the_way(), "");
    // Named for what it is reached by, where nobody gave it another name.
    let named = KUBEADM.to_owned() + "controlPlaneEndpoint: 10.77.0.11:6443\n";
    assert_eq!(in_the_way(|cluster| cluster.kubeadm = named), "");
}

#[test]
fn every_field_that_differs_is_named_with_both_values() {
    let text = in_the_way(|cluster| {
        let kubeadm = KUBEADM.replace("v1.36.3", "v1.36.2").replace("10.244.0.0/16", "10.245.0.0/16");
        let kubeadm = kubeadm.replace("10.96.0.0/12", "10.112.0.0/12").replace("cluster.local", "plant.local");
        cluster.kubeadm = kubeadm + "controlPlaneEndpoint: api.plant:6443\n";
        cluster.proxy = "mode: \"\"\n".into();
        cluster.version = "v1.36.4".into();
        cluster.control_plane = cluster.control_plane.replace("scheduler:v1.36.3", "scheduler:v1.35.0");
        cluster.kubelet = KUBELET.replace("failCgroupV1: false", "failCgroupV1: true");
        cluster.host.kubelet_config = KUBELET.replace("cgroupDriver: cgroupfs\n", "");
        cluster.spec =
            spec().replace("6443}", "6443, certSANs: [api.plant-7]}").replace("{cni: none}", "{cni: routed}");
    });
    insta::assert_snapshot!("fields", text);
}

#[test]
fn what_cannot_be_taken_over_is_named() {
    let text = in_the_way(|cluster| {
        cluster.kubeadm = KUBEADM
            .replace("local: {dataDir: /var/lib/etcd}", "external: {endpoints: [\"https://10.77.0.5:2379\"]}")
            .replace("/etc/kubernetes/pki", "/etc/pki/kubernetes")
            .replace("registry.k8s.io", "harbor.plant/k8s");
        cluster.proxy.clear();
        let pair = "{certFile: ca.crt, keyFile: ca.key}";
        let pki = format!("  pki: {{supplied: {{kubernetes: {pair}, frontProxy: {pair}, etcd: {pair}}}}}\n  hosts:");
        cluster.spec = spec().replacen("  hosts:", &pki, 1);
        cluster.nodes.push(node("cp2", "10.77.0.12"));
        cluster.nodes[1]["status"]["nodeInfo"]["containerRuntimeVersion"] = json!("cri-o://1.36.0");
        cluster.nodes[1]["status"]["conditions"] = json!([{"type": "Ready", "status": "Unknown"}]);
        cluster.nodes[1]["status"]["nodeInfo"]["machineID"] = json!("0".repeat(32));
        cluster.nodes[1]["metadata"]["labels"] = json!({"zone": "hall-3"});
        cluster.nodes[1]["spec"]["taints"] = json!([
            {"key": "gpu", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-11-20T00:00:00Z"},
        ]);
    });
    insta::assert_snapshot!("not_taken_over", text);
}

#[test]
fn what_others_configured_on_a_host_is_named() {
    let text = in_the_way(|cluster| {
        let dumped =
            dumped().replace("/var/lib/containerd", "/data/containerd").replace("Cgroup = true", "Cgroup = false");
        let dumped = dumped.replace("['/opt/cni/bin']", "['/opt/cni/bin', '/data/cni']");
        let dumped = dumped
            .replace("io.containerd.runc.v2", "io.containerd.runsc.v1")
            .replace("disable = false", "disable = true");
        let more = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.kata]\nruntime_type = 'kata'\n\
            [proxy_plugins.stargz]\ntype = 'snapshot'\n[plugins.'io.containerd.cri.v1.images'.registry.configs.harbor.auth]\n\
            password = 'hidden'\n";
        cluster.host.containerd = dumped + more;
        cluster.host.containerd_files.push_str("1700 /etc/containerd/conf.d/90.toml\n");
        cluster.host.containerd_command.push_str("--log-level\nwarn\n");
        cluster.host.containerd_unit.push_str("Environment=HTTPS_PROXY=http://proxy:3128\n");
        cluster.host.runc = "runc version 1.1.5+ds1\n".into();
        cluster.host.drop_ins.push_str("DropInPaths=/etc/systemd/system/containerd.service.d/http-proxy.conf\n");
        cluster.host.kubelet.push_str("--max-pods=250\n");
        cluster.host.registries = "_default\ndocker.io\n".into();
        let not_after = "1970-01-20T00:00:00Z".parse().unwrap();
        let facts = &mut cluster.inventory.hosts.get_mut("cp1").unwrap().facts;
        facts.certificates = vec![
            certificate("/etc/kubernetes/pki/apiserver.crt", true, not_after),
            certificate("/var/lib/kubelet/pki/kubelet-client-current.pem", false, not_after),
        ];
    });
    assert!(!text.contains("hidden"), "{text}");
    insta::assert_snapshot!("configured_by_others", text);
}

#[test]
fn hosts_and_nodes_have_to_be_the_same() {
    let text = in_the_way(|cluster| {
        cluster.nodes[1] = node("w9", "10.77.0.29");
        cluster.nodes[0]["status"]["addresses"] = json!([{"type": "InternalIP", "address": "10.77.0.99"}]);
        cluster.inventory.hosts.get_mut("cp1").unwrap().facts.kubernetes = joined("plant-8");
    });
    insta::assert_snapshot!("hosts_and_nodes", text);
}

#[test]
fn a_runtime_that_does_not_say_what_it_is_is_not_taken_over() {
    let text = in_the_way(|cluster| {
        cluster.host.runc.clear();
        cluster.host.containerd.clear();
        cluster.host.kubelet.clear();
    });
    let said = [
        "cp1: the version of runc is not told",
        "cp1: containerd is not there under that name",
        "w1: kubelet is not there under that name",
    ];
    assert!(said.iter().all(|one| text.contains(one)), "{text}");
    let damaged = Cluster { kubeadm: "networking: [".into(), ..Cluster::well() }.running().unwrap_err();
    assert_eq!(damaged.to_string(), "ClusterConfiguration in the ConfigMap kubeadm-config cannot be read");
}

#[test]
fn images_are_looked_for_under_their_full_names() {
    let running = Cluster::well().running().unwrap();
    let names: Vec<&str> = running.images().collect();
    let full = ["docker.io/library/nginx:1.22.1", "docker.io/team/app:latest", "quay.io/team/app@sha256:00"];
    assert_eq!(names, [&full[..], &["registry.k8s.io/pause:3.10.2"]].concat());
}

#[test]
fn one_node_after_the_other_is_taken_over_as_it_runs() {
    let plan = adoption(&spec(), &hosts()).unwrap();
    insta::assert_snapshot!("adopt_one_and_one", Printed { plan: &plan, assessment: None }.to_string());
    let after = |id: &str| plan.task(id).unwrap().after.clone();
    assert_eq!(after("cp1/adopt"), ["cp1/snapshot"]);
    assert_eq!(after("w1/adopt"), ["cp1/ready-cp1"]);
    assert_eq!(plan, Plan::from_json(&plan.to_json().unwrap()).unwrap());
}

/// Three control planes and a worker, of which `cp2` is where somebody ran `kubeadm init`.
fn three_and_one() -> (String, Inventory) {
    let text = fixture::spec(&THREE_AND_THREE[..4]).replace("10.77.0.11:6443", "10.77.0.10:6443");
    let text = text.replace("  hosts:\n", "  network: {cni: none}\n  hosts:\n");
    let mut inventory = fixture::nodes(&text, "v1.36.3");
    for one in inventory.hosts.values_mut() {
        one.facts.kubernetes = Kubernetes::Foreign { evidence: vec!["/etc/kubernetes/kubelet.conf".into()] };
        one.facts.components.clear();
    }
    let far = "2027-11-20T00:00:00Z".parse().unwrap();
    let certificates = &mut inventory.hosts.get_mut("cp2").unwrap().facts.certificates;
    certificates.push(certificate("/etc/kubernetes/super-admin.conf", true, far));
    (text, inventory)
}

/// What ran on each host by the plan: the command, and how many of its phases.
fn ran(plan: &Plan) -> Vec<(&str, &str, usize)> {
    let mut all = Vec::new();
    for task in &plan.tasks {
        all.extend(task.steps.iter().filter_map(|step| match &step.action {
            StepKind::RanBefore(one) => Some((task.host.as_str(), one.command.as_str(), one.phases.len())),
            _ => None,
        }));
    }
    all
}

#[test]
fn of_several_control_planes_one_comes_after_the_other_with_all_members_of_etcd_well() {
    let (text, inventory) = three_and_one();
    let plan = adoption(&text, &inventory).unwrap();
    let after = |id: &str| plan.task(id).unwrap().after.clone();
    assert_eq!(after("cp1/adopt"), ["cp1/snapshot"]);
    assert_eq!(after("cp2/adopt"), ["cp1/ready-cp1"]);
    assert_eq!(after("cp3/adopt"), ["cp1/ready-cp2"]);
    assert_eq!(after("w1/adopt"), ["cp1/ready-cp3"]);
    let looks = |id: &str| plan.task(id).unwrap().steps.iter().map(|step| step.id.clone()).collect::<Vec<_>>();
    for plane in ["cp1", "cp2", "cp3"] {
        assert_eq!(looks(&format!("cp1/ready-{plane}")), ["ready", "etcd/well"]);
    }
    assert_eq!(looks("cp1/ready-w1"), ["ready"]);
    let made = [("cp1", "join", 7), ("cp2", "init", 12), ("cp3", "join", 7), ("w1", "join", 3)];
    assert_eq!(ran(&plan), made);
}

/// The machine of `kubeadm init` was replaced long ago: what is left of several has joined.
#[test]
fn of_several_control_planes_none_need_be_where_the_cluster_began() {
    let (text, mut inventory) = three_and_one();
    inventory.hosts.get_mut("cp2").unwrap().facts.certificates.clear();
    let plan = adoption(&text, &inventory).unwrap();
    assert!(ran(&plan).iter().all(|(_, command, _)| *command == "join"));
}

#[test]
fn every_api_server_has_the_version() {
    let text = in_the_way(|cluster| {
        let servers = "kube-apiserver registry.k8s.io/kube-apiserver:v1.36.3\n\
            kube-apiserver registry.k8s.io/kube-apiserver:v1.35.4\n";
        cluster.control_plane.push_str(servers);
    });
    assert_eq!(text, "cluster: the version of kube-apiserver is v1.35.4, and the spec says v1.36.3\n");
}

#[test]
fn what_runs_containers_stays_in_its_version() {
    let plan = adoption(&spec(), &hosts()).unwrap();
    let steps = plan.tasks.iter().flat_map(|task| &task.steps);
    let components: Vec<String> = steps
        .filter_map(|step| match &step.action {
            StepKind::Component(one) => Some(format!("{} {}", one.name, one.version)),
            _ => None,
        })
        .collect();
    assert!(components.contains(&"containerd v2.4.2".to_owned()), "the release's newest is v2.4.10: {components:?}");
    assert!(!components.iter().any(|one| one.starts_with("cni-plugins")), "the pod network's own stay: {components:?}");
}

#[test]
fn a_host_of_another_cluster_is_not_taken_over() {
    let mut inventory = hosts();
    inventory.hosts.get_mut("w1").unwrap().facts.kubernetes = joined("plant-8");
    let refused = adoption(&spec(), &inventory).unwrap_err();
    assert_eq!(refused.code(), Some(Code::Foreign));
    assert!(refused.to_string().contains("the host belongs to cluster plant-8"), "{refused}");
    inventory.hosts.get_mut("w1").unwrap().facts.kubernetes = joined("plant-7");
    inventory.hosts.get_mut("cp1").unwrap().clock_ahead_ms = 90_000;
    assert!(matches!(adoption(&spec(), &inventory).unwrap_err(), PlanError::Gates(_)));
}

/// Nothing of the release comes to a cluster before it is taken over, and an apply would be refused until then.
#[test]
fn what_hosts_lack_is_installed_before_their_cluster_is_taken_over() {
    let mut inventory = hosts();
    inventory.hosts.get_mut("w1").unwrap().facts.missing_programs = vec!["nft".into()];
    let refused = adoption(&spec(), &inventory).unwrap_err();
    assert_eq!(refused.code(), Some(Code::Preflight));
    let hint = "install nftables there (the packages of Debian and Ubuntu that bring nft)";
    assert_eq!(refused.hint().as_deref(), Some(hint));
}

/// Plugins that somebody else's pod network calls stay as they are, on a node; a bare host gets them in the place of whatever is there.
#[test]
fn an_apply_leaves_the_plugins_of_a_pod_network_of_others_alone() {
    let has_plugins = |inventory: &Inventory| {
        let plan = plan_of(&spec(), inventory).unwrap();
        plan.task("w1/prepare").unwrap().steps.iter().any(|step| step.id == "component/cni-plugins")
    };
    let mut inventory = hosts();
    for one in inventory.hosts.values_mut() {
        one.facts.kubernetes = joined("plant-7");
    }
    assert!(!has_plugins(&inventory));
    inventory.hosts.get_mut("w1").unwrap().facts.foreign.clear();
    assert!(has_plugins(&inventory));
}

/// What Sealock sets on every node whatever was there is told, and is no obstacle.
#[test]
fn what_becomes_something_else_is_told_once_with_its_hosts() {
    let told: Vec<String> = changes(&Cluster::well().running().unwrap()).iter().map(ToString::to_string).collect();
    let runc = "plugins.io.containerd.cri.v1.runtime.containerd.runtimes.runc.options.BinaryName";
    assert_eq!(told, [format!("containerd's {runc} is \"\", and becomes \"/usr/local/sbin/runc\" (cp1, w1)")]);
}

/// Limits that somebody gave a unit hold on, and come before the unit is started anew.
#[test]
fn limits_of_units_of_others_hold_on() {
    let told = Cluster::well().running().unwrap();
    let kept = kept_of(&told, &cluster(&spec()).hosts()[1]);
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["containerd.service"]);
    assert!(kept["containerd.service"].ends_with("[Service]\nLimitNOFILE=65536\n"));
    let plan = adoption(&spec(), &hosts()).unwrap();
    let steps = &plan.task("w1/adopt").unwrap().steps;
    let at = |id: &str| steps.iter().position(|step| step.id == id).unwrap();
    assert_eq!(at("containerd/kept") + 1, at("containerd/unit"));
}

/// Hosts that were not claimed stay what they are; those of no adoption are refused.
#[test]
fn a_cluster_that_is_half_taken_over_is_given_back() {
    let (cluster, release, registry) = (cluster(&spec()), release(), registry());
    let open = adoption(&spec(), &hosts()).unwrap();
    let mut half = hosts();
    half.hosts.get_mut("cp1").unwrap().facts.kubernetes = joined("plant-7");
    let reset = |inventory: &Inventory, open: Option<&Plan>| plan_reset(&cluster, &release, &registry, inventory, open);
    assert_eq!(reset(&half, None).unwrap_err().code(), Some(Code::Foreign));
    let plan = reset(&half, Some(&open)).unwrap();
    assert_eq!(plan.tasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["w1/reset", "cp1/reset"]);
    reset(&hosts(), Some(&open)).unwrap();
    // Another machine has come in its place.
    half.hosts.get_mut("w1").unwrap().facts.machine_id = "0".repeat(32);
    assert_eq!(reset(&half, Some(&open)).unwrap_err().code(), Some(Code::Foreign));
}

/// A removal that was cut off behind the giving back goes on: the host is nobody's by then, and has a Kubernetes of others.
#[test]
fn a_host_that_was_taken_over_and_given_back_leaves_by_the_same_command() {
    let (cluster, release, registry) = (cluster(&spec()), release(), registry());
    let back =
        |inventory: &Inventory, begun: Option<&Plan>| plan_giving_back(&cluster, &release, &registry, inventory, begun);
    let mut ours = hosts();
    for host in ours.hosts.values_mut() {
        host.facts.kubernetes = joined("plant-7");
    }
    let begun = back(&ours, None).unwrap();
    assert_eq!(back(&hosts(), None).unwrap_err().code(), Some(Code::Foreign));
    assert_eq!(back(&hosts(), Some(&begun)).unwrap().tasks, begun.tasks);
    let mut other = hosts();
    other.hosts.get_mut("w1").unwrap().facts.machine_id = "0".repeat(32);
    assert_eq!(back(&other, Some(&begun)).unwrap_err().code(), Some(Code::Foreign));
}

/// What the cluster says of itself is a spec that nothing is in the way of.
#[test]
fn a_draft_is_what_the_cluster_is() {
    let dumped =
        dumped().replace("SystemdCgroup = true", "SystemdCgroup = false").replace("/run/containerd", "/run/ctr");
    let more = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.kata]\nruntime_type = 'kata'\n\
        [plugins.'io.containerd.cri.v1.images'.registry.configs.harbor.auth]\npassword = 'hidden'\n";
    let host = HostTold { containerd: dumped + more, ..Cluster::well().host };
    let told = Cluster { host, ..Cluster::well() }.running().unwrap();
    let ssh = cluster(ONE_AND_ONE).hosts()[1].ssh.clone();
    let reached = nodes_of(&told).into_iter().map(|(name, _)| (name, ssh.clone())).collect();
    let text = draft(&told, ("plant-7", "plant-7"), &reached).unwrap();
    insta::assert_snapshot!("draft", text);
    // Its hosts' labels are not the spec's to say, and its containerd is compared in its own test.
    let well = Cluster::well().running().unwrap();
    let text = draft(&well, ("plant-7", "plant-7"), &reached).unwrap();
    assert_eq!(in_the_way(|cluster| cluster.spec = text), "");
}
