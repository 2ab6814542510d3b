//! Memory that looks like a folder: what lies there is gone with the power at the latest.

use std::fs;
use std::path::PathBuf;

use rustix::fs::statfs;

const MEMORY: &str = "/dev/shm";
/// The magic number of tmpfs (`linux/magic.h`).
const TMPFS: u64 = 0x0102_1994;

/// The folder in memory, where so many bytes fit there twice over: nothing that the machine runs is to give way for a drill.
pub fn in_memory(needed: u64) -> Option<PathBuf> {
    let needed = needed.saturating_mul(2);
    let found = statfs(MEMORY).ok()?;
    let free = found.f_bavail.saturating_mul(u64::try_from(found.f_bsize).unwrap_or_default());
    let is_free = u64::try_from(found.f_type) == Ok(TMPFS) && free >= needed;
    let has_memory = available(&fs::read_to_string("/proc/meminfo").ok()?)? >= needed;
    (is_free && has_memory).then(|| PathBuf::from(MEMORY))
}

/// What the kernel says may be used without swapping, in bytes (proc(5), "MemAvailable").
fn available(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memory_that_is_there_to_spare_is_taken() {
        assert_eq!(available("MemTotal:       24683036 kB\nMemAvailable:   18983424 kB\n"), Some(18_983_424 * 1024));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(in_memory(1 << 60), None);
    }
}
