//! What the caller says about the connected side: mirrors, own certificate authorities, proxies, credentials, patience.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// How the outside world is reached. All of it comes from the caller: this crate reads no environment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Real host name (`registry.k8s.io`, or `host:port`) → where it is to be found, like `https://mirror.corp/registry.k8s.io`.
    /// An OCI repository is then asked for under `/v2/<path>/<repository>/`, a file under `/<path>/<file path>`.
    pub mirrors: BTreeMap<String, Url>,
    /// PEM files with certificate authorities to trust besides the system's.
    pub ca_files: Vec<PathBuf>,
    /// Proxies to go through.
    pub proxy: ProxySettings,
    /// Docker's `config.json`, with credentials or the names of credential helpers.
    pub docker_config: Option<PathBuf>,
    /// Folders with credential helpers (`docker-credential-…`), before those of the `PATH`.
    pub helper_folders: Vec<PathBuf>,
    /// Folders with programs that check signatures (`gpgv`, `notation`), before the usual ones.
    pub program_folders: Vec<PathBuf>,
    /// How failures that may pass are tried again.
    pub retry: Retry,
    /// How long an upstream may keep us waiting.
    pub patience: Patience,
    /// Downloads that run at the same time.
    pub parallel: usize,
    /// Where downloaded tools (kubeadm, Helm) are kept while they are needed; programs must be allowed to run from there.
    pub scratch: PathBuf,
    /// Where downloaded tools are kept by their digest for the next time, at most 1 GiB; nowhere, when left out. They are
    /// verified whenever they are taken, and are not run from there.
    pub tools: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mirrors: BTreeMap::new(),
            ca_files: Vec::new(),
            proxy: ProxySettings::default(),
            docker_config: None,
            helper_folders: Vec::new(),
            program_folders: Vec::new(),
            retry: Retry::default(),
            patience: Patience::default(),
            parallel: 6,
            scratch: PathBuf::from("/var/tmp"),
            tools: None,
        }
    }
}

/// Proxies by the scheme of the request, with the meaning of the usual variables.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// For `http://` requests (`HTTP_PROXY`).
    pub http: Option<Url>,
    /// For `https://` requests (`HTTPS_PROXY`).
    pub https: Option<Url>,
    /// Hosts that are reached directly, comma-separated (`NO_PROXY`).
    pub no_proxy: Option<String>,
}

/// How failures that may pass (429, 5xx, broken connections) are tried again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries in all, the first included.
    pub tries: u32,
    /// The wait before the second try; doubled for each further one.
    pub first_wait: Duration,
    /// No wait is longer, whatever `Retry-After` says.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 5, first_wait: Duration::from_millis(500), longest_wait: Duration::from_secs(60) }
    }
}

/// How long an upstream may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// Between two pieces of an answer, and until its first one.
    pub stall: Duration,
    /// Bytes per second below which a download counts as stalled, measured over four times `stall`.
    pub slowest: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), stall: Duration::from_secs(60), slowest: 1024 }
    }
}
