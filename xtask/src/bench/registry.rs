//! The peers' registries, on loopback, each over a folder of its own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::measure::{self, Cost};

/// A registry that runs until it is dropped.
pub struct Registry {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Registry {
    /// Starts `program serve CONFIG` (distribution 3, or Debian's docker-registry) over a fresh folder.
    pub fn start(program: &Path, folder: &Path) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let config = folder.join("config.yml");
        fs::write(&config, configuration(folder, &address))?;
        let child = Command::new(program)
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let registry = Self { child, address };
        registry.wait()?;
        Ok(registry)
    }

    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&self.address).is_err() {
            if Instant::now() > deadline {
                bail!("the registry does not listen on {} after 20 s", self.address);
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(())
    }

    /// What it has cost so far.
    pub fn cost(&self) -> Result<Cost> {
        measure::accounts(self.child.id())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Ours, by its handle; nothing to do about one that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(folder: &Path, address: &str) -> String {
    let data = folder.join("data");
    format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
        data.display()
    )
}
