//! Plans as a person reviews them, and what makes them refused or stale.

use std::collections::BTreeMap;

use sealock_cluster::plan::{Assessment, Printed, plan_renewal, remarks};
use sealock_cluster::{Inventory, Plan, PlanError, plan_reset};
use sealock_node::facts::{CertificateFact, Kubernetes, OwnedFile};
use sealock_node::time::TimeDaemon;
use sealock_node::{Probe, StepKind};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::fixture::{
    ONE_AND_ONE, bare_hosts, cluster, joined, kubernetes_images, plan_of, plan_with, registry, release, with,
};

fn printed(plan: &Plan, assessment: Option<&Assessment>) -> String {
    Printed { plan, assessment }.to_string()
}

fn assessment(plan: &Plan, probe: impl Fn(&str, &str) -> Probe) -> Assessment {
    let probes = |task: &sealock_cluster::plan::Task| {
        task.steps.iter().map(|step| (step.id.clone(), probe(&task.id, &step.id))).collect::<BTreeMap<_, _>>()
    };
    Assessment { tasks: plan.tasks.iter().map(|task| (task.id.clone(), probes(task))).collect() }
}

#[test]
fn one_control_plane_and_one_worker_from_bare_hosts() {
    let plan = plan_of(ONE_AND_ONE, &bare_hosts()).unwrap();
    insta::assert_snapshot!("one_and_one", printed(&plan, None));
}

#[test]
fn the_files_that_a_plan_writes() {
    let plan = plan_of(ONE_AND_ONE, &bare_hosts()).unwrap();
    let steps = plan.tasks.iter().flat_map(|task| task.steps.iter().map(move |step| (&task.id, step)));
    let mut text = String::new();
    for (task, step) in steps {
        let content = match &step.action {
            StepKind::File(file) if task == "cp1/prepare" => &file.content,
            StepKind::KubeadmPhase(phase) if phase.phase == "preflight" => &phase.config,
            _ => continue,
        };
        text.push_str(&format!("=== {task} {}\n{content}\n", step.id));
    }
    insta::assert_snapshot!("files", text);
}

#[test]
fn a_plan_that_was_cut_off_shows_what_is_done_and_what_is_in_the_way() {
    let plan = plan_of(ONE_AND_ONE, &bare_hosts()).unwrap();
    let probes = assessment(&plan, |task, step| match (task, step) {
        ("cp1/prepare", _) => Probe::Done,
        ("w1/prepare", "containerd/config") => {
            Probe::foreign("/etc/containerd/config.toml was written by someone else")
        }
        ("w1/prepare", "images") => Probe::unknown("ctr does not answer"),
        _ => Probe::not_done("it has not run"),
    });
    assert!(!probes.all_done(&plan));
    assert_eq!(probes.obstacles(&plan).len(), 1);
    insta::assert_snapshot!("cut_off", printed(&plan, Some(&probes)));
}

#[test]
fn nothing_is_to_be_done_where_every_step_is() {
    let plan = plan_of(ONE_AND_ONE, &bare_hosts()).unwrap();
    let probes = assessment(&plan, |_, _| Probe::Done);
    assert!(probes.all_done(&plan));
    assert!(
        printed(&plan, Some(&probes)).ends_with("0 of 50 steps to do on 2 hosts, 50 done.\n"),
        "{}",
        printed(&plan, Some(&probes))
    );
    // What was not asked is not taken for done.
    assert!(!Assessment::default().all_done(&plan));
}

#[test]
fn a_reset_takes_the_workers_first() {
    let plan = plan_reset(&cluster(ONE_AND_ONE), &release(), &registry(), &bare_hosts(), None).unwrap();
    insta::assert_snapshot!("reset", printed(&plan, None));
}

#[test]
fn three_control_planes_join_one_after_the_other() {
    let plan = plan_of(&three_planes(), &four_hosts()).unwrap();
    let after = |task: &str| plan.task(task).unwrap().after.join(" ");
    assert_eq!(after("cp2/join"), "cp2/prepare cp1/init");
    assert_eq!(after("cp3/join"), "cp3/prepare cp2/join");
    assert_eq!(after("w1/join"), "w1/prepare cp1/init");
    assert_eq!(after("cp1/ready"), "cp1/init cp2/join cp3/join w1/join");
    let ranges: Vec<String> = plan.pod_ranges().values().map(ToString::to_string).collect();
    assert_eq!(ranges, ["10.244.0.0/24", "10.244.2.0/24", "10.244.3.0/24", "10.244.1.0/24"]);
}

