//! Settings: flags over environment over the user's file over the station's file over defaults, each with its origin.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use sealock_bundle::document;
use serde::Deserialize;

use crate::environment as env;
use crate::error::{CommandError, Result};
use crate::paths;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Environment(&'static str),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub struct Setting<T> {
    pub value: T,
    pub origin: Origin,
}

impl<T> Setting<T> {
    fn default(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }

    /// Whether somebody said so.
    #[cfg(feature = "outside")]
    pub fn is_set(&self) -> bool {
        self.origin != Origin::Default
    }

    /// Takes the file's value where it has one.
    fn layer(&mut self, value: Option<T>, origin: &Origin) {
        if let Some(value) = value {
            *self = Self { value, origin: origin.clone() };
        }
    }
}

/// The settings in force.
#[derive(Debug)]
pub struct Settings {
    pub state_dir: Setting<PathBuf>,
    pub passphrase_file: Setting<Option<PathBuf>>,
    pub pkcs11_module: Setting<Option<PathBuf>>,
    pub hsm_helper: Setting<Option<PathBuf>>,
    pub backup_hours: Setting<u32>,
    pub drill_days: Setting<u32>,
    pub outside: Outside,
}

/// What only matters where things are fetched.
#[derive(Debug)]
pub struct Outside {
    pub mirrors: Setting<BTreeMap<String, String>>,
    pub ca_files: Setting<Vec<PathBuf>>,
    pub proxy: Setting<Proxy>,
    pub docker_config: Setting<Option<PathBuf>>,
    pub retries: Setting<u32>,
    pub connect_seconds: Setting<u64>,
    pub idle_seconds: Setting<u64>,
    pub parallel: Setting<usize>,
}

/// Proxies for what is fetched outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proxy {
    /// For https.
    pub https: Option<String>,
    /// For http.
    pub http: Option<String>,
    /// Hosts reached without a proxy.
    #[serde(default)]
    pub except: Vec<String>,
}

/// A settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SettingsFile {
    state_dir: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    pkcs11_module: Option<PathBuf>,
    hsm_helper: Option<PathBuf>,
    backup_hours: Option<u32>,
    drill_days: Option<u32>,
    mirrors: Option<BTreeMap<String, String>>,
    ca_files: Option<Vec<PathBuf>>,
    proxy: Option<Proxy>,
    docker_config: Option<PathBuf>,
    retries: Option<u32>,
    connect_seconds: Option<u64>,
    idle_seconds: Option<u64>,
    parallel: Option<usize>,
}

/// One line of the reference page: name in the file, default, meaning.
pub const REFERENCE: &[(&str, &str, &str)] = &[
    ("stateDir", paths::DEFAULT_STATE, "Where the station keeps store, trust and keys."),
    (
        "passphraseFile",
        "none",
        "File whose first line is the passphrase of private keys, or the PIN of tokens. Readable by its owner only.",
    ),
    (
        "pkcs11Module",
        "none",
        "The vendor's library that talks to PKCS#11 tokens, where a key's URI does not name it (`module-path`).",
    ),
    ("hsmHelper", "`sealock-hsm` beside `sealock`", "The program that loads that library."),
    ("backupHours", "48", "Hours after which `cluster status` and `site show` warn that the last backup is old."),
    ("drillDays", "100", "Days after which they warn that the last restore drill that was passed is old."),
    (
        "mirrors",
        "none",
        "Where a host's content is really fetched, outside: `registry.k8s.io: https://mirror.corp.example/registry.k8s.io`. Names and digests stay those of the host. For images, `https://M/P` means the registry M with the prefix P before every repository.",
    ),
    ("caFiles", "the system's", "Further certificate authorities to trust outside, PEM."),
    ("proxy", "`HTTPS_PROXY` and its kin", "Proxies, outside: `{https: URL, http: URL, except: [HOST, …]}`."),
    (
        "dockerConfig",
        "`~/.docker/config.json`",
        "Docker's configuration: credentials and credential helpers of registries.",
    ),
    ("retries", "5", "How often a request is tried again after a failure that may pass."),
    ("connectSeconds", "10", "Seconds to wait for a connection."),
    ("idleSeconds", "60", "Seconds without a byte after which a transfer is given up and tried again."),
    ("parallel", "6", "Transfers at a time."),
];

impl Settings {
    /// The settings in force under the flags `--config` and `--state-dir`.
    ///
    /// # Errors
    /// A settings file that cannot be read, or that holds something unknown.
    pub fn load(config: Option<&Path>, state_dir: Option<&Path>) -> Result<Self> {
        let mut settings = Self::defaults();
        let named = config.map(Path::to_owned).or_else(|| env::read(&env::SEALOCK_CONFIG).map(PathBuf::from));
        for path in files(named.as_deref()) {
            if let Some(file) = read(&path, named.is_some())? {
                settings.layer(file, &path);
            }
        }
        settings.layer_environment();
        settings.state_dir.layer(state_dir.map(Path::to_owned), &Origin::Flag("--state-dir"));
        Ok(settings)
    }

