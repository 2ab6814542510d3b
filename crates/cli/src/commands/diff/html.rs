//! A comparison as one page of HTML: no script, nothing from elsewhere, fit to be printed and signed.
//!
//! Everything that is not our own text goes through [`Text`], the only way into the page for it.

use std::fmt::{self, Display, Write as _};

use sealock_bundle::diff::{
    ArtifactChange, Change, Diff, Kind, Level, PackageChanges, SideSummary, Source, State, TextChange, Trust,
};

use super::text::{amount, counts, origins, sign, trust, versions};
use crate::ui::bytes;

/// What the page looks like.
const STYLE: &str = include_str!("page.css");

/// The page as a whole.
pub fn page(diff: &Diff) -> String {
    let mut out = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n",
    );
    let title = title(diff);
    let _ = writeln!(out, "<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>", Text(&title));
    let _ =
        writeln!(out, "<header><p class=\"kicker\">Sealock · what would change</p><h1>{}</h1></header>", Text(&title));
    let _ = writeln!(out, "<div class=\"sides\">{}{}</div>", Card("Old", &diff.old), Card("New", &diff.new));
    tiles(diff, &mut out);
    alerts(diff, &mut out);
    facts(diff, &mut out);
    for kind in Kind::ALL {
        artifacts(diff, kind, &mut out);
    }
    layers(diff, &mut out);
    section(&mut out, "Changed texts", &diff.texts, text);
    section(&mut out, "Changed packages", &diff.packages, packages);
    notes(diff, &mut out);
    sign_off(diff, &mut out);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// Text of anybody, written so that it can be nothing but text.
struct Text<T>(T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_string().chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

fn title(diff: &Diff) -> String {
    let what = |side: &SideSummary| match &side.name {
        Some(name) => {
            let sequence = side.streams.first().map(|position| position.sequence.to_string()).unwrap_or_default();
            format!("{name} {sequence}")
        }
        None => side.label.to_string(),
    };
    format!("{} → {}", what(&diff.old), what(&diff.new))
}

struct Card<'a>(&'static str, &'a SideSummary);

impl Display for Card<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(heading, side) = self;
        let class = match (side.trust, side.source) {
            (Trust::Read, Source::Lock) => "neutral",
            (Trust::Read, _) => "bad",
            _ => "good",
        };
        write!(f, "<section class=\"card\"><h2>{heading}</h2><p class=\"badge {class}\">{}</p><dl>", trust(side))?;
        let streams: Vec<String> = side
            .streams
            .iter()
            .map(|position| format!("{}, sequence {}", position.stream, position.sequence))
            .collect();
        let join = |texts: &[sealock_bundle::plain::Plain]| {
            texts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let expires = side.expires.map(|time| time.to_string()).unwrap_or_default();
        let rows = [
            ("from", side.label.to_string()),
            ("digest", side.digest.to_string()),
            ("stream", streams.join("; ")),
            ("sites", join(&side.sites)),
            ("signed by", join(&side.signers)),
            ("issued", side.issued.to_string()),
            ("expires", expires),
            ("content", format!("{} artifacts, {}", side.artifacts, amount(side.content))),
        ];
        for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
            write!(f, "<dt>{name}</dt><dd>{}</dd>", Text(value))?;
        }
        f.write_str("</dl></section>")
    }
}

fn tiles(diff: &Diff, out: &mut String) {
    let count = |wanted: &[Change]| diff.artifacts.iter().filter(|change| wanted.contains(&change.change)).count();
    let alarms = diff.alerts.iter().filter(|alert| alert.level == Level::Alarm).count();
    let tiles = [
        (alarms.to_string(), if alarms == 1 { "alarm" } else { "alarms" }, if alarms > 0 { "bad" } else { "good" }),
        (count(&[Change::Changed, Change::Replaced, Change::Metadata]).to_string(), "artifacts changed", ""),
        (count(&[Change::Added]).to_string(), "added", ""),
        (count(&[Change::Removed]).to_string(), "removed", ""),
        (bytes(diff.transfer.new.bytes), "to travel", ""),
        (bytes(diff.transfer.shared.bytes), "shared", ""),
    ];
    out.push_str("<div class=\"tiles\">");
    for (value, name, class) in tiles {
        let _ = write!(out, "<div class=\"tile {class}\"><b>{value}</b><span>{name}</span></div>");
    }
    out.push_str("</div>\n");
    if !diff.differs {
        out.push_str("<p class=\"same\">Nothing differs.</p>\n");
    }
}

