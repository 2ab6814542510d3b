//! What changed about the whole.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::model::{CarriedList, FactChange, Parameter, SideSummary, Source, StreamPosition};
use crate::plain::Plain;

/// The facts that differ, of those that both sides can say.
pub(super) fn changes(old: &SideSummary, new: &SideSummary) -> Vec<FactChange> {
    let bundle = old.source != Source::Release && new.source != Source::Release;
    let signed = old.source == Source::Bundle && new.source == Source::Bundle;
    let time = |time: Option<Timestamp>| time.map(Plain::of).unwrap_or_default();
    let facts = [
        ("name", bundle, plain(old.name.as_ref()), plain(new.name.as_ref())),
        ("streams", true, streams(&old.streams), streams(&new.streams)),
        ("signers", signed, list(&old.signers), list(&new.signers)),
        ("vendors", bundle, vendors(&old.vendors), vendors(&new.vendors)),
        ("sites", bundle, list(&old.sites), list(&new.sites)),
        ("classification", bundle, plain(old.classification.as_ref()), plain(new.classification.as_ref())),
        ("platforms", bundle, list(&old.platforms), list(&new.platforms)),
        ("issued", true, time(Some(old.issued)), time(Some(new.issued))),
        ("ages from", bundle, time(old.soft_expiry), time(new.soft_expiry)),
        ("expires", bundle, time(old.expires), time(new.expires)),
        ("tool", bundle, plain(old.tool.as_ref()), plain(new.tool.as_ref())),
        ("revocations", signed, revocations(old.revocations.as_ref()), revocations(new.revocations.as_ref())),
        ("annotations", true, list(&old.annotations), list(&new.annotations)),
    ];
    let changed = facts.into_iter().filter(|(_, compared, old, new)| *compared && old != new);
    let changed = changed.map(|(fact, _, old, new)| FactChange { fact, old, new });
    changed.chain(bundle.then(|| parameters(&old.parameters, &new.parameters)).into_iter().flatten()).collect()
}

/// Each parameter that has another value, came or went, on a line of its own.
fn parameters(old: &[Parameter], new: &[Parameter]) -> Vec<FactChange> {
    let values = |all: &[Parameter]| -> BTreeMap<String, Plain> {
        all.iter().map(|one| (one.name.to_string(), Plain::of(format_args!("{} = {}", one.name, one.value)))).collect()
    };
    let (old, new) = (values(old), values(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let of = |side: &BTreeMap<String, Plain>, name: &String| side.get(name).cloned().unwrap_or_default();
    let changes = names.into_iter().map(|name| (of(&old, name), of(&new, name))).filter(|(old, new)| old != new);
    changes.map(|(old, new)| FactChange { fact: "parameter", old, new }).collect()
}

fn plain(text: Option<&Plain>) -> Plain {
    text.cloned().unwrap_or_default()
}

fn revocations(list: Option<&CarriedList>) -> Plain {
    let text = |list: &CarriedList| {
        let CarriedList { version, expires, revoked } = list;
        Plain::of(format_args!("list {version}, {} revoked, a newer one due by {expires}", revoked.len()))
    };
    list.map(text).unwrap_or_default()
}

fn list(texts: &[Plain]) -> Plain {
    Plain::of(texts.iter().map(Plain::as_str).collect::<Vec<_>>().join(" "))
}

fn vendors(vendors: &[Plain]) -> Plain {
    Plain::of(vendors.iter().map(Plain::as_str).collect::<Vec<_>>().join("; "))
}

fn streams(streams: &[StreamPosition]) -> Plain {
    let position = |position: &StreamPosition| format!("{} {}", position.stream, position.sequence);
    Plain::of(streams.iter().map(position).collect::<Vec<_>>().join(", "))
}
