//! Names in `/etc/hosts`.
//!
//! The file belongs to the host's owner: Sealock only adds lines of its own, each marked at its end, and takes away none else.

use super::{Act, HostsEntry, Mode, Probe};
use crate::changes::{Before, Changes, Subject};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{self, Entry, Host, HostError};

const FILE: &str = "/etc/hosts";
const MARK: &str = "# sealock";

impl Act for HostsEntry {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        let text = host::read_text(host, FILE)?.unwrap_or_default();
        for name in &self.names {
            // The first line with the name is the one that counts.
            match text.lines().find_map(|line| address_of(line, name).map(|address| (address, line))) {
                Some((address, _)) if address == self.address => {}
                Some((_, line)) if line.ends_with(MARK) => {
                    return Ok(Probe::not_done(format!("{name} had another address in {FILE}")));
                }
                Some((address, _)) => {
                    return Ok(Probe::foreign(format!("{FILE} already says that {name} is {address}")));
                }
                None => return Ok(Probe::not_done(format!("{name} is not in {FILE}"))),
            }
        }
        Ok(Probe::Done)
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        match self.probe(host, context)? {
            Probe::Done => return Ok(()),
            Probe::Foreign { found } => return Err(StepError::Foreign { found }),
            _ => {}
        }
        let subject = Subject::HostsLine { address: self.address.clone() };
        Changes::load(host)?.before(host, subject, Before::Absent)?;
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let ours = |line: &str| line.ends_with(MARK) && names.iter().any(|name| address_of(line, name).is_some());
        let added = format!("{} {} {MARK}", self.address, names.join(" "));
        rewrite(host, |line| !ours(line), Some(&added))?;
        Ok(())
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(Changes::load(host)?.undo(host, &Subject::HostsLine { address: self.address.clone() })?)
    }
}

impl HostsEntry {
    fn check(&self) -> Result<(), StepError> {
        let name = |text: &String| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        };
        let address = self.address.parse::<std::net::IpAddr>().is_ok();
        if address && !self.names.is_empty() && self.names.iter().all(name) {
            return Ok(());
        }
        Err(StepError::Invalid { problem: format!("{self} is not an address with host names") })
    }
}

/// Takes away Sealock's lines for `address`.
pub(crate) fn remove(host: &dyn Host, address: &str) -> Result<(), HostError> {
    rewrite(host, |line| !(line.ends_with(MARK) && line.split_whitespace().next() == Some(address)), None)
}

fn rewrite(host: &dyn Host, keep: impl Fn(&str) -> bool, added: Option<&str>) -> Result<(), HostError> {
    let mode = match host.inspect(FILE)? {
        Entry::File { mode, .. } => mode,
        _ => Mode::FILE,
    };
    let text = host::read_text(host, FILE)?.unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().filter(|line| keep(line)).collect();
    lines.extend(added);
    let mut content = lines.join("\n");
    content.push('\n');
    if content == text {
        return Ok(());
    }
    host::write(host, FILE, mode, content.as_bytes())
}

fn address_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let address = words.next()?;
    words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
}
