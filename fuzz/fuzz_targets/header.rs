//! A bundle's header, and what its manifest says.
#![no_main]

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use sealock_bundle::{Archive, verify};

thread_local! {
    static FILE: RefCell<File> = RefCell::new(File::from(memfd_create("bundle", MemfdFlags::empty()).expect("memory")));
}

fuzz_target!(|bytes: &[u8]| {
    FILE.with_borrow(|file| {
        // A header ends at a multiple of 1 MiB: what the fuzzer gives is its beginning.
        file.set_len(0).and_then(|()| file.set_len(1 << 20)).expect("memory");
        file.write_all_at(bytes, 0).expect("memory");
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        if let Ok(archive) = Archive::open(&path) {
            let _ = verify::metadata(&archive);
            let _ = archive.unverified_manifest();
        }
    });
});
