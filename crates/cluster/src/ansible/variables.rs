//! The variables of one host, taken out one by one: what is left over was not understood.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Problem;
use super::known::{OF_ANSIBLE_ALONE, OURS, SECRET};
use super::problem::shown;

const TEMPLATE: &str = "is a template, which `ansible-inventory` leaves as it is: give the value itself";

/// The variables of one host.
pub(super) struct Variables<'a> {
    host: &'a str,
    values: Option<&'a Map<String, Value>>,
    leave_out: &'a BTreeSet<String>,
    taken: BTreeSet<&'static str>,
    problems: Vec<Problem>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(host: &'a str, values: Option<&'a Map<String, Value>>, leave_out: &'a BTreeSet<String>) -> Self {
        Self { host, values, leave_out, taken: BTreeSet::new(), problems: Vec::new() }
    }

    /// The host's name in the inventory.
    pub(super) fn host(&self) -> &'a str {
        self.host
    }

    /// Notes what is wrong with the host.
    pub(super) fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(Problem::new(self.host, what));
    }

    /// The first of `names` that there is, as text; numbers are text, too.
    pub(super) fn text(&mut self, names: &[&'static str]) -> Option<String> {
        self.named_text(names).map(|(_, text)| text)
    }

    /// The first of `names` that there is, read as a `T`.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, names: &[&'static str]) -> Option<T> {
        let (name, text) = self.named_text(names)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(format!("{name}: {:?}: {error}", shown(&text)));
                None
            }
        }
    }

    /// A value of more than one text.
    pub(super) fn structured<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        let (_, value) = self.take(&[name])?;
        let read = match value.to_string().contains("{{") {
            true => Err(TEMPLATE.to_owned()),
            false => serde_json::from_value(value.clone()).map_err(|error| error.to_string()),
        };
        read.map_err(|why| self.problem(format!("{name}: {why}"))).ok()
    }

    /// Those that are not understood: a problem each where they say how the host is reached.
    pub(super) fn judge_the_rest(&mut self) {
        let Some(values) = self.values else { return };
        let open = |name: &&String| !self.taken.contains(name.as_str()) && !self.leave_out.contains(*name);
        let whys: Vec<String> = values.keys().filter(open).filter_map(|name| objection(name)).collect();
        for why in whys {
            self.problem(why);
        }
    }

    /// The names of those that were not taken.
    pub(super) fn others(&self) -> impl Iterator<Item = &'a str> {
        let names = self.values.into_iter().flat_map(Map::keys).map(String::as_str);
        names.filter(|name| !self.taken.contains(name))
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    fn named_text(&mut self, names: &[&'static str]) -> Option<(&'static str, String)> {
        let (name, value) = self.take(names)?;
        match as_text(value) {
            Ok(text) => Some((name, text)),
            Err(why) => {
                self.problem(format!("{name} {why}"));
                None
            }
        }
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        // Ansible takes a variable without a value for one that is not there.
        self.values?.get(name).filter(|value| !value.is_null() && !self.leave_out.contains(name))
    }

    fn take(&mut self, names: &[&'static str]) -> Option<(&'static str, &'a Value)> {
        self.taken.extend(names.iter().filter(|name| !self.leave_out.contains(**name)));
        names.iter().find_map(|name| Some((*name, self.value(name)?)))
    }
}

fn as_text(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) if text.contains("{{") || text.contains("{%") => Err(TEMPLATE),
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Object(members) if members.contains_key("__ansible_vault") => {
            Err("is encrypted, and vaults are not opened: give the value itself")
        }
        _ => Err("is not a text"),
    }
}

/// Why a variable that nobody took stands in the way, if it does.
fn objection(name: &str) -> Option<String> {
    if SECRET.contains(&name) {
        return Some(format!(
            "{name}: Sealock logs in by key and becomes root by sudo without a password, and carries no secret over"
        ));
    }
    if name.starts_with("sealock_") {
        return Some(format!("{}: is not known; known are {}", shown(name), OURS.join(", ")));
    }
    let concerns_us = name.starts_with("ansible_") && !OF_ANSIBLE_ALONE.contains(&name);
    concerns_us.then(|| format!("{}: a cluster spec has nothing like it", shown(name)))
}
