//! Where things are kept at the station (DESIGN §6, "Paths").

use std::path::{Path, PathBuf};

/// The station's state folder where nothing else is said.
pub const DEFAULT_STATE: &str = "/var/lib/sealock";

/// The folder of the station's settings.
pub const SETTINGS_DIR: &str = "/etc/sealock";

/// The station's settings.
pub const STATION_CONFIG: &str = "/etc/sealock/config.yaml";

/// Who may do what at the station's registry.
pub const ACCESS: &str = "/etc/sealock/registry.yaml";

/// Where `serve` listens for `reload`.
pub const CONTROL_SOCKET: &str = "/run/sealock/control.sock";

/// The places below the state folder.
#[derive(Clone, Debug)]
pub struct Paths {
    state: PathBuf,
}

impl Paths {
    pub fn new(state: PathBuf) -> Self {
        Self { state }
    }

    pub fn state(&self) -> &Path {
        &self.state
    }

    pub fn store(&self) -> PathBuf {
        self.state.join("store")
    }

    pub fn trust(&self) -> PathBuf {
        self.state.join("trust")
    }

    pub fn keys(&self) -> PathBuf {
        self.state.join("keys")
    }

    /// What the registry keeps for itself: the key by which it signs tokens.
    pub fn registry(&self) -> PathBuf {
        self.state.join("registry")
    }

    /// The receipts that were given out last, one of each stream.
    pub fn receipts(&self) -> PathBuf {
        self.state.join("receipts")
    }

    /// Programs of the release that drills run at the station, taken out anew for each.
    pub fn programs(&self) -> PathBuf {
        self.state.join("programs")
    }

    /// What is remembered of backups and of restore drills.
    pub fn evidence(&self) -> PathBuf {
        self.state.join("evidence")
    }

    /// What belongs to clusters, one folder each.
    pub fn clusters(&self) -> PathBuf {
        self.state.join("clusters")
    }

    /// What belongs to one cluster: plans, journal, kubeconfig.
    pub fn cluster(&self, name: &str) -> PathBuf {
        self.clusters().join(name)
    }

    /// The socket on which `serve` is told to reload: beside the state where that is not the usual one.
    pub fn control_socket(&self) -> PathBuf {
        if self.state == Path::new(DEFAULT_STATE) {
            PathBuf::from(CONTROL_SOCKET)
        } else {
            self.state.join("control.sock")
        }
    }
}
