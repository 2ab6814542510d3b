//! What importing and inspecting cost: bytes through system calls and resident memory, as the kernel counts them.

use std::fs;
use std::path::Path;
use std::process::Command;

use sealock_bundle::Archive;

use crate::crash::{durable_site, import_sealed, variable};
use crate::support::{Cargo, Publisher, noise};

/// Set for the child process whose cost is counted.
const FOLDER: &str = "SEALOCK_TEST_COST";
const CONTENT: usize = 160 << 20;

#[derive(Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) read: u64,
    pub(crate) written: u64,
}

pub(crate) fn counters() -> Counters {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    let field = |name: &str| number_after(&io, name);
    Counters { read: field("rchar:"), written: field("wchar:") }
}

pub(crate) fn number_after(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Not a test of its own: what the child process does.
#[test]
fn child() {
    let Some(folder) = variable(FOLDER) else { return };
    let before = counters();
    import_sealed(Path::new(&folder), "base-1.sealock").unwrap();
    let after = counters();
    let memory = number_after(&fs::read_to_string("/proc/self/status").unwrap(), "VmHWM:");
    println!("cost {} {} {memory}", after.read - before.read, after.written - before.written);
}

#[test]
fn every_byte_is_read_once_and_written_once_in_little_memory() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    durable_site(folder.path(), &publisher);
    let mut large = noise(1, 1 << 20).repeat(CONTENT >> 20);
    for (index, block) in large.chunks_mut(1 << 20).enumerate() {
        block[..8].copy_from_slice(&index.to_le_bytes());
    }
    let files = [("large", large), ("small", noise(2, 1000)), ("medium", noise(3, 70_000))];
    Cargo::of_files("base", 1, &files).build(folder.path(), &publisher);

    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "cost::child", "--nocapture"]).env(FOLDER, folder.path());
    let output = String::from_utf8(child.output().unwrap().stdout).unwrap();
    let line = output.lines().find_map(|line| line.split_once("cost ")).unwrap_or_else(|| panic!("{output}")).1;
    let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    let [read, written, memory_kib] = numbers[..] else { panic!("{line}") };
    let content = CONTENT as f64;
    println!(
        "read {:.3}, written {:.3} of the content, {memory_kib} KiB",
        read as f64 / content,
        written as f64 / content
    );
    assert!((written as f64) < content * 1.02, "{written} bytes were written for {content}");
    // The header is 1 MiB more; what is read again to be hashed a second time would be all of it.
    assert!((read as f64) < content * 1.05, "{read} bytes were read for {content}");
    assert!(memory_kib < 64 << 10, "{memory_kib} KiB were resident");
}

#[test]
fn looking_at_a_bundle_reads_its_header_only() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    let path = Cargo::of_files("base", 1, &[("large", noise(1, 20 << 20))]).build(folder.path(), &publisher);
    // A sparse tail stands for the other gigabytes.
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(20 << 30).unwrap();
    let archive = Archive::open(&path).unwrap();
    assert_eq!(archive.unverified_manifest().unwrap().references.len(), 1);
    assert_eq!((archive.header_size(), archive.length()), (1 << 20, 20 << 30));
}
