//! A machine for one etcd member.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sealock_testkit::etcd::{Programs, network};
use serde_json::Value;

use crate::sandbox::Sandbox;

/// Two cores are shared with everything else that is tested.
const PATIENCE: Duration = Duration::from_secs(180);
/// What a machine has of its own.
const FOLDERS: [&str; 4] = ["/etc", "/opt", "/usr/local/bin", "/var/lib"];
const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";

/// Addresses for the machines of one test.
pub struct Network([u8; 2]);

impl Network {
    pub fn new() -> Self {
        Self(network())
    }

    pub fn address(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.0[0], self.0[1], number)
    }
}

/// A machine, and the etcd that somebody runs on it.
pub struct Machine {
    sandbox: Sandbox,
    programs: Programs,
    pub name: String,
    pub address: Ipv4Addr,
    /// Ends the one who plays the supervisor.
    end: Arc<AtomicBool>,
    supervisor: Option<JoinHandle<()>>,
}

impl Machine {
    pub fn new(programs: &Programs, network: &Network, number: u8) -> Self {
        let sandbox = Sandbox::new();
        for folder in FOLDERS {
            fs::create_dir_all(sandbox.join(&folder[1..])).expect("a folder");
        }
        for file in ["passwd", "group", "hosts", "nsswitch.conf"] {
            // What is not there is not needed.
            let _ = fs::copy(Path::new("/etc").join(file), sandbox.join("etc").join(file));
        }
        let (programs, name, address) = (programs.clone(), format!("m{number}"), network.address(number));
        Self { sandbox, programs, name, address, end: Arc::default(), supervisor: None }
    }

    /// Where a path of the machine is for everybody else.
    pub fn at(&self, path: &str) -> PathBuf {
        self.sandbox.join(&path[1..])
    }

    pub fn endpoint(&self) -> String {
        format!("{}:2379", self.address)
    }

