//! The sealed lab (DESIGN §10): an outside with real software under its real names, and an inside of full Debian
//! machines with no way out. `lab/README.md` tells how it is made and what stands where.
//!
//! A lab keeps no record of what it started. Everything it starts lives in network namespaces, control groups and a folder
//! that carry the lab's id, and those are asked: so a lab that was killed at any point can be brought up again, or down.

mod accounts;
mod cgroup;
mod cli;
mod egress;
mod hole;
mod machine;
mod network;
mod nspawn;
mod outside;
mod parts;
mod privilege;
mod run;
mod teardown;

pub use accounts::Accounts;
pub use cli::{LabArgs, command};
pub use parts::Upstream;
pub use privilege::become_root;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use self::machine::Machine;
use self::run::Stopwatch;

/// Where the labs of this computer keep their machines: a real disk, because container images are unpacked there.
const LABS: &str = "/var/tmp/sealock-lab";

/// One lab. Several can run side by side: addresses are the same in each, namespaces keep them apart.
#[derive(Debug, Clone)]
pub struct Lab {
    id: String,
    dir: PathBuf,
    upstream: Upstream,
}

impl Lab {
    /// The lab with this id, whether it runs or not.
    ///
    /// # Errors
    /// An id that is not one to eight lower-case letters and digits.
    pub fn open(id: &str) -> Result<Self> {
        let fits = (1..=8).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !fits {
            bail!("lab id {id:?}: use one to eight lower-case letters and digits");
        }
        Ok(Self { id: id.to_owned(), dir: Path::new(LABS).join(id), upstream: Upstream::default() })
    }

    /// The same lab with another upstream outside.
    #[must_use]
    pub fn with_upstream(self, upstream: Upstream) -> Self {
        Self { upstream, ..self }
    }

    /// Builds what is missing of the parts and starts what is not running: the outside, the station and these nodes.
    ///
    /// # Errors
    /// A part that cannot be built, a node name that is none, a machine that does not come up.
    pub fn up(&self, nodes: &[&str]) -> Result<()> {
        let mut machines = vec![Machine::parse("station")?];
        for node in nodes {
            machines.push(Machine::parse(node)?);
        }
        let parts = parts::build(self.upstream)?;
        become_root()?;
        let _turn = self.take_turn()?;
        let watch = Stopwatch::start();
        teardown::raise_kernel_settings()?;
        network::make_site(self)?;
        outside::start(self, &parts)?;
        watch.say("outside: upstream answers on 198.51.100.10");
        std::thread::scope(|scope| {
            let boots: Vec<_> = machines
                .iter()
                .map(|machine| {
                    let (parts, watch) = (&parts, &watch);
                    scope.spawn(move || {
                        machine.ensure_up(self, parts)?;
                        watch.say(&format!("{}: up on {}", machine.name, machine.address()));
                        anyhow::Ok(())
                    })
                })
                .collect();
            boots.into_iter().try_for_each(|boot| boot.join().unwrap_or_else(|_| bail!("a boot panicked")))
        })?;
        self.wait_for_ssh(&machines)?;
        watch.say("the station reaches every node over SSH");
        Ok(())
    }

    /// Builds what is missing of the parts, and starts nothing.
    ///
    /// # Errors
    /// A part that cannot be built.
    pub fn build_parts(&self) -> Result<()> {
        parts::build(self.upstream).map(drop)
    }

    /// Ends and removes everything of this lab, and then looks whether anything is left.
    ///
    /// # Errors
    /// What is left, by name.
    pub fn down(&self) -> Result<()> {
        become_root()?;
        let _turn = self.take_turn()?;
        teardown::remove(self)?;
        teardown::check(self)
    }

