//! What sending and repairing cost: bytes through system calls and resident memory, as the kernel counts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealock_bundle::volumes::{Target, VolumeSet, repair};

use crate::cost::{counters, number_after};
use crate::crash::variable;
use crate::support::{Cargo, Publisher, noise};
use crate::volumes::send_to;

const FOLDER: &str = "SEALOCK_TEST_VOLUMES_COST";
const WORK: &str = "SEALOCK_TEST_VOLUMES_COST_WORK";
const CONTENT: usize = 320 << 20;

/// Not a test of its own: what the child process does.
#[test]
fn child() {
    let (Some(folder), Some(work)) = (variable(FOLDER), variable(WORK)) else { return };
    let folder = Path::new(&folder);
    let before = counters();
    match work.as_str() {
        "send" => {
            let publisher = Publisher { root: fs::read(folder.join("root.json")).unwrap(), ..Publisher::new() };
            send_to(&folder.join("base-1.sealock"), &publisher, &[folder.join("media")], ("30MiB", "10%")).unwrap();
        }
        _ => {
            let set = VolumeSet::find(&[folder.join("media")]).unwrap();
            repair(&set, Target::File(&folder.join("joined")), &mut |_| {}).unwrap();
        }
    }
    let after = counters();
    let memory = number_after(&fs::read_to_string("/proc/self/status").unwrap(), "VmHWM:");
    println!("cost {} {} {memory}", after.read - before.read, after.written - before.written);
}

/// Bytes read and written as shares of the content, and KiB of memory.
fn cost(work: &str, folder: &Path) -> (f64, f64, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "volumes_cost::child", "--nocapture"]).env(FOLDER, folder).env(WORK, work);
    let output = String::from_utf8(child.output().unwrap().stdout).unwrap();
    let line = output.lines().find_map(|line| line.split_once("cost ")).unwrap_or_else(|| panic!("{output}")).1;
    let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    let [read, written, memory] = numbers[..] else { panic!("{line}") };
    let share = |bytes: u64| bytes as f64 / CONTENT as f64;
    (share(read), share(written), memory)
}

#[test]
fn every_byte_is_written_once_with_its_parity_in_bounded_memory() {
    let (folder, publisher) = (tempfile::tempdir().unwrap(), Publisher::new());
    fs::write(folder.path().join("root.json"), &publisher.root).unwrap();
    fs::create_dir(folder.path().join("media")).unwrap();
    let mut large = noise(1, 1 << 20).repeat(CONTENT >> 20);
    for (index, block) in large.chunks_mut(1 << 20).enumerate() {
        block[..8].copy_from_slice(&index.to_le_bytes());
    }
    Cargo::of_files("base", 1, &[("large", large)]).build(folder.path(), &publisher);

    let (read, written, memory) = cost("send", folder.path());
    println!("send: read {read:.3}, written {written:.3} of the content, {memory} KiB");
    assert!(written <= 1.1 * 1.02, "{written}");
    // In order, in stripes, and back: three times, and no more.
    assert!(read <= 3.05, "{read}");
    assert!(memory < 256 << 10, "{memory} KiB were resident");

    let lost: PathBuf = folder.path().join("media/base-1.sealock.004");
    fs::remove_file(lost).unwrap();
    let (read, written, memory) = cost("repair", folder.path());
    println!("repair: read {read:.3}, written {written:.3} of the content, {memory} KiB");
    assert!(written <= 1.02, "{written}");
    // Found damaged, copied, decoded from, and read back.
    assert!(read <= 4.2, "{read}");
    assert!(memory < 256 << 10, "{memory} KiB were resident");
}
