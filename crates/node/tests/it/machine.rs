//! A host whose files lie below a temporary folder, and whose programs are small ones that do the same to these files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;

use sealock_node::host::{Alteration, Command, Entry, Host, HostError, Local, Output};
use sealock_node::request::Secrets;
use sealock_node::step::Mode;
use sealock_node::{Context, Probe, Step, StepError};
use sealock_trust::Digest;

const STATIC_PODS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// An API server of the older version that the cluster still lists.
pub(crate) const GHOST: &str = "/etc/kubernetes/ghost";

#[derive(Default)]
struct Services {
    active: BTreeSet<String>,
    enabled: BTreeSet<String>,
    calls: Vec<String>,
    /// containerd's settings as they were when a unit was started last.
    started_with: BTreeMap<String, String>,
    /// Whether what static pods say runs, and an API server serves.
    serving: bool,
    /// Changes still allowed before one fails; none is as many as it takes.
    budget: Option<usize>,
}

pub(crate) struct Machine {
    root: tempfile::TempDir,
    local: Local,
    services: Mutex<Services>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        // Every change is synced; in memory that costs nothing.
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        for folder in [
            "etc/systemd/system",
            "proc/sys/net/ipv4",
            "proc/sys/kernel",
            "sys/module/overlay",
            "var/lib",
            "opt",
            "usr/bin",
            "root",
        ] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let machine = Self { local: Local::rooted(root.path()), root, services: Mutex::default() };
        machine.put("/etc/hosts", "127.0.0.1 localhost\n");
        machine.put("/proc/sys/net/ipv4/ip_forward", "0\n");
        machine
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn put(&self, path: &str, content: &str) {
        let place = self.root.path().join(&path[1..]);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }

    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(&path[1..])).unwrap()
    }

    /// All files with mode and content, links and folders, but for the node's own folder.
    pub(crate) fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        self.walk(self.root.path(), &mut tree);
        tree.retain(|path, _| !path.starts_with("var/lib/sealock"));
        tree
    }

    fn walk(&self, folder: &Path, tree: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let metadata = fs::symlink_metadata(entry.path()).unwrap();
            let name = entry.path().strip_prefix(self.root.path()).unwrap().to_str().unwrap().to_owned();
            let mode = metadata.permissions().mode() & 0o7777;
            let what = if metadata.is_dir() {
                self.walk(&entry.path(), tree);
                "folder".to_owned()
            } else if metadata.is_symlink() {
                fs::read_link(entry.path()).unwrap().to_str().unwrap().to_owned()
            } else {
                Digest::sha256(&fs::read(entry.path()).unwrap()).to_string()
            };
            tree.insert(name, format!("{mode:o} {what}"));
        }
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.services.lock().unwrap().calls)
    }

    pub(crate) fn is_active(&self, unit: &str) -> bool {
        self.services.lock().unwrap().active.contains(unit)
    }

    pub(crate) fn is_enabled(&self, unit: &str) -> bool {
        self.services.lock().unwrap().enabled.contains(unit)
    }

    /// From now on static pods run as they are written, and the API server serves.
    pub(crate) fn serve(&self) {
        self.services.lock().unwrap().serving = true;
    }

    fn is_serving(&self) -> bool {
        self.services.lock().unwrap().serving
    }

    /// containerd's settings as they were when `unit` was started last.
    pub(crate) fn started_with(&self, unit: &str) -> String {
        self.services.lock().unwrap().started_with.get(unit).cloned().unwrap_or_default()
    }

    /// From now on `changes` changes are carried out, and every later one fails, as after a power cut.
    pub(crate) fn fail_after(&self, changes: usize) {
        self.services.lock().unwrap().budget = Some(changes);
    }

    pub(crate) fn heal(&self) {
        self.services.lock().unwrap().budget = None;
    }

    fn spend(&self) -> Result<(), HostError> {
        match &mut self.services.lock().unwrap().budget {
            Some(0) => Err(HostError::io("change", "the host")(io::Error::other("no power"))),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn systemctl(&self, args: &[&str]) -> Output {
        let mut services = self.services.lock().unwrap();
        let exists = |unit: &str| self.root.path().join("etc/systemd/system").join(unit).exists();
        let failed = |text: &str| Output { status: 1, stdout: String::new(), stderr: text.to_owned() };
        match args {
            ["show", .., unit] => {
                let state = |yes: bool, no: &'static str| {
                    if yes { if no == "inactive" { "active" } else { "enabled" } } else { no }
                };
                // Long ago, where nobody says in a file beside when it was.
                let started = fs::read_to_string(self.path().join("run/started").join(unit));
                return said(&format!(
                    "ActiveState={}\nUnitFileState={}\nNeedDaemonReload=no\nExecMainStartTimestampMonotonic={}\n",
                    state(services.active.contains(*unit), "inactive"),
                    state(services.enabled.contains(*unit), "disabled"),
                    started.unwrap_or_else(|_| "0".to_owned()),
                ));
            }
            ["cat", unit] if !exists(unit) => return failed("no such unit"),
            ["enable", unit] if exists(unit) => drop(services.enabled.insert((*unit).to_owned())),
            ["restart" | "start", unit] if exists(unit) => {
                let settings = fs::read_to_string(self.root.path().join("etc/containerd/config.toml"));
                services.started_with.insert((*unit).to_owned(), settings.unwrap_or_default());
                services.active.insert((*unit).to_owned());
            }
            ["stop", unit] => drop(services.active.remove(*unit)),
            ["disable", unit] => drop(services.enabled.remove(*unit)),
            ["disable", "--now", unit] => {
                services.active.remove(*unit);
                services.enabled.remove(*unit);
            }
            ["cat", _] | ["daemon-reload"] | ["reset-failed", ..] => {}
            _ => return failed("no such unit"),
        }
        Output::default()
    }

    /// Tells what it was given to read.
    fn kubeadm(&self, args: &[&str]) -> Result<Output, HostError> {
        let config = args.iter().skip_while(|arg| **arg != "--config").nth(1).copied().unwrap_or_default();
        let Entry::File { mode, .. } = self.inspect(config)? else {
            return Ok(Output { status: 1, ..Output::default() });
        };
        let text = self.text(config);
        self.services.lock().unwrap().calls.push(format!("{mode} {text}"));
        // Once: by the next time the cluster has swept it away.
        if fs::remove_file(self.root.path().join(&GHOST[1..])).is_ok() {
            return Ok(said(
                "[upgrade/addon] Skipping upgrade of addons because control plane instances [cp2] have not been upgraded",
            ));
        }
        // It cannot do with this token, and says so as the real one does.
        if text.contains("coffee") {
            return Ok(Output { status: 1, ..said(&format!("[bootstrap-token] Using {text}")) });
        }
        if let ["certs", "generate-csr", _, _, "--cert-dir", pki, "--kubeconfig-dir", kubeconfigs] = *args {
            let made = crate::requests::generate(self, &text, (pki, kubeconfigs));
            return Ok(Output { status: i32::from(!made), ..Output::default() });
        }
        Ok(Output::default())
    }

    fn etcd(&self, args: &[&str]) -> Output {
        let told = fs::read_to_string(self.path().join("run/etcd.json")).unwrap_or_default();
        match args {
            ["etcd", "remove", id, ..] => {
                let mut told: serde_json::Value = serde_json::from_str(&told).unwrap();
                told["members"].as_array_mut().unwrap().retain(|member| member["id"] != **id);
                if let Some(alarms) = told["strayAlarms"].as_array_mut() {
                    alarms.retain(|alarm| alarm["member"] != **id);
                }
                self.put("/run/etcd.json", &told.to_string());
                Output::default()
            }
            _ => said(&told),
        }
    }

    /// The pod ends, unless a budget keeps it.
    fn evict(&self, args: &[&str]) -> Output {
        let path = args.iter().find(|arg| arg.ends_with("/eviction")).copied().unwrap_or_default();
        let name = path.split('/').nth(6).unwrap_or_default();
        if self.path().join("run/api/budget").exists() {
            let words = "Error from server (TooManyRequests): Cannot evict pod as it would violate the pod's disruption budget.";
            return Output { status: 1, stdout: String::new(), stderr: words.to_owned() };
        }
        let pods = self.text("/run/api/pods.txt");
        let left: String =
            pods.lines().filter(|pod| pod.split('\t').nth(5) != Some(name)).map(|pod| format!("{pod}\n")).collect();
        self.put("/run/api/pods.txt", &left);
        Output::default()
    }

    fn sysctl(&self, args: &[&str]) -> Output {
        let ["-q", "-w", setting] = args else { return Output { status: 1, ..Output::default() } };
        let (key, value) = setting.split_once('=').unwrap();
        self.put(&format!("/proc/sys/{}", key.replace('.', "/")), &format!("{value}\n"));
        Output::default()
    }
}