    /// A command that runs in a machine (`station`, `cp1`, …) as its root, or in the outside's network (`outside`).
    /// Input, output and exit code pass through. Needs root.
    #[must_use]
    pub fn exec(&self, machine: &str, argv: &[&str]) -> Command {
        if machine == "outside" {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &self.namespace("outside")]).args(argv);
            return command;
        }
        nspawn::command_in(self, machine, argv)
    }

    /// The root folder of a machine's file system, seen from this computer: the place to carry a medium to.
    #[must_use]
    pub fn root_of(&self, machine: &str) -> PathBuf {
        self.dir.join("machines").join(machine)
    }

    /// The root folder of a machine that runs as its own processes see it, with all that is mounted there.
    #[must_use]
    pub fn view_of(&self, machine: &str) -> Option<PathBuf> {
        nspawn::leader(self, machine).map(|leader| PathBuf::from(format!("/proc/{leader}/root")))
    }

    /// The lab's folder. `outside/` holds `ca.crt` (who vouches for the upstream), `cosign.pub`, `archive.asc` (who signs its Debian packages), `mirrors.yaml`
    /// (real host to upstream URL) and `images.txt` (name, tag and digest of every upstream image).
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lab's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Publishes the packages of the archive `https://archive.lab.example/debian` (suite `lab`, component `main`, key `outside/archive.asc`) in this
    /// version: `lab/outside/archive.sh` says which there are. A lab begins with `1.0`; what it had stays in
    /// `outside/www/archive.lab.example/debian/pool/`.
    ///
    /// # Errors
    /// The lab is not running, or a program fails.
    pub fn publish_packages(&self, version: &str) -> Result<()> {
        become_root()?;
        outside::publish_packages(self, version)
    }

    /// Opens a way out on purpose: afterwards every machine reaches the outside, over IPv4 and IPv6.
    ///
    /// # Errors
    /// The lab is not running.
    pub fn open_hole(&self) -> Result<()> {
        become_root()?;
        hole::open(self)
    }

    /// Closes what [`Lab::open_hole`] opened; nothing happens if there is no hole.
    ///
    /// # Errors
    /// The lab is not running.
    pub fn close_hole(&self) -> Result<()> {
        become_root()?;
        hole::close(self)
    }

    /// Takes a machine's power away. Its disk stays as it is.
    ///
    /// # Errors
    /// No such machine, or it survives.
    pub fn kill_machine(&self, machine: &str) -> Result<()> {
        become_root()?;
        nspawn::kill(self, &Machine::parse(machine)?)
    }

    /// Boots a machine whose power was taken, from the disk it has, and waits until it runs. One that runs is left alone.
    ///
    /// # Errors
    /// The machine was never set up, or does not come up.
    pub fn boot_machine(&self, machine: &str) -> Result<()> {
        become_root()?;
        let machine = Machine::parse(machine)?;
        if !self.root_of(machine.name).exists() {
            bail!("lab {}: {} was never set up: name it in `lab up --nodes`", self.id, machine.name);
        }
        network::attach(self, &machine)?;
        if nspawn::leader(self, machine.name).is_none() {
            nspawn::boot(self, &machine)?;
        }
        nspawn::wait_until_running(self, &machine)
    }

    /// Pulls a machine's cable out of the site's switch. The machine itself goes on.
    ///
    /// # Errors
    /// No such machine, or it has no cable.
    pub fn unplug(&self, machine: &str) -> Result<()> {
        become_root()?;
        network::set_cable(self, &Machine::parse(machine)?, "down")
    }

    /// Puts the cable back that [`Lab::unplug`] pulled; nothing happens where it is in.
    ///
    /// # Errors
    /// No such machine, or it has no cable.
    pub fn plug(&self, machine: &str) -> Result<()> {
        become_root()?;
        network::set_cable(self, &Machine::parse(machine)?, "up")
    }

    /// A part of the control group's name that every process of a machine shows in `/proc/PID/cgroup`.
    #[must_use]
    pub fn group_of(&self, machine: &str) -> String {
        format!("/{}/{machine}", cgroup::folder(self))
    }

    /// The name of one of this lab's network namespaces.
    fn namespace(&self, part: &str) -> String {
        format!("slk{}-{part}", self.id)
    }

    /// The machines that have been set up, running or not.
    fn machines(&self) -> Result<Vec<Machine>> {
        let folder = self.dir.join("machines");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("{}: cannot be listed", folder.display()))? {
            if let Ok(machine) = Machine::parse(&entry?.file_name().to_string_lossy()) {
                found.push(machine);
            }
        }
        found.sort_by_key(|machine| machine.number);
        Ok(found)
    }

    fn lock_path(&self) -> PathBuf {
        Path::new(LABS).join(format!("{}.lock", self.id))
    }

    /// One `up` or `down` of a lab at a time; the lock ends with the process that holds it.
    fn take_turn(&self) -> Result<File> {
        let path = self.lock_path();
        loop {
            fs::create_dir_all(LABS).with_context(|| format!("{LABS}: cannot be made"))?;
            let lock = File::create(&path).with_context(|| format!("{}: cannot be made", path.display()))?;
            lock.lock().with_context(|| format!("{}: cannot be locked", path.display()))?;
            // `down` removes the file: a lock on what has no name any more keeps nobody out.
            if fs::metadata(&path).is_ok_and(|now| lock.metadata().is_ok_and(|ours| ours.ino() == now.ino())) {
                return Ok(lock);
            }
        }
    }

    fn wait_for_ssh(&self, machines: &[Machine]) -> Result<()> {
        for node in machines.iter().filter(|machine| machine.is_node()) {
            let target = format!("ops@{}", node.address());
            run::wait_until(&format!("{}: SSH as ops from the station", node.name), 120, || {
                let options =
                    ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
                let argv: Vec<&str> =
                    ["ssh"].into_iter().chain(options).chain([target.as_str(), "sudo", "-n", "true"]).collect();
                Ok(self.exec("station", &argv).output()?.status.success())
            })?;
        }
        Ok(())
    }
}
#[cfg(test)]
mod tests {
    use super::Lab;

    #[test]
    fn an_id_goes_into_names_of_namespaces_and_folders_so_it_is_plain() {
        assert_eq!(Lab::open("dev").unwrap().namespace("cp1"), "slkdev-cp1");
        for id in ["", "Dev", "a-b", "../x", "ninechars"] {
            assert!(Lab::open(id).is_err(), "{id:?} was taken");
        }
    }

    #[test]
    fn a_command_in_a_machine_that_is_not_there_says_so_and_fails() {
        let lab = Lab::open("never").unwrap();
        let output = lab.exec("cp1", &["true"]).output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "lab never: cp1 is not running\n");
    }
}
