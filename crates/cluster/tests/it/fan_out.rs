//! Many hosts over SSH, as `cargo xtask bench --fan-out` sets them up: what it costs the station to ask all of them and to change something on each.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the bench starts it as a program: it is told by the environment, and answers on standard output"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sealock_cluster::execute::{self, Binary, Connection, Execution, Kit, SshSettings};
use sealock_cluster::journal::Journal;
use sealock_cluster::{Cluster, Plan};
use sealock_node::StepKind;
use sealock_store::release::{self, Cause, Release};
use sealock_trust::dsse::Envelope;
use sealock_trust::json::jcs;
use sealock_trust::site::{Registry, SiteRootSpec};
use sealock_trust::{FileKey, KeySet, Scheme, Signer, SiteRoot};

use crate::fixture::{cluster, kubernetes_images, plan_with, release};
use crate::large;

#[test]
#[ignore = "needs the hosts of cargo xtask bench --fan-out"]
fn many_hosts_are_asked_and_changed_over_ssh() {
    let told =
        |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by cargo xtask bench --fan-out"));
    let hosts: usize = told("SEALOCK_FAN_OUT_HOSTS").parse().unwrap();
    let cluster = cluster(&large::spec_of(hosts, &told("SEALOCK_FAN_OUT_HOST_KEY")));
    let site = Site::new();
    let binary = Binary::read(Path::new(&told("SEALOCK_FAN_OUT_BINARY")), env!("CARGO_PKG_VERSION")).unwrap();
    let kit = Kit { binary, site_root: site.root.as_bytes().to_vec(), release: site.release(), held: Arc::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(ask_and_change(&cluster, &site, &kit));
}

async fn ask_and_change(cluster: &Cluster, site: &Site, kit: &Kit) {
    let folder = tempfile::tempdir().unwrap();
    let settings = SshSettings::new(PathBuf::from("/run/fan-out"));
    let descriptors = watch_descriptors();
    let hosts = cluster.hosts().len();

    let begun = Instant::now();
    let connections = execute::connect(cluster.hosts(), &settings).await.unwrap();
    tell("connect", begun, &descriptors);

    let begun = Instant::now();
    let inventory = execute::observe(&connections, &kit.binary).await.unwrap();
    tell("observe", begun, &descriptors);

    let begun = Instant::now();
    let mut plan = plan_with(cluster, &inventory, &release(), &kubernetes_images()).unwrap();
    plan.registry.ca.clone_from(&site.ca);
    tell("plan", begun, &descriptors);

    let begun = Instant::now();
    let found = execute::assess(&connections, kit, &plan).await.unwrap();
    tell("probe every step", begun, &descriptors);
    assert_eq!(found.tasks.len(), plan.tasks.len());
    assert!(plan.tasks.iter().all(|task| !found.is_done(task)), "hosts that are bare are found done");

    let change = files_of(&plan);
    let steps: usize = change.tasks.iter().map(|task| task.steps.len()).sum();
    assert!(change.tasks.len() == hosts && steps > hosts);
    let found = execute::assess(&connections, kit, &change).await.unwrap();
    let digest = change.digest().unwrap();
    let begun = Instant::now();
    let changed = carry_out(&change, &inventory, &found, &connections, (kit, folder.path())).await;
    tell("apply", begun, &descriptors);
    assert_eq!(changed, steps);
    let journal = std::fs::metadata(folder.path().join(digest.hex())).unwrap().len();

    let begun = Instant::now();
    let found = execute::assess(&connections, kit, &change).await.unwrap();
    tell("probe the change", begun, &descriptors);
    assert!(found.all_done(&change), "what was applied is not found done");
    println!("{{\"steps\":{steps},\"journal\":{journal},\"plan\":{}}}", plan.to_json().unwrap().len());
}

async fn carry_out(
    plan: &Plan,
    inventory: &sealock_cluster::Inventory,
    assessment: &sealock_cluster::plan::Assessment,
    connections: &[Arc<Connection>],
    (kit, folder): (&Kit, &Path),
) -> usize {
    let mut journal = Journal::open(folder, &plan.digest().unwrap()).unwrap();
    let execution = Execution { plan, inventory, assessment, connections, kit };
    execute::execute(execution, &mut journal, &|_| {}).await.unwrap()
}

/// A small change to every host: of what prepares it, that it is taken for the cluster, and the files.
fn files_of(plan: &Plan) -> Plan {
    let mut change = plan.clone();
    change.tasks.retain(|task| task.id.ends_with("/prepare"));
    for task in &mut change.tasks {
        task.steps.retain(|step| matches!(step.action, StepKind::Claim(_) | StepKind::File(_)));
    }
    change
}

/// One line of JSON for whoever measures from outside: the phase, its seconds, this process's ticks so far, and the most descriptors since the last line.
fn tell(phase: &str, begun: Instant, descriptors: &AtomicUsize) {
    let wall = begun.elapsed().as_secs_f64();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // proc(5): utime and stime are fields 14 and 15; the name before them may hold blanks.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().trim_end_matches(" kB");
    let most = descriptors.swap(0, Relaxed);
    println!(
        "{{\"phase\":\"{phase}\",\"wall\":{wall:.3},\"ticks\":{ticks},\"descriptors\":{most},\"peakKib\":{peak}}}"
    );
}

/// Follows how many descriptors this process has open.
fn watch_descriptors() -> Arc<AtomicUsize> {
    let most = Arc::new(AtomicUsize::new(0));
    let watched = most.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            watched.fetch_max(std::fs::read_dir("/proc/self/fd").unwrap().count(), Relaxed);
        }
    });
    most
}

/// A site with one key, whose release serves nothing.
struct Site {
    key: FileKey,
    root: SiteRoot,
    ca: String,
}

impl Site {
    fn new() -> Self {
        let key = FileKey::generate(Scheme::Ed25519).unwrap();
        let keys = || KeySet::new([key.public_key().clone()], 1).unwrap();
        let ca = rcgen::generate_simple_self_signed(vec!["registry.lab".to_owned()]).unwrap().cert.pem();
        let spec = SiteRootSpec {
            id: "plant-7".parse().unwrap(),
            issued: Timestamp::UNIX_EPOCH,
            classification: None,
            root: keys(),
            site: keys(),
            approver: None,
            stale_grace_days: None,
            retained_releases: None,
            registry: Registry { name: "registry.lab".into(), address: "10.77.0.2:443".into(), ca: ca.clone() },
        };
        let root = SiteRoot::create(&spec, &[&key]).unwrap();
        Self { key, root, ca }
    }

    fn release(&self) -> Vec<u8> {
        let release = Release {
            format: release::FORMAT.into(),
            number: 1,
            previous: None,
            cause: Cause::Import { stream: "base".into(), sequence: 1 },
            issued: Timestamp::UNIX_EPOCH,
            streams: Vec::new(),
            references: Vec::new(),
            trust_generation: None,
            exceptions: BTreeMap::new(),
            annotations: BTreeMap::new(),
        };
        let payload = jcs::to_vec(&release).unwrap();
        Envelope::sign(release::PAYLOAD_TYPE, &payload, &[&self.key]).unwrap().to_json().unwrap()
    }
}