    fn defaults() -> Self {
        Self {
            state_dir: Setting::default(paths::DEFAULT_STATE.into()),
            passphrase_file: Setting::default(None),
            pkcs11_module: Setting::default(None),
            hsm_helper: Setting::default(None),
            backup_hours: Setting::default(48),
            drill_days: Setting::default(100),
            outside: Outside {
                mirrors: Setting::default(BTreeMap::new()),
                ca_files: Setting::default(Vec::new()),
                proxy: Setting::default(Proxy::default()),
                docker_config: Setting::default(env::docker_config()),
                retries: Setting::default(5),
                connect_seconds: Setting::default(10),
                idle_seconds: Setting::default(60),
                parallel: Setting::default(6),
            },
        }
    }

    fn layer(&mut self, file: SettingsFile, path: &Path) {
        let origin = &Origin::File(path.to_owned());
        // Relative paths in a file are relative to that file, wherever the command is run.
        let here = |given: PathBuf| path.parent().map_or(given.clone(), |folder| folder.join(&given));
        self.state_dir.layer(file.state_dir.map(here), origin);
        self.passphrase_file.layer(file.passphrase_file.map(here).map(Some), origin);
        self.pkcs11_module.layer(file.pkcs11_module.map(here).map(Some), origin);
        self.hsm_helper.layer(file.hsm_helper.map(here).map(Some), origin);
        self.backup_hours.layer(file.backup_hours, origin);
        self.drill_days.layer(file.drill_days, origin);
        let outside = &mut self.outside;
        outside.mirrors.layer(file.mirrors, origin);
        outside.ca_files.layer(file.ca_files.map(|files| files.into_iter().map(here).collect()), origin);
        outside.proxy.layer(file.proxy, origin);
        outside.docker_config.layer(file.docker_config.map(here).map(Some), origin);
        outside.retries.layer(file.retries, origin);
        outside.connect_seconds.layer(file.connect_seconds, origin);
        outside.idle_seconds.layer(file.idle_seconds, origin);
        outside.parallel.layer(file.parallel, origin);
    }

    fn layer_environment(&mut self) {
        let state = env::read(&env::SEALOCK_STATE_DIR).map(PathBuf::from);
        self.state_dir.layer(state, &Origin::Environment(env::SEALOCK_STATE_DIR.name));
        let passphrase = env::read(&env::SEALOCK_PASSPHRASE_FILE).map(|path| Some(path.into()));
        self.passphrase_file.layer(passphrase, &Origin::Environment(env::SEALOCK_PASSPHRASE_FILE.name));
        let module = env::read(&env::SEALOCK_PKCS11_MODULE).map(|path| Some(path.into()));
        self.pkcs11_module.layer(module, &Origin::Environment(env::SEALOCK_PKCS11_MODULE.name));
        let helper = env::read(&env::SEALOCK_HSM_HELPER).map(|path| Some(path.into()));
        self.hsm_helper.layer(helper, &Origin::Environment(env::SEALOCK_HSM_HELPER.name));
        let both = env::read_proxy(&env::ALL_PROXY);
        let https = env::read_proxy(&env::HTTPS_PROXY).or_else(|| both.clone());
        let http = env::read_proxy(&env::HTTP_PROXY).or(both);
        if https.is_some() || http.is_some() {
            let except = env::read_proxy(&env::NO_PROXY).unwrap_or_default();
            let except = except.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned);
            let proxy = Proxy { https, http, except: except.collect() };
            self.outside.proxy.layer(Some(proxy), &Origin::Environment(env::HTTPS_PROXY.name));
        }
        // Besides the file's: somebody who sets it for other programs does not mean to take ours away.
        self.outside.ca_files.value.extend(env::read(&env::SSL_CERT_FILE).map(PathBuf::from));
    }
}

/// The files to read, the least important first.
fn files(config: Option<&Path>) -> Vec<PathBuf> {
    match config {
        Some(path) => vec![path.to_owned()],
        None => [Some(PathBuf::from(paths::STATION_CONFIG)), env::config_dir().map(|dir| dir.join("config.yaml"))]
            .into_iter()
            .flatten()
            .collect(),
    }
}

fn read(path: &Path, required: bool) -> Result<Option<SettingsFile>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => return Ok(None),
        Err(error) => {
            return Err(CommandError::from(error).context(format!("reading the settings file {}", path.display())));
        }
    };
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Some(SettingsFile::default()));
    }
    document::load_plain(path, &text).map(Some).map_err(|error| {
        CommandError::usage(error.to_string()).hint("docs/reference/settings.md lists what may stand there.")
    })
}
