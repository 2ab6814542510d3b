//! Where a drill may lay out what a backup holds: memory that looks like a folder, or a disk.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{StatFs, statfs};

use super::PREFIX;
use crate::backup::BackupError;
use crate::scratch;

/// What lies there is gone with the power at the latest.
const MEMORY: &str = "/dev/shm";
/// The magic number of tmpfs (`linux/magic.h`).
const TMPFS: u64 = 0x0102_1994;

/// Folders of which a drill takes one.
#[derive(Clone, Debug)]
pub struct Places {
    named: Option<PathBuf>,
    memory: PathBuf,
    disk: PathBuf,
}

impl Places {
    /// The folder that somebody `named`; else memory, where it has room to spare, and else `disk`.
    pub fn new(named: Option<&Path>, disk: &Path) -> Self {
        Self { named: named.map(Path::to_owned), memory: MEMORY.into(), disk: disk.to_owned() }
    }

    /// Removes what drills that were killed have left in any of them, whichever is taken now.
    ///
    /// # Errors
    /// Something of it stays.
    pub fn clear(&self) -> Result<(), BackupError> {
        [self.named.as_ref(), Some(&self.memory), Some(&self.disk)].into_iter().flatten().try_for_each(|place| {
            scratch::clear(place, PREFIX).map_err(BackupError::io("remove what an earlier drill left in", place))
        })
    }

    /// The one that takes `needed` bytes.
    ///
    /// # Errors
    /// It has not so much room.
    pub fn choose(&self, needed: u64) -> Result<&Path, BackupError> {
        let place = match &self.named {
            Some(named) => named,
            // Nothing that the machine runs is to give way for a drill.
            None if is_memory(&self.memory) && room_in(&self.memory)? / 2 >= needed => &self.memory,
            None => &self.disk,
        };
        match room_in(place)? {
            free if free < needed => Err(BackupError::NoRoomToDrill { path: place.clone(), free, needed }),
            _ => Ok(place),
        }
    }
}

fn is_memory(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|found| is_tmpfs(&found))
}

fn is_tmpfs(found: &StatFs) -> bool {
    u64::try_from(found.f_type) == Ok(TMPFS)
}

/// How many bytes fit there: of a folder in memory no more than there is memory for.
fn room_in(folder: &Path) -> Result<u64, BackupError> {
    let found = statfs(folder).map_err(|error| BackupError::io("look at", folder)(error.into()))?;
    let free = found.f_bavail.saturating_mul(u64::try_from(found.f_bsize).unwrap_or_default());
    if !is_tmpfs(&found) {
        return Ok(free);
    }
    let said = fs::read_to_string("/proc/meminfo").map_err(BackupError::io("read", "/proc/meminfo"))?;
    Ok(free.min(available(&said).unwrap_or_default()))
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
    fn only_what_has_room_to_spare_is_taken() {
        assert_eq!(available("MemTotal:       24683036 kB\nMemAvailable:   18983424 kB\n"), Some(18_983_424 * 1024));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        let disk = tempfile::tempdir().unwrap();
        let places = Places::new(None, disk.path());
        places.choose(0).unwrap();
        for named in [None, Some(disk.path())] {
            let refused = Places::new(named, disk.path()).choose(1 << 60).unwrap_err();
            assert!(matches!(&refused, BackupError::NoRoomToDrill { path, .. } if path == disk.path()), "{refused}");
        }
        assert_eq!(Places::new(Some(disk.path()), Path::new("/")).choose(1).unwrap(), disk.path());
    }

    #[test]
    fn what_was_left_goes_from_every_place_whichever_is_taken() {
        let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let [named, memory, disk] = &folders;
        let places =
            Places { named: Some(named.path().into()), memory: memory.path().into(), disk: disk.path().into() };
        for folder in &folders {
            fs::create_dir_all(folder.path().join("sealock-drill-killed/data")).unwrap();
            fs::write(folder.path().join("sealock-drill-killed/data/db"), b"all that a cluster held").unwrap();
        }
        places.clear().unwrap();
        assert!(folders.iter().all(|folder| fs::read_dir(folder.path()).unwrap().count() == 0));
        Places { memory: "/nowhere".into(), ..places }.clear().unwrap();
    }
}