#[test]
fn where_the_first_control_plane_has_left_whoever_comes_joins_the_others() {
    let mut hosts = four_hosts();
    for name in ["cp2", "cp3", "w1"] {
        let mut node = joined("plant-7");
        if let Kubernetes::Sealock(node) = &mut node {
            node.control_plane = name != "w1";
        }
        hosts.hosts.get_mut(name).unwrap().facts.kubernetes = node;
    }
    let plan = plan_of(&three_planes(), &hosts).unwrap();
    assert_eq!(plan.speaker().unwrap().name, "cp2");
    assert!(plan.task("cp1/init").is_none() && plan.task("cp2/init").is_none(), "there is a cluster already");
    let after = |task: &str| plan.task(task).unwrap().after.join(" ");
    assert_eq!(after("cp1/join"), "cp1/prepare");
    assert_eq!(after("cp2/join"), "cp2/prepare cp1/join");
    assert_eq!(after("w1/join"), "w1/prepare");
    assert_eq!(plan.task("cp2/ready").unwrap().host, "cp2");
}

#[test]
fn certificates_are_renewed_on_one_control_plane_after_the_other() {
    let mut hosts = four_hosts();
    let renewal = |hosts: &Inventory| {
        plan_renewal(&cluster(&three_planes()), (&release(), &registry()), hosts, ("/opt/sealock/sealock", None))
    };
    let nothing = renewal(&hosts).unwrap_err();
    assert!(matches!(nothing, PlanError::NoCertificates { .. }), "{nothing}");
    for name in ["cp1", "cp2", "cp3", "w1"] {
        let facts = &mut hosts.hosts.get_mut(name).unwrap().facts;
        facts.kubernetes = joined("plant-7");
        let file = |path: &str, renewable: bool| CertificateFact {
            path: path.into(),
            name: "a".into(),
            serial: format!("01:{name}"),
            not_after: jiff::Timestamp::UNIX_EPOCH,
            authority: !renewable,
            renewable,
            digest: None,
            issued_by: None,
        };
        let path = "/etc/kubernetes/pki/apiserver.crt";
        facts.certificates = vec![file(path, name != "w1"), file("/etc/kubernetes/pki/ca.crt", false)];
    }
    let plan = renewal(&hosts).unwrap();
    let tasks: Vec<String> = plan.tasks.iter().map(|task| format!("{} {}", task.id, task.after.join(" "))).collect();
    assert_eq!(tasks, ["cp1/renew ", "cp2/renew cp1/renew", "cp3/renew cp2/renew"]);
    // Certificates have ended: etcd takes nobody's word, and no snapshot is to be had.
    let mut holding = hosts.clone();
    for host in holding.hosts.values_mut() {
        let until = host.facts.clock + jiff::SignedDuration::from_hours(24);
        host.facts.certificates.iter_mut().for_each(|one| one.not_after = until);
    }
    let tasks: Vec<String> =
        renewal(&holding).unwrap().tasks.iter().map(|task| format!("{} {}", task.id, task.after.join(" "))).collect();
    assert_eq!(tasks, ["cp1/snapshot ", "cp1/renew cp1/snapshot", "cp2/renew cp1/renew", "cp3/renew cp2/renew"]);
    let StepKind::Renewal(renewal) = &plan.tasks[1].steps[0].action else { panic!("{:?}", plan.tasks[1]) };
    let serials: Vec<_> = renewal.serials.iter().map(|(path, serial)| (path.as_str(), serial.as_str())).collect();
    assert_eq!(serials, [("/etc/kubernetes/pki/apiserver.crt", "01:cp2")]);
    assert!(renewal.config.contains("advertiseAddress: 10.77.0.12"), "{}", renewal.config);
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
}

