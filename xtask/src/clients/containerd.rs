//! containerd 2.x as a daemon of its own: its transfer service, alone and with parallel open-ended ranges, and the older local
//! way, which 1.7 had.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::relay::{Relay, Way};
use super::scene::Scene;
use super::{Row, row, skopeo};

pub(super) const ROWS: &[Row] = &[
    row("containerd", "pulls an image by tag through hosts.toml, and pushes it (transfer service)", transfer),
    row("containerd", "pulls with parallel open-ended ranges of 1 MiB", ranges),
    row("containerd", "pulls in the local way of 1.7", local),
];

/// A daemon that runs until it is dropped.
pub(super) struct Daemon<'a> {
    scene: &'a Scene,
    child: Child,
    socket: String,
    hosts: PathBuf,
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Daemon<'a> {
    /// Starts it; `buffer` bytes is how much of a layer one connection fetches, 0 for a whole layer.
    pub(super) fn start(scene: &'a Scene, address: &str, buffer: u64) -> Result<Self> {
        let folder = scene.fresh("containerd")?;
        let hosts = folder.join("hosts");
        let host = hosts.join(address.replace(':', "_") + "_");
        fs::create_dir_all(&host)?;
        let ca = scene.path("certificates/ca.crt");
        let text =
            format!("server = \"https://{address}\"\n[host.\"https://{address}\"]\n  ca = \"{}\"\n", ca.display());
        fs::write(host.join("hosts.toml"), text)?;
        // A Unix socket's path is short; the scene's folder need not be.
        let run = PathBuf::from(format!("/run/sealock-clients-{}", std::process::id()));
        fs::create_dir_all(&run)?;
        let socket = run.join("containerd.sock").display().to_string();
        let config = folder.join("config.toml");
        fs::write(&config, configuration(&folder, &run, &socket, &hosts, buffer))?;
        let log = fs::File::create(folder.join("log"))?;
        let child = scene
            .command("containerd", &["--config", &config.display().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .spawn()
            .context("cannot run containerd")?;
        let daemon = Self { scene, child, socket, hosts };
        daemon.wait()?;
        Ok(daemon)
    }

    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Err(error) = self.ctr(&["version"]) {
            if Instant::now() > deadline {
                bail!("containerd does not answer: {error:#}");
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(())
    }

    pub(super) fn ctr(&self, args: &[&str]) -> Result<String> {
        self.scene.tool("ctr", &[&["--address", self.socket.as_str(), "--namespace", "clients"], args].concat())
    }

    /// Pulls what is at `reference`; its content must be the whole image.
    pub(super) fn pull(&self, reference: &str, flags: &[&str]) -> Result<()> {
        let hosts = self.hosts.display().to_string();
        let credentials = self.scene.credentials();
        let pull = ["images", "pull", "--hosts-dir", &hosts, "--user", &credentials, "--snapshotter", "native"];
        self.ctr(&[&pull[..], flags, &[reference]].concat())?;
        let content = self.ctr(&["content", "ls", "--quiet"])?;
        let layer = &self.scene.layout.layer;
        ensure!(content.lines().any(|line| line == layer), "the layer {layer} is not in {content}");
        Ok(())
    }
}

fn configuration(
    folder: &std::path::Path,
    run: &std::path::Path,
    socket: &str,
    hosts: &std::path::Path,
    buffer: u64,
) -> String {
    format!(
        "version = 3\nroot = \"{0}/root\"\nstate = \"{1}/state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.runtime\", \"io.containerd.cri.v1.images\", \
         \"io.containerd.nri.v1.nri\"]\n\
         [grpc]\n  address = \"{socket}\"\n[ttrpc]\n  address = \"{socket}.ttrpc\"\n\
         [plugins.'io.containerd.transfer.v1.local']\n  config_path = \"{2}\"\n  max_concurrent_downloads = 6\n  \
         concurrent_layer_fetch_buffer = {buffer}\n  check_platform_supported = false\n  \
         [[plugins.'io.containerd.transfer.v1.local'.unpack_config]]\n    platform = \"linux/amd64\"\n    snapshotter = \"native\"\n    \
         differ = \"walking\"\n",
        folder.display(),
        run.display(),
        hosts.display(),
    )
}

fn pushed(scene: &Scene, name: &str) -> Result<String> {
    let reference = scene.at(&format!("containerd/{name}:1"));
    skopeo::copy(scene, "oci:images:one", &format!("docker://{reference}"), &[])?;
    Ok(reference)
}

fn transfer(scene: &Scene) -> Result<()> {
    let reference = pushed(scene, "transfer")?;
    let daemon = Daemon::start(scene, &scene.endpoint.address, 0)?;
    daemon.pull(&reference, &[])?;
    let copy = scene.at("containerd/pushed:1");
    daemon.ctr(&["images", "tag", &reference, &copy])?;
    let (hosts, credentials) = (daemon.hosts.display().to_string(), scene.credentials());
    daemon.ctr(&["images", "push", "--hosts-dir", &hosts, "--user", &credentials, &copy])?;
    scene.fresh("containerd-out")?;
    skopeo::copy(scene, &format!("docker://{copy}"), "oci:containerd-out:one", &[])
}

fn ranges(scene: &Scene) -> Result<()> {
    pushed(scene, "ranges")?;
    // Only to count: whoever hangs up after each piece needs a connection for the next.
    let relay = Relay::start(&scene.endpoint.address, Way::Down, 0, 0)?;
    Daemon::start(scene, &relay.address, 1 << 20)?.pull(&format!("{}/containerd/ranges:1", relay.address), &[])?;
    ensure!(relay.connections() > 8, "{} connections only: these were no ranges", relay.connections());
    Ok(())
}

fn local(scene: &Scene) -> Result<()> {
    let reference = pushed(scene, "local")?;
    Daemon::start(scene, &scene.endpoint.address, 0)?.pull(&reference, &["--local"])
}
