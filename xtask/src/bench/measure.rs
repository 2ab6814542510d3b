//! What one program costs: time, processor time, bytes read and written, peak memory.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// The cost of one program and the children it waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Wall time, in seconds.
    pub wall: f64,
    /// User and system time, in seconds.
    pub cpu: f64,
    /// Bytes that reached the block layer on the way in (a warm page cache makes this small).
    pub read: u64,
    /// Bytes that were dirtied for the block layer.
    pub written: u64,
    /// Peak resident memory of the program itself, in bytes.
    pub peak: u64,
}

impl Cost {
    /// Adds the cost of a program that ran after this one.
    pub fn then(self, next: Self) -> Self {
        Self {
            wall: self.wall + next.wall,
            cpu: self.cpu + next.cpu,
            read: self.read + next.read,
            written: self.written + next.written,
            peak: self.peak.max(next.peak),
        }
    }
}

/// Runs a program to its end and reads its accounts from `/proc` before it is reaped.
pub fn run(command: &mut Command) -> Result<Cost> {
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let pid = child.id();
    let peak = Arc::new(AtomicU64::new(0));
    let sampler = sample_peak(pid, peak.clone());
    let handle = Pid::from_child(&child);
    // Left unreaped, so that /proc still has the accounts of the whole life.
    waitid(WaitId::Pid(handle), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    let wall = begun.elapsed().as_secs_f64();
    let mut cost = accounts(pid)?;
    cost.wall = wall;
    let status = child.wait()?;
    sampler.join().expect("a sampler only reads a file");
    cost.peak = peak.load(Relaxed);
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(cost)
}

/// The accounts of a process that still stands in `/proc`, such as a server in the background.
pub fn accounts(pid: u32) -> Result<Cost> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    // proc(5): the fields after the name, which may hold spaces; utime, stime, cutime, cstime are fields 14 to 17.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let time = |index: usize| fields.get(index - 3).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    Ok(Cost {
        wall: 0.0,
        cpu: (14..=17).map(time).sum::<f64>() / ticks,
        read: field(&io, "read_bytes: "),
        written: field(&io, "write_bytes: "),
        peak: 0,
    })
}

/// Follows the high-water mark of resident memory until the process ends; `/proc` forgets it at exit. What a program
/// needs in its last 20 ms is missed. (`ru_maxrss` would not be better: it starts with what the parent needed.)
fn sample_peak(pid: u32, peak: Arc<AtomicU64>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        while let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) {
            // One that has ended has no such line; one that has just begun may have a 0 there.
            if !status.lines().any(|line| line.starts_with("VmHWM:")) {
                break;
            }
            peak.fetch_max(field(&status, "VmHWM:") * 1024, Relaxed);
            thread::park_timeout(Duration::from_millis(20));
        }
    })
}

/// The number behind `name` in a file of `/proc`; 0 where there is none.
pub fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn what_a_program_writes_is_seen() {
        let folder = std::env::temp_dir().join(format!("sealock-measure-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let script = "head -c 8388608 /dev/zero > zeros";
        let cost = run(Command::new("sh").args(["-c", script]).current_dir(&folder));
        fs::remove_dir_all(&folder).unwrap();
        let cost = cost.unwrap();
        assert!(cost.wall > 0.0, "{cost:?}");
        run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
    }

    #[test]
    fn what_a_program_needs_is_seen_while_it_lives() {
        let mut child = Command::new("sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn().unwrap();
        let peak = Arc::new(AtomicU64::new(0));
        let sampler = sample_peak(child.id(), peak.clone());
        let deadline = Instant::now() + Duration::from_secs(30);
        while peak.load(Relaxed) <= 100_000 {
            assert!(Instant::now() < deadline, "a shell needs more than {} bytes", peak.load(Relaxed));
            thread::yield_now();
        }
        drop(child.stdin.take());
        child.wait().unwrap();
        sampler.join().unwrap();
    }
}
