//! What is asked for a token, and patterns of names: nothing is granted that was not asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_server::access::glob::Glob;
use sealock_server::access::identity::{Identity, Subject};
use sealock_server::access::scope::Scopes;
use sealock_server::access::token::Request;

fuzz_target!(|bytes: &[u8]| {
    let _ = Request::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(scopes) = Scopes::parse([text]) {
        let written = scopes.to_string();
        assert_eq!(Scopes::parse([written.as_str()]).expect("its own text"), scopes);
    }
    if let Ok(identity) = text.parse::<Identity>() {
        assert_eq!(identity.to_string(), text);
    }
    if let Ok(subject) = text.parse::<Subject>() {
        assert_eq!(subject.to_string(), text);
    }
    if let Some((pattern, name)) = text.split_once('\n')
        && let Ok(glob) = pattern.parse::<Glob>()
    {
        let fits = glob.matches(name);
        assert!(!fits || pattern.contains('*') || pattern == name);
    }
});
