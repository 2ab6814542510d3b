//! Real etcd clusters on loopback: real programs, real certificates, each member at an address of its own.
//!
//! The programs are in PATH (CI puts them there) or among the lab's built parts. Where they are not, [`programs`] says that
//! nothing was run, and fails where `SEALOCK_ORACLES=1` says that nothing may be left out.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// etcd's own programs.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// `etcd`
    pub fn etcd(&self) -> PathBuf {
        self.folder.join("etcd")
    }

    /// `etcdutl`
    pub fn etcdutl(&self) -> PathBuf {
        self.folder.join("etcdutl")
    }

    /// `etcdctl`
    pub fn etcdctl(&self) -> PathBuf {
        self.folder.join("etcdctl")
    }

    /// The folder that holds them.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The programs, where they are: a test that gets none ends, for it was told that nothing was run.
#[expect(clippy::disallowed_methods, reason = "CI says that nothing may be left out")]
#[expect(clippy::print_stdout, reason = "a test that was not run says so")]
pub fn programs() -> Option<Programs> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(built())
        .find(|folder| ["etcd", "etcdutl", "etcdctl"].iter().all(|program| folder.join(program).is_file()));
    if found.is_none() {
        let needed = std::env::var_os("SEALOCK_ORACLES").is_some_and(|value| value == "1");
        assert!(!needed, "etcd, etcdutl and etcdctl are needed in PATH: `lab/parts/build.sh etcd` builds them");
        println!("NOT RUN: etcd is neither in PATH nor built: `lab/parts/build.sh etcd`");
    }
    found.map(|folder| Programs { folder })
}

/// Where the lab has built them.
fn built() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab/parts/build.sh");
    let output = Command::new(script).args(["--path", "etcd"]).output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()).join("bin"))
}

/// Members of one cluster, with an authority of their own.
#[derive(Debug)]
pub struct EtcdCluster {
    programs: Programs,
    folder: TempDir,
    /// The second and third byte of every address: no two clusters share them.
    network: [u8; 2],
    authority: Option<(String, Issuer<'static, KeyPair>)>,
    /// Further arguments of every member that is started from now on.
    pub arguments: Vec<String>,
    members: Vec<EtcdMember>,
}

/// One member: a process, or one that has ended.
#[derive(Debug)]
pub struct EtcdMember {
    /// `m1`, `m2`, …
    pub name: String,
    address: Ipv4Addr,
    scheme: &'static str,
    /// Where its data is.
    pub data: PathBuf,
    child: Option<Child>,
}

impl EtcdMember {
    /// Where clients reach it.
    pub fn client_url(&self) -> String {
        format!("{}://{}:2379", self.scheme, self.address)
    }

    /// Where its peers reach it.
    pub fn peer_url(&self) -> String {
        format!("{}://{}:2380", self.scheme, self.address)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Whether anything listens for clients.
    pub fn listens(&self) -> bool {
        TcpStream::connect((self.address, 2379)).is_ok()
    }
}

impl Drop for EtcdMember {
    fn drop(&mut self) {
        self.kill();
    }
}

impl EtcdCluster {
    /// `size` members that have been started, under mutual TLS. Whether they serve is for the test to see.
    pub fn start(programs: &Programs, size: usize) -> Self {
        let mut cluster = Self::empty(programs);
        cluster.authority = Some(authority());
        cluster.begin(size, &[]);
        cluster
    }

    /// The same, with further arguments for each member.
    pub fn start_with(programs: &Programs, size: usize, arguments: &[&str]) -> Self {
        let mut cluster = Self::empty(programs);
        cluster.authority = Some(authority());
        cluster.begin(size, arguments);
        cluster
    }

    /// The same, without TLS: for a proxy that looks at what goes by.
    pub fn start_in_clear(programs: &Programs, size: usize) -> Self {
        let mut cluster = Self::empty(programs);
        cluster.begin(size, &[]);
        cluster
    }

    fn empty(programs: &Programs) -> Self {
        let folder = tempfile::Builder::new().prefix("sealock-etcd-").tempdir().unwrap();
        let network = network();
        let (programs, arguments) = (programs.clone(), Vec::new());
        Self { programs, folder, network, authority: None, arguments, members: Vec::new() }
    }

    fn begin(&mut self, size: usize, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        for _ in 0..size {
            self.prepare();
        }
        let initial: Vec<String> = (0..size).map(|n| self.initial(n)).collect();
        for n in 0..size {
            self.run(n, &initial.join(","), "new");
        }
    }

    /// A member that has not been started, and its number.
    pub fn prepare(&mut self) -> usize {
        let number = self.members.len();
        let name = format!("m{}", number + 1);
        let address = Ipv4Addr::new(127, self.network[0], self.network[1], number as u8 + 1);
        let data = self.folder.path().join(&name);
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        if let Some((_, issuer)) = &self.authority {
            let (certificate, key) = issue(issuer, &name, address);
            fs::write(self.folder.path().join(format!("{name}.crt")), certificate).unwrap();
            fs::write(self.folder.path().join(format!("{name}.key")), key).unwrap();
            fs::write(self.folder.path().join("ca.crt"), self.ca()).unwrap();
        }
        self.members.push(EtcdMember { name, address, scheme, data, child: None });
        number
    }