/// What is left of three goes on; nothing begins like that.
#[test]
fn a_cluster_of_two_control_planes_goes_on_and_does_not_begin() {
    let two = three_planes().replace(
        "name: cp3, address: 10.77.0.13, roles: [control-plane, worker]",
        "name: cp3, address: 10.77.0.13, roles: [worker]",
    );
    let mut hosts = four_hosts();
    let error = plan_of(&two, &hosts).unwrap_err();
    assert_eq!(error.code(), Some(Code::Spec), "{error}");
    let mut plane = joined("plant-7");
    if let Kubernetes::Sealock(node) = &mut plane {
        node.control_plane = true;
    }
    hosts.hosts.get_mut("cp2").unwrap().facts.kubernetes = plane;
    assert_eq!(plan_of(&two, &hosts).unwrap().speaker, "cp2");
}

#[test]
fn a_cluster_begins_once_however_the_spec_is_sorted() {
    let mut hosts = four_hosts();
    let mut founder = joined("plant-7");
    if let Kubernetes::Sealock(node) = &mut founder {
        (node.control_plane, node.founded, node.complete) = (true, true, false);
    }
    hosts.hosts.get_mut("cp2").unwrap().facts.kubernetes = founder;
    let plan = plan_of(&three_planes(), &hosts).unwrap();
    assert!(plan.task("cp2/init").is_some() && plan.task("cp1/init").is_none());
    assert_eq!(plan.task("cp1/join").unwrap().after.join(" "), "cp1/prepare cp2/init");
    assert_eq!(plan.speaker, "cp2");
}

#[test]
fn every_host_has_the_endpoint_to_itself_and_all_api_servers_behind_it() {
    let plan = plan_of(&three_planes(), &four_hosts()).unwrap();
    assert_eq!(plan.local_endpoint.as_deref(), Some("api.plant-7.internal:7443"));
    let of = |host: &str| {
        let steps = &plan.task(&format!("{host}/prepare")).unwrap().steps;
        steps.iter().filter(|step| step.id.starts_with("local-proxy")).cloned().collect::<Vec<_>>()
    };
    let mut text = String::new();
    for step in of("w1") {
        let content = if let StepKind::Unit(unit) = &step.action { unit.content.as_str() } else { "" };
        text.push_str(&format!("=== {}: {step}\n{content}\n", step.id));
    }
    insta::assert_snapshot!("local_proxy", text);
    assert!(["cp1", "cp2", "cp3"].iter().all(|host| of(host) == of("w1")));
}

/// [`ONE_AND_ONE`] with two more control planes, and no load balancer.
pub(crate) fn three_planes() -> String {
    let key = "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8";
    let plane = |name: &str, last: u8| {
        format!(
            "    - {{name: {name}, address: 10.77.0.{last}, roles: [control-plane, worker], ssh: {{user: root, hostKey: \"{key}\"}}}}\n"
        )
    };
    ONE_AND_ONE
        .replace("  overrides:", &format!("{}{}  overrides:", plane("cp2", 12), plane("cp3", 13)))
        .replace("{endpoint: 10.77.0.11:6443}", "{endpoint: \"api.plant-7.internal:7443\", localProxy: true}")
}

pub(crate) fn four_hosts() -> Inventory {
    let mut inventory = bare_hosts();
    for (name, address) in [("cp2", "10.77.0.12"), ("cp3", "10.77.0.13")] {
        inventory.hosts.insert(name.into(), crate::fixture::host(name, address));
    }
    inventory
}

#[test]
fn the_same_input_gives_the_same_bytes_and_they_read_back() {
    let plan = plan_of(ONE_AND_ONE, &bare_hosts()).unwrap();
    let bytes = plan.to_json().unwrap();
    assert_eq!(bytes, plan_of(ONE_AND_ONE, &bare_hosts()).unwrap().to_json().unwrap());
    assert_eq!(Plan::from_json(&bytes).unwrap(), plan);
    // Comments and layout are no content.
    let spaced = ONE_AND_ONE.replace("  site: plant-7", "  # our own\n  site:   \"plant-7\"");
    assert_eq!(plan_of(&spaced, &bare_hosts()).unwrap().digest().unwrap(), plan.digest().unwrap());
}

