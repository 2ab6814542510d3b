//! The machines of the inside: full Debian systems with sshd and nothing of Kubernetes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::parts::Parts;
use super::run::{run, run_with_us, write};
use super::{Lab, network, nspawn};

/// One machine of the inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) name: &'static str,
    /// The last number of its addresses.
    pub(super) number: u8,
}

const MACHINES: [Machine; 9] = [
    Machine { name: "station", number: 2 },
    Machine { name: "cp1", number: 11 },
    Machine { name: "cp2", number: 12 },
    Machine { name: "cp3", number: 13 },
    Machine { name: "cp4", number: 14 },
    Machine { name: "cp5", number: 15 },
    Machine { name: "w1", number: 21 },
    Machine { name: "w2", number: 22 },
    Machine { name: "w3", number: 23 },
];

/// Units that would reach through to the kernel or the clock beneath, or that wait for what a machine here never has.
const MASKED: [&str; 11] = [
    "systemd-sysctl.service",
    "systemd-networkd.service",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "console-getty.service",
];

impl Machine {
    /// # Errors
    /// No machine has this name.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let Some(machine) = MACHINES.iter().find(|machine| machine.name == name) else {
            bail!("{name:?} is no machine of the lab: there are {}", MACHINES.map(|machine| machine.name).join(", "));
        };
        Ok(*machine)
    }

    pub(super) fn is_node(&self) -> bool {
        self.name != "station"
    }

    pub(super) fn address(&self) -> String {
        format!("10.77.0.{}", self.number)
    }

    pub(super) fn address_v6(&self) -> String {
        format!("fd77::{}", self.number)
    }

    /// Sets the machine up and boots it, as far as that has not happened yet.
    ///
    /// # Errors
    /// Its disk cannot be written, or it does not come up.
    pub(super) fn ensure_up(&self, lab: &Lab, parts: &Parts) -> Result<()> {
        network::attach(lab, self)?;
        if !lab.root_of(self.name).exists() {
            self.install(lab, parts).with_context(|| format!("{}: setting up", self.name))?;
        }
        if nspawn::leader(lab, self.name).is_none() {
            nspawn::boot(lab, self)?;
        }
        nspawn::wait_until_running(lab, self)
    }

    /// Unpacks and configures the system beside its final place, so that a half-installed one is never booted.
    fn install(&self, lab: &Lab, parts: &Parts) -> Result<()> {
        let finished = lab.root_of(self.name);
        let root = finished.with_file_name(format!(".installing-{}", self.name));
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        fs::create_dir_all(&root)?;
        let tar = parts.rootfs.join("machine.tar");
        run_with_us("tar", &["-C", text(&root)?, "--numeric-owner", "-xpf", text(&tar)?])?;
        self.name_it(&root)?;
        self.prepare_boot(&root)?;
        run("ssh-keygen", &["-A", "-f", text(&root)?])?;
        add_users(&root, &lab.dir().join("site/ops.pub"))?;
        if !self.is_node() {
            furnish_station(&root, lab, parts)?;
        }
        fs::rename(&root, &finished).context("its disk cannot be put in place")
    }

    fn name_it(&self, root: &Path) -> Result<()> {
        write(&root.join("etc/hostname"), format!("{}\n", self.name))?;
        write(&root.join("etc/hosts"), format!("127.0.0.1 localhost\n{} {}\n", self.address(), self.name))?;
        write(&root.join("etc/resolv.conf"), "nameserver 10.77.0.2\n")
    }

    fn prepare_boot(&self, root: &Path) -> Result<()> {
        let units = root.join("etc/systemd/system");
        let script = root.join("usr/local/sbin/lab-early-boot");
        write(&script, include_str!("../../../lab/machine/early-boot.sh"))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        install_unit(
            &units,
            "lab-early-boot.service",
            "sysinit.target",
            include_str!("../../../lab/machine/early-boot.service"),
        )?;
        for unit in MASKED {
            let path = units.join(unit);
            if fs::symlink_metadata(&path).is_ok() {
                fs::remove_file(&path)?;
            }
            symlink("/dev/null", &path).with_context(|| format!("{}: cannot be masked", path.display()))?;
        }
        Ok(())
    }
}

/// The key with which the station reaches the nodes, one per lab.
///
/// # Errors
/// It cannot be made.
pub(super) fn make_site_key(lab: &Lab) -> Result<()> {
    let key = lab.dir().join("site/ops");
    let public = key.with_extension("pub");
    if public.exists() {
        return Ok(());
    }
    fs::create_dir_all(lab.dir().join("site"))?;
    if key.exists() {
        fs::remove_file(&key)?;
    }
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "ops@station", "-f", text(&key)?]).map(drop)
}

fn add_users(root: &Path, key: &Path) -> Result<()> {
    for user in ["ops", "nosudo"] {
        run("chroot", &[text(root)?, "useradd", "--create-home", "--shell", "/bin/bash", user])?;
        let home = format!("/home/{user}");
        let authorized = root.join(&home[1..]).join(".ssh/authorized_keys");
        write(&authorized, fs::read(key)?)?;
        run("chroot", &[text(root)?, "chown", "-R", &format!("{user}:{user}"), &home])?;
        run("chroot", &[text(root)?, "chmod", "-R", "go-rwx", &format!("{home}/.ssh")])?;
    }
    let rule = root.join("etc/sudoers.d/ops");
    write(&rule, "ops ALL=(ALL) NOPASSWD: ALL\n")?;
    fs::set_permissions(&rule, fs::Permissions::from_mode(0o440)).context("the sudo rule of ops")
}

fn furnish_station(root: &Path, lab: &Lab, parts: &Parts) -> Result<()> {
    let private = root.join("root/.ssh/id_ed25519");
    write(&private, fs::read(lab.dir().join("site/ops"))?)?;
    write(&private.with_extension("pub"), fs::read(lab.dir().join("site/ops.pub"))?)?;
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600))?;
    fs::set_permissions(root.join("root/.ssh"), fs::Permissions::from_mode(0o700))?;
    fs::copy(parts.coredns.join("bin/coredns"), root.join("usr/local/bin/coredns")).context("the site's DNS")?;
    write(&root.join("etc/coredns/Corefile"), include_str!("../../../lab/station/coredns.conf"))?;
    let units = root.join("etc/systemd/system");
    install_unit(&units, "site-dns.service", "multi-user.target", include_str!("../../../lab/station/site-dns.service"))
}

fn install_unit(units: &Path, name: &str, wanted_by: &str, content: &str) -> Result<()> {
    write(&units.join(name), content)?;
    let wants = units.join(format!("{wanted_by}.wants"));
    fs::create_dir_all(&wants)?;
    symlink(units_path(name), wants.join(name)).with_context(|| format!("{name}: cannot be enabled"))
}

fn units_path(name: &str) -> String {
    format!("/etc/systemd/system/{name}")
}

/// A path as a program's argument.
pub(super) fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{}: is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::Machine;

    #[test]
    fn addresses_follow_from_the_name() {
        let worker = Machine::parse("w1").unwrap();
        assert_eq!((worker.address().as_str(), worker.address_v6().as_str()), ("10.77.0.21", "fd77::21"));
        assert!(worker.is_node() && !Machine::parse("station").unwrap().is_node());
    }

    #[test]
    fn an_unknown_machine_is_answered_with_the_known_ones() {
        let refusal = Machine::parse("cp9").unwrap_err().to_string();
        assert_eq!(refusal, "\"cp9\" is no machine of the lab: there are station, cp1, cp2, cp3, cp4, cp5, w1, w2, w3");
    }
}
