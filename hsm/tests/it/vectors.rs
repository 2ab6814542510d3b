//! The vectors of docs/formats/hsm.md, as far as they show outside: requests are understood up to where they lead.

use crate::helper::Helper;
use crate::softhsm::SoftHsm;

#[test]
fn every_request_of_the_vectors_is_understood() {
    let hsm = SoftHsm::with_keys("plant");
    for line in include_str!("../../testdata/requests.jsonl").lines() {
        let mut helper = Helper::start(&hsm);
        let told = helper.ask(line);
        let message = told["error"]["message"].as_str().unwrap_or_default();
        assert!(!message.contains("not understood"), "{line}: {told}");
    }
}