fn alerts(diff: &Diff, out: &mut String) {
    if diff.alerts.is_empty() {
        return;
    }
    out.push_str("<section><h2>See first</h2><ul class=\"alerts\">\n");
    for alert in &diff.alerts {
        let (class, word) = match alert.level {
            Level::Alarm => ("alarm", "Alarm"),
            Level::Notice => ("notice", "Notice"),
        };
        let _ = writeln!(
            out,
            "<li class=\"{class}\"><strong>{word}</strong><div><code>{}</code> {} <span class=\"code\">{}</span></div></li>",
            Text(&alert.about),
            Text(&alert.text),
            Text(alert.code)
        );
    }
    out.push_str("</ul></section>\n");
}

fn facts(diff: &Diff, out: &mut String) {
    if diff.facts.is_empty() {
        return;
    }
    out.push_str(
        "<section><h2>The whole</h2><table class=\"facts\"><thead><tr><th>fact<th>old<th>new</thead><tbody>\n",
    );
    for change in &diff.facts {
        let _ = writeln!(
            out,
            "<tr><td>{}<td class=\"wrap\">{}<td class=\"wrap\">{}",
            Text(change.fact),
            Text(&change.old),
            Text(&change.new)
        );
    }
    out.push_str("</tbody></table></section>\n");
}

fn artifacts(diff: &Diff, kind: Kind, out: &mut String) {
    let changes: Vec<&ArtifactChange> = diff.artifacts.iter().filter(|change| change.kind == kind).collect();
    if changes.is_empty() {
        return;
    }
    let (plural, counts) = (kind.plural(), counts(diff, kind));
    let _ = writeln!(
        out,
        "<section><h2 class=\"kind\">{plural} <small>{counts}</small></h2><table><thead><tr><th><th>name, digests\
         <th class=\"number\">size<th class=\"number\">travels<th>origin</thead><tbody>"
    );
    changes.into_iter().for_each(|change| artifact(change, out));
    out.push_str("</tbody></table></section>\n");
}

fn artifact(change: &ArtifactChange, out: &mut String) {
    let (class, word) = match change.change {
        Change::Added => ("added", "added"),
        Change::Removed => ("removed", "removed"),
        Change::Changed => ("changed", "changed"),
        Change::Replaced => ("changed", "new version"),
        Change::Metadata => ("changed", "same content"),
    };
    let _ = write!(
        out,
        "<tr><td><span class=\"mark {class}\" title=\"{word}\">{}</span><td><div class=\"name\">{}</div>",
        Text(sign(change.change)),
        Text(change.name())
    );
    if let (Change::Replaced, Some(old)) = (change.change, &change.old) {
        let _ = write!(out, "<div class=\"was\">was {}</div>", Text(&old.name));
    }
    let digest = |state: Option<&State>, class: &str| {
        state.map(|state| format!("<div class=\"digest {class}\">{}</div>", Text(&state.digest))).unwrap_or_default()
    };
    let same = change.old.as_ref().zip(change.new.as_ref()).is_some_and(|(old, new)| old.digest == new.digest);
    if !same {
        out.push_str(&digest(change.old.as_ref(), "old"));
    }
    out.push_str(&digest(change.new.as_ref(), "new"));
    let shown = change.new.as_ref().or(change.old.as_ref());
    let platforms: Vec<String> = shown.iter().flat_map(|state| &state.platforms).map(ToString::to_string).collect();
    if !platforms.is_empty() {
        let _ = write!(out, "<div class=\"was\">{}</div>", Text(platforms.join(" ")));
    }
    let size = shown.and_then(|state| state.content).map(|content| bytes(content.bytes)).unwrap_or_default();
    let travels = change.travels.map(|travels| bytes(travels.bytes)).unwrap_or_default();
    let reason = shown.and_then(|state| state.origin.as_ref()).and_then(|origin| origin.reason.as_ref());
    let _ = write!(out, "<td class=\"number\">{size}<td class=\"number\">{travels}<td>{}", Text(origins(change)));
    if let Some(reason) = reason {
        let _ = write!(out, "<div class=\"was\">{}</div>", Text(reason));
    }
    out.push('\n');
}

