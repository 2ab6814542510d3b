//! What an approver has to see first: everything that protected before and protects no longer.

use std::collections::{BTreeMap, BTreeSet};

use super::artifacts::{line, split};
use super::model::{Alert, ArtifactChange, CarriedList, Change, FactChange, Level, Origin, Source, Trust};
use super::side::{Entry, Side};
use crate::plain::Plain;

/// Revoked digests and keys that one alert names.
const SHOWN: usize = 20;

/// Every alert, alarms first.
pub(super) fn of(artifacts: &[ArtifactChange], facts: &[FactChange], [old, new]: [&Side; 2]) -> Vec<Alert> {
    let mut alerts = Vec::new();
    bundle(facts, old, new, &mut alerts);
    let signed_before = signed_lines(old);
    let lines: BTreeMap<Plain, &Entry> = new.entries.iter().map(|entry| (Plain::of(&entry.name), entry)).collect();
    for change in artifacts {
        let was_signed = lines.get(change.name()).and_then(|entry| signed_before.get(&line(entry)));
        alerts.extend(artifact(change, was_signed));
    }
    alerts.sort_by(|a, b| (a.level, a.code, &a.about).cmp(&(b.level, b.code, &b.about)));
    alerts
}

/// Lines of which every version on this side was signed, with who signed.
fn signed_lines(side: &Side) -> BTreeMap<super::artifacts::Line, Origin> {
    let mut lines: BTreeMap<_, Vec<&Origin>> = BTreeMap::new();
    for entry in &side.entries {
        lines.entry(line(entry)).or_default().extend(&entry.origin);
    }
    let signed = lines.into_iter().filter(|(_, origins)| origins.iter().all(|origin| is_signed(origin)));
    signed.filter_map(|(line, origins)| Some((line, (*origins.first()?).clone()))).collect()
}

/// Whether anybody beside the packager vouches for it.
fn is_signed(origin: &Origin) -> bool {
    !matches!(origin.rule.as_str(), "unsigned" | "local")
}

fn artifact(change: &ArtifactChange, was_signed: Option<&Origin>) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let name = change.name();
    let mut add = |level, code, text: String| {
        alerts.push(Alert { level, code, about: name.clone(), text: Plain::of(text) });
    };
    let before = change.old.as_ref().and_then(|state| state.origin.as_ref()).or(was_signed);
    let after = change.new.as_ref().and_then(|state| state.origin.as_ref());
    match (before, after) {
        (Some(before), Some(after)) if is_signed(before) && !is_signed(after) => {
            let text = format!("was vouched for by {}, and now comes {}", who(before), why(after));
            add(Level::Alarm, "signature-lost", text);
        }
        (Some(before), Some(after)) if (&before.rule, &before.by) != (&after.rule, &after.by) => {
            let level = if is_signed(before) { Level::Alarm } else { Level::Notice };
            let code = if is_signed(before) { "signer-changed" } else { "origin-changed" };
            add(level, code, format!("was vouched for by {}, and is now by {}", who(before), who(after)));
        }
        (None, Some(after)) if after.rule.as_str() == "unsigned" && change.change == Change::Added => {
            add(Level::Notice, "arrives-unsigned", format!("is new and comes {}", why(after)));
        }
        (Some(before), Some(after)) if before.reason != after.reason && !is_signed(after) => {
            add(Level::Notice, "reason-changed", format!("for another reason than before it comes {}", why(after)));
        }
        _ => {}
    }
    if let (Some(old), Some(new)) = (&change.old, &change.new) {
        alerts_on_vendor(old.vendor.as_ref(), new.vendor.as_ref(), &mut add);
    }
    if change.change == Change::Changed && is_full_version(split(name.as_str()).1) {
        add(Level::Notice, "version-moved", "the same version number stands for other content".to_owned());
    }
    let platforms = |state: &Option<super::State>| -> BTreeSet<Plain> {
        state.iter().flat_map(|state| state.platforms.iter().cloned()).collect()
    };
    let (old, new) = (platforms(&change.old), platforms(&change.new));
    let lost: Vec<&str> = old.difference(&new).map(Plain::as_str).collect();
    if !lost.is_empty() && !new.is_empty() {
        add(Level::Notice, "platform-lost", format!("is carried no longer for {}", lost.join(" ")));
    }
    alerts
}

