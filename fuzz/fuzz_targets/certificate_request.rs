//! Requests for certificates, as hosts make them: what is taken is written as it was read, and asks for nothing that is not told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_node::requests::{Request, expected};

fuzz_target!(|data: &[u8]| {
    let read = [Request::of(&String::from_utf8_lossy(data)), Request::of_der(data.to_vec())];
    for request in read.into_iter().flatten() {
        assert_eq!(Request::of(&request.pem()).as_ref(), Ok(&request), "it is written as it was read");
        for one in expected(true, true, true) {
            if request.check(one.path, "cp1", &[]).is_ok() {
                assert_eq!(request.name, one.name("cp1"));
                assert!(one.is_server() || request.names.is_empty());
            }
        }
    }
});
