//! A comparison as text.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use sealock_bundle::diff::{
    Amount, ArtifactChange, Change, Diff, Kind, Level, PackageChange, PackageChanges, SideSummary, Source, State,
    TextChange, Transfer, Trust,
};
use sealock_bundle::plain::Plain;

use crate::ui::{Table, bytes, facts, short};

const ALARM: Style = AnsiColor::Red.on_default().bold();
const NOTICE: Style = AnsiColor::Yellow.on_default();
const ADDED: Style = AnsiColor::Green.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();
const HEAD: Style = Style::new().bold();

/// The whole, in the order an approver reads it.
pub fn of(diff: &Diff) -> String {
    let mut out = facts([("old", side(&diff.old)), ("new", side(&diff.new))]);
    alerts(diff, &mut out);
    if !diff.differs {
        out.push_str("\nnothing differs\n");
    }
    if !diff.facts.is_empty() {
        let mut table = Table::new(["fact", "old", "new"]);
        for change in &diff.facts {
            table.row([change.fact.to_owned(), said(&change.old), said(&change.new)]);
        }
        let _ = write!(out, "\n{table}");
    }
    for kind in Kind::ALL {
        artifacts(diff, kind, &mut out);
    }
    if diff.differs {
        transfer(&diff.transfer, &mut out);
    }
    diff.texts.iter().for_each(|text| changed_text(text, &mut out));
    diff.packages.iter().for_each(|changes| packages(changes, &mut out));
    if !diff.notes.is_empty() {
        let _ = writeln!(out, "\n{HEAD}not looked into{HEAD:#}");
        for note in &diff.notes {
            let _ = writeln!(out, "  {note}");
        }
    }
    out
}

fn side(side: &SideSummary) -> String {
    let source = match side.source {
        Source::Bundle => "bundle ",
        Source::Lock => "lock ",
        Source::Release => "",
    };
    let streams: Vec<String> =
        side.streams.iter().map(|position| format!("{} {}", position.stream, position.sequence)).collect();
    let digest = short(side.digest.as_str());
    format!("{source}{} ({}; {digest}; {}): {}", side.label, streams.join(", "), amount(side.content), trust(side))
}

/// How far a side was verified, in words.
pub fn trust(side: &SideSummary) -> &'static str {
    match (side.trust, side.source) {
        (Trust::Verified, _) => "VERIFIED, every byte",
        (Trust::Site, _) => "signed by this site",
        (Trust::Read, Source::Lock) => "a lock, which nobody signs",
        (Trust::Read, _) => "NOT VERIFIED, only read",
    }
}

fn alerts(diff: &Diff, out: &mut String) {
    if !diff.alerts.is_empty() {
        out.push('\n');
    }
    for alert in &diff.alerts {
        let (style, word) = match alert.level {
            Level::Alarm => (ALARM, "ALARM "),
            Level::Notice => (NOTICE, "notice"),
        };
        let _ = writeln!(out, "{style}{word}{style:#} {}: {} [{}]", alert.about, alert.text, alert.code);
    }
}

fn said(text: &Plain) -> String {
    if text.as_str().is_empty() { "none".to_owned() } else { text.to_string() }
}

fn artifacts(diff: &Diff, kind: Kind, out: &mut String) {
    let changes: Vec<&ArtifactChange> = diff.artifacts.iter().filter(|change| change.kind == kind).collect();
    if changes.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{HEAD}{}{HEAD:#}: {}", kind.plural(), counts(diff, kind));
    let mut table = Table::new(["", "name", "old", "new", "size", "travels", "origin"]);
    for change in changes {
        let digest = |state: Option<&State>| state.map(|state| short(state.digest.as_str())).unwrap_or_default();
        let shown = change.new.as_ref().or(change.old.as_ref());
        table.row([
            sign(change.change).to_owned(),
            names(change),
            digest(change.old.as_ref()),
            digest(change.new.as_ref()),
            shown.and_then(|state| state.content).map(|content| bytes(content.bytes)).unwrap_or_default(),
            change.travels.map(|travels| bytes(travels.bytes)).unwrap_or_default(),
            origins(change),
        ]);
    }
    let _ = write!(out, "{table}");
}

/// How many of a kind changed, came, went and stayed.
pub fn counts(diff: &Diff, kind: Kind) -> String {
    let count = |wanted: &[Change]| {
        diff.artifacts.iter().filter(|change| change.kind == kind && wanted.contains(&change.change)).count() as u64
    };
    let same = diff.unchanged.iter().find(|unchanged| unchanged.kind == kind).map_or(0, |unchanged| unchanged.count);
    let counts = [
        (count(&[Change::Changed, Change::Replaced, Change::Metadata]), "changed"),
        (count(&[Change::Added]), "added"),
        (count(&[Change::Removed]), "removed"),
        (same, "unchanged"),
    ];
    let said: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    said.join(", ")
}

/// One character for what happened.
pub fn sign(change: Change) -> &'static str {
    match change {
        Change::Changed => "~",
        Change::Replaced => ">",
        Change::Metadata => "=",
        Change::Added => "+",
        Change::Removed => "-",
    }
}