fn layers(diff: &Diff, out: &mut String) {
    let transfer = &diff.transfer;
    if transfer.new.blobs == 0 && transfer.gone.blobs == 0 {
        return;
    }
    let _ = writeln!(
        out,
        "<section><h2>What travels</h2><p>New: {}, of which {} in layers. Shared: {}. Gone: {}.</p>",
        amount(transfer.new),
        bytes(transfer.new_layers.bytes),
        amount(transfer.shared),
        amount(transfer.gone)
    );
    if !transfer.heaviest.is_empty() {
        out.push_str(
            "<table><thead><tr><th>heaviest new layers<th>media type<th class=\"number\">size</thead><tbody>\n",
        );
        for layer in transfer.heaviest.iter().take(20) {
            let (digest, media_type) = (Text(&layer.digest), Text(&layer.media_type));
            let size = bytes(layer.bytes);
            let _ = writeln!(
                out,
                "<tr><td><span class=\"digest\">{digest}</span><td class=\"was\">{media_type}<td class=\"number\">{size}"
            );
        }
        out.push_str("</tbody></table>");
    }
    out.push_str("</section>\n");
}

fn section<T>(out: &mut String, heading: &str, items: &[T], write: fn(&T, &mut String)) {
    if !items.is_empty() {
        let _ = writeln!(out, "<section><h2>{heading}</h2>");
        items.iter().for_each(|item| write(item, out));
        out.push_str("</section>\n");
    }
}

fn text(change: &TextChange, out: &mut String) {
    let _ = write!(out, "<h3>{}</h3><pre>", Text(&change.name));
    for line in &change.lines {
        let class = match line.as_str().as_bytes().first() {
            Some(b'+') => "added",
            Some(b'-') => "removed",
            Some(b'@') => "hunk",
            _ => "",
        };
        let _ = write!(out, "<span class=\"{class}\">{}</span>", Text(line));
    }
    out.push_str("</pre>");
    if change.left_out > 0 {
        let _ = write!(out, "<p class=\"was\">… {} more lines</p>", change.left_out);
    }
    if change.secrets_changed {
        out.push_str("<p class=\"hidden\">Values of a Secret, which are not shown, differ.</p>");
    }
    out.push('\n');
}

fn packages(changes: &PackageChanges, out: &mut String) {
    let [before, after] = changes.counts;
    let _ = writeln!(
        out,
        "<h3>{}</h3><p class=\"was\">{before} packages before, {after} after</p>\
         <table><thead><tr><th><th>package<th>old<th>new</thead><tbody>",
        Text(&changes.artifact)
    );
    for change in &changes.changes {
        let (class, mark) = match (change.old.is_empty(), change.new.is_empty()) {
            (true, _) => ("added", "+"),
            (_, true) => ("removed", "-"),
            _ => ("changed", "~"),
        };
        let _ = writeln!(
            out,
            "<tr><td><span class=\"mark {class}\">{mark}</span><td class=\"name\">{}<td>{}<td>{}",
            Text(&change.name),
            Text(versions(&change.old)),
            Text(versions(&change.new))
        );
    }
    out.push_str("</tbody></table>\n");
    if changes.left_out > 0 {
        let _ = writeln!(out, "<p class=\"was\">… {} more</p>", changes.left_out);
    }
}

fn notes(diff: &Diff, out: &mut String) {
    if !diff.notes.is_empty() {
        out.push_str("<section><h2>Not looked into</h2><ul class=\"notes\">\n");
        for note in &diff.notes {
            let _ = writeln!(out, "<li>{}", Text(note));
        }
        out.push_str("</ul></section>\n");
    }
}

/// What a person puts their name to: the digest of the new side.
fn sign_off(diff: &Diff, out: &mut String) {
    let _ = writeln!(
        out,
        "<section class=\"sign\"><h2>Decision</h2><p>About <span class=\"digest\">{}</span>, compared with \
         <span class=\"digest\">{}</span>.</p><p class=\"choice\"><span class=\"box\"></span> admit \
         <span class=\"box\"></span> refuse</p><div class=\"lines\"><span>Name</span><span>Date</span>\
         <span>Signature</span></div></section>",
        Text(&diff.new.digest),
        Text(&diff.old.digest)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let hostile = "<script>alert(1)</script>\" onload='x' &amp;";
        let safe = Text(hostile).to_string();
        assert!(!safe.contains(['<', '>', '"', '\'']), "{safe}");
        assert!(safe.ends_with("&amp;amp;"), "{safe}");
    }
}
