//! What a machine of the lab costs this computer, all its processes together.

use std::fs;

use anyhow::{Context, Result};

use super::{Lab, cgroup};

/// What a machine uses at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accounts {
    /// Processes that run.
    pub processes: usize,
    /// Their memory, in bytes; what several share is counted once.
    pub memory: u64,
}

impl Lab {
    /// Processor time of a machine since it was booted, in seconds.
    ///
    /// # Errors
    /// The machine has no control group that counts it.
    pub fn cpu_of(&self, machine: &str) -> Result<f64> {
        for group in cgroup::groups_of(self, machine)? {
            if let Ok(nanoseconds) = fs::read_to_string(group.join("cpuacct.usage")) {
                return Ok(nanoseconds.trim().parse::<f64>().context("cpuacct.usage")? / 1e9);
            }
            let stat = fs::read_to_string(group.join("cpu.stat")).unwrap_or_default();
            if let Some(microseconds) = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")) {
                return Ok(microseconds.parse::<f64>().context("cpu.stat")? / 1e6);
            }
        }
        anyhow::bail!("lab {}: no control group counts the time of {machine}", self.id)
    }

    /// The processes of a machine and their memory: looking at each takes a while.
    ///
    /// # Errors
    /// The control groups cannot be read.
    pub fn accounts_of(&self, machine: &str) -> Result<Accounts> {
        let processes = cgroup::processes(self, machine)?;
        // One that has ended meanwhile has no memory.
        let rollup = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let kibibytes: u64 = processes.iter().map(|pid| crate::bench::field(&rollup(pid), "Pss:")).sum();
        Ok(Accounts { processes: processes.len(), memory: kibibytes * 1024 })
    }
}