#[test]
fn a_plan_of_another_format_or_with_an_unknown_field_is_refused() {
    let bytes = plan_of(ONE_AND_ONE, &bare_hosts()).unwrap().to_json().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let other = text.replace("plan/1.0", "plan/2.0");
    assert_eq!(Plan::from_json(other.as_bytes()).unwrap_err().code(), Some(Code::Format));
    let more = text.replacen('{', "{\"aaa\":1,", 1);
    assert!(Plan::from_json(more.as_bytes()).unwrap_err().is_refusal());
    assert!(Plan::from_json(format!("{text}\n").as_bytes()).unwrap_err().is_refusal());
}

#[test]
fn no_plan_holds_a_secret() {
    let text = String::from_utf8(plan_of(ONE_AND_ONE, &bare_hosts()).unwrap().to_json().unwrap()).unwrap();
    assert!(text.contains("${secret:bootstrap-token}"));
    assert!(!text.contains("token: \\\"") && !text.contains("PRIVATE KEY"));
}

#[test]
fn a_host_that_changed_makes_the_plan_stale_and_is_named() {
    let plan = plan_of(ONE_AND_ONE, &bare_hosts()).unwrap();
    plan.check_fresh(&bare_hosts()).unwrap();
    let other_machine = with("w1", |w1| w1.facts.machine_id = "0".repeat(32));
    let drifted = with("w1", |w1| {
        let file = OwnedFile { written: Digest::sha256(b"a"), found: Some(Digest::sha256(b"b")) };
        w1.facts.owned.insert("/etc/containerd/config.toml".into(), file);
    });
    let clocks_are_gates = with("w1", |w1| w1.facts.disk.free_bytes -= 1);
    plan.check_fresh(&clocks_are_gates).unwrap();
    for (inventory, words) in
        [(other_machine, "the machine id was"), (drifted, "file /etc/containerd/config.toml is new")]
    {
        let error = plan.check_fresh(&inventory).unwrap_err();
        assert_eq!(error.code(), Some(Code::StalePlan));
        let text = error.to_string();
        assert!(text.starts_with("the plan is stale: on host w1 ") && text.contains(words), "{text}");
    }
}

#[test]
fn a_plan_under_way_explains_what_its_steps_did_and_nothing_else() {
    let plan = plan_of(ONE_AND_ONE, &bare_hosts()).unwrap();
    let under_way = with("w1", |w1| {
        w1.facts.kubernetes = joined("plant-7");
        w1.facts.components.insert("containerd".into(), "v2.4.10".into());
    });
    assert!(plan.check_fresh(&under_way).is_err());
    plan.check_resumable(&under_way).unwrap();
    let taken = with("w1", |w1| w1.facts.kubernetes = joined("another"));
    assert!(plan.check_resumable(&taken).is_err());
    let swapped = with("w1", |w1| w1.facts.machine_id = "0".repeat(32));
    assert!(plan.check_resumable(&swapped).is_err());
}