    /// `name=peer URL` of member `n`.
    pub fn initial(&self, n: usize) -> String {
        format!("{}={}", self.members[n].name, self.members[n].peer_url())
    }

    /// Starts member `n`, which joins a cluster of `initial` members.
    pub fn join(&mut self, n: usize, initial: &str) {
        self.run(n, initial, "existing");
    }

    /// Starts member `n` again, over the data it has.
    pub fn restart(&mut self, n: usize) {
        let initial = self.initial(n);
        self.run(n, &initial, "existing");
    }

    fn run(&mut self, n: usize, initial: &str, state: &str) {
        let log = File::create(self.folder.path().join(format!("{}.log", self.members[n].name))).unwrap();
        let member = &self.members[n];
        let mut command = Command::new(self.programs.etcd());
        command.args(["--name", &member.name, "--data-dir"]).arg(&member.data);
        command.args(["--initial-cluster", initial, "--initial-cluster-state", state]);
        command.args(["--listen-client-urls", &member.client_url(), "--advertise-client-urls", &member.client_url()]);
        command.args(["--listen-peer-urls", &member.peer_url(), "--initial-advertise-peer-urls", &member.peer_url()]);
        // Five times etcd's own: on a busy machine nobody loses the lead because it was not let run for a second.
        command.args(["--heartbeat-interval", "500", "--election-timeout", "5000"]);
        command.args(["--unsafe-no-fsync", "--log-level", "warn"]).args(&self.arguments);
        if self.authority.is_some() {
            for prefix in ["", "peer-"] {
                let path = |name: String| self.folder.path().join(name);
                command.arg(format!("--{prefix}client-cert-auth"));
                command.arg(format!("--{prefix}cert-file")).arg(path(format!("{}.crt", member.name)));
                command.arg(format!("--{prefix}key-file")).arg(path(format!("{}.key", member.name)));
                command.arg(format!("--{prefix}trusted-ca-file")).arg(path("ca.crt".into()));
            }
        }
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.members[n].child = Some(command.spawn().unwrap());
    }

    /// Member `n`.
    pub fn member(&self, n: usize) -> &EtcdMember {
        &self.members[n]
    }

    /// Member `n`, to be killed.
    pub fn member_mut(&mut self, n: usize) -> &mut EtcdMember {
        &mut self.members[n]
    }

    /// What member `n` wrote to its log.
    pub fn log(&self, n: usize) -> String {
        fs::read_to_string(self.folder.path().join(format!("{}.log", self.members[n].name))).unwrap_or_default()
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority's certificate, PEM; empty without TLS.
    pub fn ca(&self) -> String {
        self.authority.as_ref().map(|(certificate, _)| certificate.clone()).unwrap_or_default()
    }

    /// A client's certificate and key, PEM. None without TLS.
    pub fn client(&self) -> Option<(String, String)> {
        let (_, issuer) = self.authority.as_ref()?;
        Some(issue(issuer, "a client", Ipv4Addr::LOCALHOST))
    }

    /// Runs `etcdctl` against member `n`, and answers what it prints.
    pub fn etcdctl(&self, n: usize, args: &[&str]) -> String {
        let output = self.try_etcdctl(n, args);
        assert!(output.status.success(), "etcdctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, whether it works or not.
    pub fn try_etcdctl(&self, n: usize, args: &[&str]) -> std::process::Output {
        let mut command = Command::new(self.programs.etcdctl());
        command.env_clear().args(["--endpoints", &self.members[n].client_url()]);
        command.args(["--dial-timeout=30s", "--command-timeout=60s"]);
        if self.authority.is_some() {
            let path = |name: String| self.folder.path().join(name);
            command.arg("--cacert").arg(path("ca.crt".into()));
            command.arg("--cert").arg(path(format!("{}.crt", self.members[n].name)));
            command.arg("--key").arg(path(format!("{}.key", self.members[n].name)));
        }
        command.args(args).output().unwrap()
    }
}

/// The second and third byte of loopback addresses that nobody else has: not in this process, and hardly in another.
pub fn network() -> [u8; 2] {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id();
    let count = COUNT.fetch_add(1, Ordering::Relaxed) % 16;
    [(process % 250 + 2) as u8, (process / 250 % 16 * 16) as u8 + count]
}

fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "etcd test authority");
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    (certificate, Issuer::new(params, key))
}

fn issue(issuer: &Issuer<'static, KeyPair>, name: &str, address: Ipv4Addr) -> (String, String) {
    // Calls between members come from loopback's first address, and etcd holds a peer's certificate against it.
    let mut params = CertificateParams::new([address, Ipv4Addr::LOCALHOST].map(|name| name.to_string())).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}
