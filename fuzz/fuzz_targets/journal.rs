//! Journals that a power loss or a person may have damaged, and requests to a node.
#![no_main]

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use sealock_node::journal;
use sealock_node::request::{RunRequest, Secrets};

thread_local! {
    static FILE: RefCell<File> = RefCell::new(File::from(memfd_create("journal", MemfdFlags::empty()).expect("memory")));
}

fuzz_target!(|bytes: &[u8]| {
    FILE.with_borrow(|file| {
        file.set_len(0).expect("memory");
        file.write_all_at(bytes, 0).expect("memory");
        let _ = journal::read(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())));
    });
    let _ = serde_json::from_slice::<RunRequest>(bytes);
    let _ = Secrets::from_json(bytes);
});