/// A vendor who has no say any more, or another one who has it.
fn alerts_on_vendor(old: Option<&Plain>, new: Option<&Plain>, add: &mut impl FnMut(Level, &'static str, String)) {
    match (old, new) {
        (Some(old), None) => {
            add(
                Level::Alarm,
                "vendor-lost",
                format!("was vouched for by the vendor {old}, and is now by the publisher alone"),
            );
        }
        (Some(old), Some(new)) if old != new => {
            add(Level::Alarm, "vendor-changed", format!("was vouched for by the vendor {old}, and is now by {new}"));
        }
        (None, Some(new)) => {
            add(Level::Notice, "vendor-new", format!("is now vouched for by the vendor {new} as well"));
        }
        _ => {}
    }
}

fn who(origin: &Origin) -> String {
    match (origin.rule.as_str(), origin.by.as_str(), &origin.reason) {
        ("unsigned", ..) => "nobody".to_owned(),
        (rule, "", Some(reason)) => format!("{rule} ({reason})"),
        (rule, "", None) => rule.to_owned(),
        (rule, by, _) => format!("{rule} {by}"),
    }
}

fn why(origin: &Origin) -> String {
    match &origin.reason {
        Some(reason) => format!("{}: “{reason}”", origin.rule),
        None => format!("{}, with no reason given", origin.rule),
    }
}

/// `1.2.3` and the like: a number that nobody expects to move.
fn is_full_version(tag: &str) -> bool {
    let numbers = tag.strip_prefix('v').unwrap_or(tag).split(['.', '-', '+']);
    numbers.take_while(|part| part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty()).count() >= 3
}

/// Vendors of both sides with other keys, another threshold or other names.
fn other_delegations<'a>(old: &'a [Plain], new: &'a [Plain]) -> Vec<(&'a Plain, &'a Plain)> {
    let role = |vendor: &'a Plain| vendor.as_str().split(':').next();
    let pairs = old.iter().flat_map(|was| new.iter().map(move |is| (was, is)));
    pairs.filter(|(was, is)| role(was) == role(is) && was != is).collect()
}

fn bundle(facts: &[FactChange], old: &Side, new: &Side, alerts: &mut Vec<Alert>) {
    let mut add = |level, code, text: String| {
        alerts.push(Alert { level, code, about: Plain::of("bundle"), text: Plain::of(text) });
    };
    for FactChange { fact, old, new } in facts {
        match *fact {
            "signers" => add(Level::Alarm, "publisher-changed", format!("was signed by {old}, and is now by {new}")),
            "classification" => {
                let say = |text: &Plain| if text.as_str().is_empty() { "none".to_owned() } else { text.to_string() };
                add(Level::Alarm, "classification-changed", format!("was {}, and is now {}", say(old), say(new)));
            }
            _ => {}
        }
    }
    let (before, after) = (&old.summary, &new.summary);
    if [before.source, after.source] == [Source::Bundle; 2] {
        revocations(before.revocations.as_ref(), after.revocations.as_ref(), &mut add);
    }
    if before.source == Source::Release || after.source == Source::Release {
        return;
    }
    for (was, is) in other_delegations(&before.vendors, &after.vendors) {
        add(Level::Alarm, "delegation-changed", format!("delegated to the vendor {was}, and now to {is}"));
    }
    let wider: Vec<&str> = after.sites.iter().filter(|site| !before.sites.contains(site)).map(Plain::as_str).collect();
    if !wider.is_empty() {
        add(Level::Notice, "audience-wider", format!("may now be imported by {}", wider.join(" ")));
    }
    let [Some(first), Some(second)] = [before.streams.first(), after.streams.first()] else { return };
    if first.stream != second.stream {
        add(Level::Notice, "other-stream", format!("was in the stream {}, and is in {}", first.stream, second.stream));
    } else if second.sequence < first.sequence {
        add(
            Level::Alarm,
            "goes-back",
            format!("the sequence goes back from {} to {}", first.sequence, second.sequence),
        );
    } else if second.sequence == first.sequence
        && before.digest != after.digest
        && [before.source, after.source] == [Source::Bundle; 2]
    {
        add(Level::Alarm, "same-sequence", format!("both sides have the sequence {}", first.sequence));
    } else if second.sequence == first.sequence + 1
        && before.source == Source::Bundle
        && after.previous.as_ref() != Some(&before.digest)
    {
        add(Level::Alarm, "no-successor", "the new side names another bundle as the one before it".to_owned());
    }
    if after.source == Source::Bundle && after.trust == Trust::Read {
        add(Level::Notice, "not-verified", "nothing that the new side says was verified".to_owned());
    }
}

/// What the new side's revocation list says that the old side's did not, or says no longer.
fn revocations(old: Option<&CarriedList>, new: Option<&CarriedList>, add: &mut dyn FnMut(Level, &'static str, String)) {
    let subjects = |list: Option<&CarriedList>| -> BTreeSet<Plain> {
        list.iter().flat_map(|list| list.revoked.iter().cloned()).collect()
    };
    let version = |list: Option<&CarriedList>| list.map_or(0, |list| list.version);
    let (before, after) = (subjects(old), subjects(new));
    let first = |subjects: Vec<&Plain>| {
        let named: Vec<&str> = subjects.iter().take(SHOWN).map(|subject| subject.as_str()).collect();
        match subjects.len().saturating_sub(SHOWN) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    };
    let new_ones: Vec<&Plain> = after.difference(&before).collect();
    if !new_ones.is_empty() {
        add(Level::Notice, "revokes", format!("must not be used any more: {}", first(new_ones)));
    }
    let dropped: Vec<&Plain> = before.difference(&after).collect();
    if !dropped.is_empty() {
        add(Level::Alarm, "revocation-dropped", format!("is revoked no longer: {}", first(dropped)));
    } else if version(new) < version(old) {
        let text = format!("the revocation list goes back from {} to {}", version(old), version(new));
        add(Level::Alarm, "revocation-dropped", text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_versions_are_told_from_floating_tags() {
        for (tag, full) in
            [("v1.2.3", true), ("3.10.2-alpine", true), ("17", false), ("17.2", false), ("latest", false)]
        {
            assert_eq!(is_full_version(tag), full, "{tag}");
        }
    }
}