    /// A program, ready to run on the machine.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
        let binds: Vec<String> =
            FOLDERS.iter().map(|folder| format!("mount --bind {} {folder}", self.at(folder).display())).collect();
        let script = format!("{} && exec \"$@\"", binds.join(" && "));
        let mut command = Command::new("unshare");
        command.arg(if is_root() { "-m" } else { "-rm" }).args(["sh", "-c", &script, "sh"]);
        command.arg(program).args(args).current_dir(self.sandbox.path()).stdin(Stdio::null()).env_clear();
        command.env("HOME", self.sandbox.join("home")).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("SEALOCK_STATE_DIR", self.sandbox.join("state")).env("TMPDIR", self.sandbox.path());
        command
    }

    /// `sealock etcd ARGS…` on the machine.
    pub fn run(&self, args: &[&str]) -> Output {
        let args = [&["etcd"], args].concat();
        self.command(env!("CARGO_BIN_EXE_sealock"), &args).output().expect("the command runs")
    }

    pub fn must(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "sealock etcd {args:?} on {}\n{}", self.name, self.seen(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs something that must be refused or fail with this exit code, and answers what it says.
    pub fn must_not(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let seen = self.seen(&output);
        assert_eq!(output.status.code(), Some(code), "sealock etcd {args:?} on {}\n{seen}", self.name);
        seen
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.must(&[args, &["-o", "json"]].concat())).expect("JSON")
    }

    pub fn seen(&self, output: &Output) -> String {
        self.sandbox.seen(output)
    }

    /// The flags of a new member that somebody other than systemd or kubelet runs.
    pub fn flags(&self) -> Vec<String> {
        let binary = self.programs.folder().display().to_string();
        let (address, metrics) = (self.address.to_string(), "2381".to_owned());
        let flags = ["--name", &self.name, "--address", &address, "--metrics-port", &metrics];
        let flags = [&flags[..], &["--binary", &binary, "--run-by", "other", "--yes"]].concat();
        flags.into_iter().map(str::to_owned).collect()
    }

    /// Plays the one who runs etcd, as soon as its configuration is there and for as long as it is.
    pub fn supervise(&mut self) {
        let start =
            self.command("/usr/local/bin/etcd", &["--config-file", "/etc/etcd/etcd.yaml", "--log-level", "warn"]);
        let config = self.at("/etc/etcd/etcd.yaml");
        self.keep(start, config);
    }

    /// Plays kubelet: etcd runs for as long as its manifest is there.
    pub fn play_kubelet(&mut self) {
        let etcd = self.programs.etcd();
        let start = self.command(etcd, &["--config-file", "/etc/etcd/etcd.yaml", "--log-level", "warn"]);
        let manifest = self.at(MANIFEST);
        self.keep(start, manifest);
    }

    fn keep(&mut self, mut start: Command, while_there: PathBuf) {
        let log = fs::File::create(self.sandbox.join("etcd.log")).expect("a log");
        start.stdout(Stdio::null()).stderr(log);
        self.end = Arc::default();
        let end = Arc::clone(&self.end);
        self.supervisor = Some(thread::spawn(move || {
            let mut running: Option<Child> = None;
            while !end.load(Ordering::Relaxed) {
                match (&mut running, while_there.exists()) {
                    (None, true) => running = Some(start.spawn().expect("etcd starts")),
                    (Some(child), false) => {
                        child.kill().expect("ours");
                        child.wait().expect("ours");
                        running = None;
                    }
                    _ => {}
                }
                thread::park_timeout(Duration::from_millis(50));
            }
            if let Some(mut child) = running {
                child.kill().expect("ours");
                child.wait().expect("ours");
            }
        }));
    }

    /// `kill -9`, and nobody starts it again.
    pub fn kill(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.join().expect("it ends");
        }
    }

    /// Begins a cluster on this machine.
    pub fn begin(&mut self) {
        self.supervise();
        let flags = self.flags();
        let args: Vec<&str> = std::iter::once("init").chain(flags.iter().map(String::as_str)).collect();
        let output = self.run(&args);
        assert!(output.status.success(), "{}\n{}", self.seen(&output), self.log());
    }

    /// Brings the cluster's authority here, as a person does with a USB stick.
    pub fn bring_authority(&self, from: &Self) {
        fs::create_dir_all(self.at("/etc/etcd/pki")).expect("a folder");
        for file in ["ca.crt", "ca.key"] {
            let path = format!("/etc/etcd/pki/{file}");
            fs::copy(from.at(&path), self.at(&path)).expect("the authority");
        }
    }

    /// The arguments by which this machine joins the cluster of `other`.
    pub fn joining(&self, other: &Self) -> Vec<String> {
        ["join".to_owned(), other.endpoint()].into_iter().chain(self.flags()).collect()
    }

    /// Lets this machine join the cluster of `other`.
    pub fn join(&mut self, other: &Self) {
        self.bring_authority(other);
        self.supervise();
        let args = self.joining(other);
        let output = self.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(output.status.success(), "{}\n{}", self.seen(&output), self.log());
    }

    /// Waits until `etcd status` on this machine says so.
    pub fn await_status(&self, what: &str, enough: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.run(&["status", "-o", "json"]);
            if let Ok(status) = serde_json::from_slice::<Value>(&output.stdout)
                && enough(&status)
            {
                return status;
            }
            assert!(Instant::now() < deadline, "{what}\n{}\n{}", self.seen(&output), self.log());
            thread::park_timeout(Duration::from_millis(200));
        }
    }

    /// Runs `etcdctl` against this machine's member.
    pub fn etcdctl(&self, args: &[&str]) -> String {
        let endpoint = format!("https://{}", self.endpoint());
        let pki = |file: &str| format!("/etc/etcd/pki/{file}");
        let (ca, cert, key) = (pki("ca.crt"), pki("client.crt"), pki("client.key"));
        let [dial, call] = ["--dial-timeout=30s", "--command-timeout=60s"];
        let flags = ["--endpoints", &endpoint, "--cacert", &ca, "--cert", &cert, "--key", &key, dial, call];
        let output = self.command(self.programs.etcdctl(), &[&flags, args].concat()).output().expect("etcdctl");
        assert!(output.status.success(), "etcdctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Has this machine's member raise the alarm CORRUPT for the member with this id, whether there is one: `etcdctl` knows no such thing.
    pub fn alarm(&self, member: u64) {
        let url = format!("https://{}/v3/maintenance/alarm", self.endpoint());
        let order = serde_json::json!({"action": "ACTIVATE", "memberID": member.to_string(), "alarm": "CORRUPT"});
        let order = order.to_string();
        let pki = |file: &str| format!("/etc/etcd/pki/{file}");
        let (ca, cert, key) = (pki("ca.crt"), pki("client.crt"), pki("client.key"));
        let args = [
            "--fail",
            "--silent",
            "--show-error",
            "--cacert",
            &ca,
            "--cert",
            &cert,
            "--key",
            &key,
            "--data",
            &order,
            &url,
        ];
        let output = self.command("curl", &args).output().expect("curl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        self.sandbox.write(name, bytes);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.sandbox.join(name)
    }

    /// Names in a folder of the machine.
    pub fn list(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.at(folder)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.sandbox.join("etcd.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