fn said(stdout: &str) -> Output {
    Output { status: 0, stdout: stdout.to_owned(), stderr: String::new() }
}

impl Host for Machine {
    fn inspect(&self, path: &str) -> Result<Entry, HostError> {
        self.local.inspect(path)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read>, HostError> {
        self.local.open(path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, HostError> {
        self.local.list(path)
    }

    fn write(&self, path: &str, mode: Mode, content: &mut dyn Read) -> Result<(), HostError> {
        self.spend()?;
        self.local.write(path, mode, content)
    }

    fn alter(&self, alteration: Alteration<'_>) -> Result<(), HostError> {
        self.spend()?;
        self.local.alter(alteration)
    }

    fn run(&self, command: &Command) -> Result<Output, HostError> {
        let args: Vec<&str> = command.args.iter().map(String::as_str).collect();
        if !matches!(args.first(), Some(&("show" | "cat"))) {
            self.spend()?;
            self.services.lock().unwrap().calls.push(command.line());
        }
        match command.program.as_str() {
            "systemctl" => Ok(self.systemctl(&args)),
            "sysctl" => Ok(self.sysctl(&args)),
            "kubeadm" => self.kubeadm(&args),
            // Nobody holds a lock on this machine but who says so in a file beside.
            "flock" => {
                let database = args.get(1).copied().unwrap_or_default();
                let held = self.inspect(&format!("{database}.held"))? != Entry::Missing;
                Ok(Output { status: i32::from(held), ..Output::default() })
            }
            // Takes a snapshot of what is no etcd.
            program if program.ends_with("/sealock") && matches!(args.as_slice(), ["etcd", "snapshot", ..]) => {
                self.put(args[2], "what the cluster knows");
                Ok(said(r#"{"revision": 7}"#))
            }
            // Puts the snapshot where the database belongs.
            program if program.ends_with("/etcdutl") => {
                self.inspect(program)?;
                let after =
                    |flag: &str| args.iter().skip_while(|arg| **arg != flag).nth(1).copied().unwrap_or_default();
                self.put(&format!("{}/member/snap/db", after("--data-dir")), &self.text(args[2]));
                Ok(Output::default())
            }
            "kubectl" if self.is_serving() => Ok(said("ok")),
            // Of the containers only those of static pods run, and that where the machine serves; each image holds an etcdutl, and a mounted one cannot be mounted again.
            "ctr" if self.path().join("run/no-containerd").exists() => {
                Ok(Output { status: 1, stdout: String::new(), stderr: "connection refused".to_owned() })
            }
            "ctr" => Ok(match args.as_slice() {
                [.., "mount", _, at] if self.path().join(&at[1..]).join("usr").exists() => {
                    Output { status: 1, ..said("it is mounted") }
                }
                [.., "mount", _, at] => {
                    self.put(&format!("{at}/usr/local/bin/etcdutl"), "etcdutl");
                    said("")
                }
                [.., "containers", "ls", "-q", filter] if self.is_serving() => {
                    let is_asked = |name: &&str| filter.contains(&format!("container.name\"=={name},"));
                    let is_there =
                        |name: &&str| self.path().join(format!("etc/kubernetes/manifests/{name}.yaml")).exists();
                    said(STATIC_PODS.into_iter().filter(is_asked).find(is_there).unwrap_or_default())
                }
                [.., "tasks", "ls"] => said(&STATIC_PODS.map(|name| format!("{name} 1 RUNNING\n")).concat()),
                [.., "containers", "info", name] => {
                    let manifest = self.text(&format!("/etc/kubernetes/manifests/{name}.yaml"));
                    let image =
                        manifest.lines().find_map(|line| line.trim().strip_prefix("image: ")).unwrap_or_default();
                    said(
                        &serde_json::json!({"Spec": {"annotations": {"io.kubernetes.cri.image-name": image}}})
                            .to_string(),
                    )
                }
                [.., "unmount", "--rm", at] => {
                    let _ = fs::remove_dir_all(self.path().join(&at[1..]).join("usr"));
                    said("")
                }
                _ => said(""),
            }),
            // In one step, over what stands there.
            "mv" => {
                let [.., source, target] = args.as_slice() else { return Ok(Output { status: 1, ..said("") }) };
                let moved = fs::rename(self.path().join(&source[1..]), self.path().join(&target[1..]));
                Ok(Output { status: i32::from(moved.is_err()), ..said("") })
            }
            // What etcd says is a file, and who is taken out of it is not said any more.
            program if program.ends_with("/sealock") => Ok(self.etcd(&args)),
            "install" => {
                let [.., source, target] = args.as_slice() else { return Ok(Output { status: 1, ..said("") }) };
                self.put(target, &self.text(source));
                Ok(Output::default())
            }
            // Where there is an API on this machine, it is a folder of objects.
            "kubectl" if self.path().join("run/api").exists() && args.contains(&"--raw") => Ok(self.evict(&args)),
            "kubectl" if self.path().join("run/api/pods.txt").exists() && args.contains(&"pods") => {
                Ok(said(&self.text("/run/api/pods.txt")))
            }
            "kubectl" if self.path().join("run/api").exists() => {
                let asked = args.iter().skip_while(|arg| **arg != "get").skip(1);
                let mut asked = asked.filter(|word| !matches!(**word, "-n" | "kube-node-lease"));
                let mut word = || asked.next().copied().unwrap_or_default();
                let (kind, name) = (word(), word());
                let object = fs::read_to_string(self.path().join(format!("run/api/{kind}/{name}.json")));
                Ok(object.map_or_else(|_| said(""), |object| said(&object)))
            }
            program => Err(HostError::NoProgram { program: program.to_owned() }),
        }
    }
}

/// Runs `work` with a context that admits nothing and knows no registry.
pub(crate) fn bare<T>(work: impl FnOnce(&Context<'_>) -> T) -> T {
    let (admitted, secrets) = (BTreeSet::new(), Secrets::default());
    work(&Context { source: None, admitted: &admitted, secrets: &secrets, progress: &|_| {} })
}

/// Applies `step` if it is not done, and checks it.
pub(crate) fn apply(step: &Step, machine: &Machine) -> Result<(), StepError> {
    bare(|context| {
        if step.probe(machine, context)? != Probe::Done {
            step.apply(machine, context)?;
        }
        step.verify(machine, context)
    })
}

pub(crate) fn probe(step: &Step, machine: &Machine) -> Probe {
    bare(|context| step.probe(machine, context)).unwrap()
}

pub(crate) fn undo(step: &Step, machine: &Machine) {
    bare(|context| step.undo(machine, context)).unwrap();
}