fn names(change: &ArtifactChange) -> String {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) if change.change == Change::Replaced => format!("{} -> {}", old.name, new.name),
        _ => change.name().to_string(),
    }
}

/// The rule before and after, where they differ, and the vendor where there is one: `key, vendor acme`.
pub fn origins(change: &ArtifactChange) -> String {
    let rule = |state: Option<&State>| {
        let rule = state.and_then(|state| state.origin.as_ref()).map(|origin| origin.rule.to_string());
        let vendor = state.and_then(|state| state.vendor.as_ref()).map(|vendor| format!("vendor {vendor}"));
        rule.into_iter().chain(vendor).collect::<Vec<_>>().join(", ")
    };
    match (rule(change.old.as_ref()), rule(change.new.as_ref())) {
        (old, new) if old == new || old.is_empty() => new,
        (old, new) if new.is_empty() => old,
        (old, new) => format!("{old} -> {new}"),
    }
}

/// `12 blobs, 3.4 MiB`.
pub fn amount(amount: Amount) -> String {
    let blobs = if amount.blobs == 1 { "blob" } else { "blobs" };
    format!("{} {blobs}, {}", amount.blobs, bytes(amount.bytes))
}

fn transfer(transfer: &Transfer, out: &mut String) {
    let with_layers = |all: Amount, layers: Amount| match layers.blobs {
        0 => amount(all),
        _ => format!("{}; of these {} in layers", amount(all), bytes(layers.bytes)),
    };
    out.push('\n');
    out.push_str(&facts([
        ("travels", with_layers(transfer.new, transfer.new_layers)),
        ("shared", amount(transfer.shared)),
        ("gone", with_layers(transfer.gone, transfer.gone_layers)),
    ]));
    for layer in transfer.heaviest.iter().take(5) {
        let _ = writeln!(out, "         new layer {} {}", short(layer.digest.as_str()), bytes(layer.bytes));
    }
}

fn changed_text(text: &TextChange, out: &mut String) {
    let _ = writeln!(out, "\n{HEAD}{}{HEAD:#}", text.name);
    for line in &text.lines {
        let style = match line.as_str().as_bytes().first() {
            Some(b'+') => ADDED,
            Some(b'-') => REMOVED,
            _ => Style::new(),
        };
        let _ = writeln!(out, "  {style}{line}{style:#}");
    }
    if text.left_out > 0 {
        let _ = writeln!(out, "  … {} more lines", text.left_out);
    }
    if text.secrets_changed {
        let _ = writeln!(out, "  {NOTICE}values of a Secret, which are not shown, differ{NOTICE:#}");
    }
}

fn packages(changes: &PackageChanges, out: &mut String) {
    let [before, after] = changes.counts;
    let _ = writeln!(out, "\n{HEAD}packages of {}{HEAD:#}: {before} before, {after} after", changes.artifact);
    for change in &changes.changes {
        let _ = writeln!(out, "  {}", package(change));
    }
    if changes.left_out > 0 {
        let _ = writeln!(out, "  … {} more", changes.left_out);
    }
}

fn package(change: &PackageChange) -> String {
    match (versions(&change.old), versions(&change.new)) {
        (old, new) if change.old.is_empty() && old.is_empty() => format!("+ {} {new}", change.name),
        (old, _) if change.new.is_empty() => format!("- {} {old}", change.name),
        (old, new) => format!("~ {} {old} -> {new}", change.name),
    }
}

/// Versions with commas between them.
pub fn versions(versions: &[Plain]) -> String {
    versions
        .iter()
        .map(|version| if version.as_str().is_empty() { "?" } else { version.as_str() })
        .collect::<Vec<_>>()
        .join(", ")
}