#[test]
fn hosts_of_others_are_refused() {
    let foreign = Kubernetes::Foreign { evidence: vec!["/etc/kubernetes/admin.conf".into()] };
    for (owner, words) in
        [(foreign, "/etc/kubernetes/admin.conf"), (joined("another"), "the host belongs to cluster another")]
    {
        let error = plan_of(ONE_AND_ONE, &with("w1", |w1| w1.facts.kubernetes = owner)).unwrap_err();
        assert_eq!(error.code(), Some(Code::Foreign));
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn every_condition_that_is_not_met_is_told_at_once() {
    let mut inventory = with("cp1", |cp1| {
        cp1.facts.swap_bytes = 2 << 30;
        cp1.facts.memory_bytes = 1 << 30;
        cp1.facts.disk.free_bytes = 3 << 30;
    });
    let w1 = inventory.hosts.get_mut("w1").unwrap();
    w1.clock_ahead_ms = -7_200_000;
    w1.facts.missing_programs = vec!["conntrack".into()];
    w1.facts.obstacles.ports = BTreeMap::from([(22, "sshd".into()), (2379, "etcd".into()), (10250, String::new())]);
    w1.facts.obstacles.missing_modules = vec!["overlay".into()];
    w1.facts.network.addresses = vec!["10.77.0.99/24".into()];
    let text = ONE_AND_ONE.replace("failCgroupV1: false, ", "");
    let error = plan_of(&text, &inventory).unwrap_err();
    assert_eq!(error.code(), Some(Code::Preflight));
    insta::assert_snapshot!("gates", error.to_string());
}

#[test]
fn who_listens_where_a_control_plane_will_is_in_the_way_unless_the_check_is_ignored() {
    let inventory = with("cp1", |cp1| {
        cp1.facts.obstacles.ports = BTreeMap::from([(2379, "etcd".into()), (6443, "haproxy".into())]);
    });
    let said = plan_of(ONE_AND_ONE, &inventory).unwrap_err().to_string();
    assert!(said.contains("2379 (etcd)") && said.contains("6443 (haproxy)"), "{said}");
    let ignored = ONE_AND_ONE.replace("ignorePreflightErrors: [", "ignorePreflightErrors: [Port-6443, Port-2379, ");
    assert_ne!(ignored, ONE_AND_ONE);
    plan_of(&ignored, &inventory).unwrap();
}

#[test]
fn what_the_site_alone_can_judge_is_told_of_hosts_that_have_no_cluster() {
    let mut inventory = with("cp1", |cp1| {
        cp1.facts.obstacles.filters = vec!["firewalld is active".into()];
        cp1.facts.network.nameservers = vec!["127.0.0.1".into()];
    });
    inventory.hosts.get_mut("w1").unwrap().facts.network.nameservers = Vec::new();
    let plan = plan_of(ONE_AND_ONE, &inventory).unwrap();
    insta::assert_snapshot!("remarks", remarks(&plan, &inventory).join("\n"));
    for host in inventory.hosts.values_mut() {
        host.facts.kubernetes = joined("plant-7");
    }
    assert_eq!(remarks(&plan, &inventory), [""; 0]);
}

/// The same with the site's own time.
fn timed() -> String {
    ONE_AND_ONE.replacen("  hosts:", "  time: {servers: [10.77.0.2, ntp.plant.internal]}\n  hosts:", 1)
}

#[test]
fn each_host_takes_the_time_from_the_site_before_anything_is_made_there() {
    let mut inventory = with("cp1", |cp1| {
        cp1.facts.time.servers = ["pool 2.debian.pool.ntp.org iburst", "server 10.77.0.2 iburst"]
            .map(|line| format!("/etc/chrony/chrony.conf: {line}"))
            .into();
        cp1.facts.obstacles.filters = vec!["ufw is active".into()];
    });
    inventory.hosts.get_mut("w1").unwrap().facts.time.daemon = Some(TimeDaemon::Timesyncd);
    let plan = plan_of(&timed(), &inventory).unwrap();
    let told = |task: &str| {
        let steps = &plan.task(task).unwrap().steps;
        let at = steps.iter().position(|step| step.id == "time").unwrap();
        assert!(at < steps.iter().position(|step| step.id.starts_with("component/")).unwrap());
        steps[at].to_string()
    };
    let from = "take the time from 10.77.0.2, ntp.plant.internal and from nobody else";
    assert_eq!(told("cp1/prepare"), format!("{from}, by chrony (at most 60 s)"));
    assert_eq!(told("w1/prepare"), format!("{from}, by systemd-timesyncd (at most 60 s)"));
    insta::assert_snapshot!(remarks(&plan, &inventory).join("\n"), @r"
    cp1: ufw is active. Between the hosts there must pass TCP 6443, 2379, 2380 and 10250, and all of the pods' network; from the hosts to the station TCP 443, and to 10.77.0.2 and ntp.plant.internal UDP 123
    cp1: /etc/chrony/chrony.conf: pool 2.debian.pool.ntp.org iburst is put out of use, until the host is given back
    ");
    let untold = plan_of(ONE_AND_ONE, &inventory).unwrap();
    assert!(untold.tasks.iter().flat_map(|task| &task.steps).all(|step| step.id != "time"));
}

#[test]
fn a_clock_that_nobody_can_be_told_to_keep_is_a_condition_that_is_not_met() {
    let of_cp1 = |daemon: Option<TimeDaemon>, others: &[&str]| {
        let inventory = with("cp1", |cp1| {
            cp1.facts.time.daemon = daemon;
            cp1.facts.time.others = others.iter().map(|unit| (*unit).to_owned()).collect();
        });
        plan_of(ONE_AND_ONE, &inventory).unwrap();
        let error = plan_of(&timed(), &inventory).unwrap_err();
        assert_eq!(error.code(), Some(Code::Preflight));
        error.to_string()
    };
    let both = of_cp1(Some(TimeDaemon::Chrony), &["ntpsec.service"]);
    // A host's words do nothing to the terminal.
    let long = format!("\u{1b}[2J{}", "x".repeat(9000));
    let hostile = of_cp1(Some(TimeDaemon::Chrony), &[&long]);
    assert!(hostile.contains("by \\u{1b}[2Jxxx") && hostile.ends_with("x …") && hostile.len() < 500, "{hostile}");
    insta::assert_snapshot!([of_cp1(None, &[]), of_cp1(None, &["ntpsec.service"]), both].join("\n"), @r"
    1 of the hosts' conditions are not met:
      cp1: it has neither chrony nor systemd-timesyncd, and `spec.time` says from whom it is to get its time
    1 of the hosts' conditions are not met:
      cp1: its clock is set by ntpsec.service, which Sealock cannot tell of the servers in `spec.time`
    1 of the hosts' conditions are not met:
      cp1: its clock is set by chrony and by ntpsec.service
    ");
}

#[test]
fn a_clock_that_is_25_hours_off_either_way_is_told_and_nothing_is_planned() {
    for (hours, told) in [(25, "90000 s ahead of the station's"), (-25, "90000 s behind the station's")] {
        let mut inventory = bare_hosts();
        inventory.hosts.get_mut("w1").unwrap().clock_ahead_ms = hours * 3_600_000;
        let error = plan_of(ONE_AND_ONE, &inventory).unwrap_err();
        assert_eq!(error.code(), Some(Code::Preflight));
        let said = error.to_string();
        assert!(said.contains("w1") && said.contains(told), "{said}");
    }
}

#[test]
fn what_the_spec_tolerates_is_no_obstacle() {
    let inventory = with("cp1", |cp1| {
        cp1.facts.swap_bytes = 2 << 30;
        cp1.facts.disk.free_bytes = 3 << 30;
    });
    let text = ONE_AND_ONE.replace("failCgroupV1: false", "failCgroupV1: false, failSwapOn: false")
        + "    minimumFreeDiskBytes: 1073741824\n";
    plan_of(&text, &inventory).unwrap();
}

#[test]
fn what_the_release_lacks_is_named() {
    let text = ONE_AND_ONE.replace("version: v1.36.3", "version: v1.37.0");
    let error = plan_of(&text, &bare_hosts()).unwrap_err();
    assert_eq!(error.code(), Some(Code::NotInRelease));
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "release 3 carries no kubelet v1.37.0 for linux/amd64"
    );

    let mut release = release();
    release.release.references.retain(|reference| !reference.name.contains("/kube-proxy:"));
    let error = plan_with(&cluster(ONE_AND_ONE), &bare_hosts(), &release, &kubernetes_images()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "release 3 carries no image registry.k8s.io/kube-proxy:v1.36.3");
    assert!(matches!(error, PlanError::NotInRelease(_)));
}

#[test]
fn the_newest_component_is_taken() {
    let plan = plan_of(ONE_AND_ONE, &bare_hosts()).unwrap();
    let steps = &plan.task("w1/prepare").unwrap().steps;
    let containerd = steps.iter().find(|step| step.id == "component/containerd").unwrap();
    let StepKind::Component(component) = &containerd.action else { panic!("{containerd}") };
    assert_eq!(component.version, "v2.4.10");
}

#[test]
fn in_brief_a_plan_is_its_digest_and_what_there_is_to_do() {
    let plan = plan_of(ONE_AND_ONE, &bare_hosts()).unwrap();
    let brief = Printed { plan: &plan, assessment: None }.brief().to_string();
    let digest = plan.digest().unwrap();
    assert_eq!(
        brief,
        format!(
            "Plan to make cluster plant-7 (Kubernetes v1.36.3, release 3)\nDigest {digest}\n50 steps on 2 hosts.\n"
        )
    );
}
