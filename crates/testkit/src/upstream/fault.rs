//! What can go wrong on the wire.

use std::time::Duration;

/// How a request goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, with no useful body.
    Status(u16),
    /// 429 with `Retry-After` in seconds.
    RateLimited(u64),
    /// The right status and length, but the connection ends after so many bytes.
    Truncate(usize),
    /// A well-formed answer that is shorter than the content by so many bytes.
    Short(usize),
    /// One bit of the content is flipped.
    Flip,
    /// So many bytes, then silence.
    Stall(usize),
    /// Pieces of so many bytes, with a pause after each.
    Trickle(usize, Duration),
    /// The connection ends without an answer.
    Reset,
    /// A login page with status 200.
    LoginPage,
    /// A redirect to this address.
    Redirect(String),
    /// `Range` is ignored: the whole content comes, with status 200.
    NoRange,
}

/// Which requests meet a fault.
pub(crate) struct Rule {
    pub(crate) part: String,
    pub(crate) fault: Fault,
    pub(crate) times: u32,
}

/// The faults that this request meets; each is used up by one.
pub(crate) fn take(rules: &mut [Rule], target: &str) -> Vec<Fault> {
    let mut met: Vec<Fault> = Vec::new();
    for rule in rules.iter_mut().filter(|rule| rule.times > 0 && target.contains(&rule.part)) {
        let same_kind = |fault: &Fault| std::mem::discriminant(fault) == std::mem::discriminant(&rule.fault);
        if met.iter().any(same_kind) {
            continue;
        }
        rule.times -= u32::from(rule.times != u32::MAX);
        met.push(rule.fault.clone());
    }
    met
}
