//! The machine under the operating system, and the operating system.

use rustix::fs::statvfs;

use super::{Cgroup, Disk, FactsError, Os};
use crate::host::{self, Host, HostError};

const DISK: &str = "/var/lib";

pub(super) fn machine_id(host: &dyn Host) -> Result<String, FactsError> {
    let path = "/etc/machine-id";
    let id = host::read_text(host, path)?.unwrap_or_default().trim().to_owned();
    if id.len() == 32 { Ok(id) } else { Err(FactsError::Incomplete { path, what: "what the machine is called" }) }
}

pub(super) fn hostname(host: &dyn Host) -> Result<String, HostError> {
    Ok(host::read_text(host, "/proc/sys/kernel/hostname")?.unwrap_or_default().trim().to_owned())
}

pub(super) fn kernel(host: &dyn Host) -> Result<String, HostError> {
    Ok(host::read_text(host, "/proc/sys/kernel/osrelease")?.unwrap_or_default().trim().to_owned())
}

pub(super) fn os(host: &dyn Host) -> Result<Os, HostError> {
    let text = match host::read_text(host, "/etc/os-release")? {
        Some(text) => text,
        None => host::read_text(host, "/usr/lib/os-release")?.unwrap_or_default(),
    };
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    Ok(Os { id: value("ID"), version: value("VERSION_ID"), name: value("PRETTY_NAME") })
}

/// The platform's name as OCI has it; the binary that runs here was built for it.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What kubelet asks: is the file system at `/sys/fs/cgroup` the unified one?
pub(super) fn cgroup(host: &dyn Host) -> Result<Cgroup, HostError> {
    let unified = host::exists(host, "/sys/fs/cgroup/cgroup.controllers")?;
    Ok(if unified { Cgroup::V2 } else { Cgroup::V1 })
}

pub(super) fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

pub(super) fn memory_bytes(host: &dyn Host) -> Result<u64, FactsError> {
    let path = "/proc/meminfo";
    let text = host::read_text(host, path)?.unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.map(|count| count * 1024).ok_or(FactsError::Incomplete { path, what: "how much memory there is" })
}

pub(super) fn swap_bytes(host: &dyn Host) -> Result<u64, HostError> {
    let text = host::read_text(host, "/proc/swaps")?.unwrap_or_default();
    let size = |line: &str| line.split_whitespace().nth(2)?.parse::<u64>().ok();
    Ok(text.lines().skip(1).filter_map(size).sum::<u64>() * 1024)
}

pub(super) fn disk() -> Result<Disk, FactsError> {
    let stat = statvfs(DISK).map_err(|source| FactsError::FileSystem { path: DISK, source })?;
    Ok(Disk { total_bytes: stat.f_blocks * stat.f_frsize, free_bytes: stat.f_bavail * stat.f_frsize })
}
