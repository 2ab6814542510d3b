//! Texts that changed, line by line: Kubernetes manifests, and the files of charts.

use std::collections::{BTreeMap, BTreeSet};

use similar::{Algorithm, TextDiff};

use super::Readable;
use super::artifacts::Pair;
use super::chart::{self, MAX_ARCHIVE};
use super::model::{Kind, TextChange, Trust};
use super::secrets::{self, Shown};
use super::side::Entry;
use super::tree::{Part, Trees};
use crate::artifact::{HELM_CHART, YAML};
use crate::plain::Plain;

/// Bytes of one text at most.
const MAX_TEXT: u64 = 1 << 20;
/// Lines of one text at most: comparing takes time with the square of them.
const MAX_LINES: usize = 5000;
/// Lines of one text that are shown.
const MAX_SHOWN: usize = 200;
/// Texts that are compared at most.
const MAX_TEXTS: usize = 200;

/// The manifests that changed or came, and what changed in charts.
pub(super) fn changes<E>(
    pairs: &[Pair<'_>],
    sides: [&Readable<'_, E>; 2],
    trees: &[Trees; 2],
    notes: &mut Vec<Plain>,
) -> Result<Vec<TextChange>, E> {
    let mut reader = Reader { sides, trees, notes, texts: Vec::new() };
    let is_changed = |pair: &&Pair<'_>| {
        let digest = |entry: Option<&Entry>| entry.map(|entry| entry.digest.clone());
        digest(pair.old) != digest(pair.new)
    };
    for pair in pairs.iter().filter(is_changed) {
        match (pair.old, pair.new) {
            (old, Some(new)) if new.kind == Kind::Manifest => reader.manifest(old, new)?,
            (Some(old), Some(new)) if new.kind == Kind::Chart => reader.chart(old, new)?,
            _ => {}
        }
    }
    Ok(reader.texts)
}

struct Reader<'a, 'r, E> {
    sides: [&'a Readable<'r, E>; 2],
    trees: &'a [Trees; 2],
    notes: &'a mut Vec<Plain>,
    texts: Vec<TextChange>,
}

impl<E> Reader<'_, '_, E> {
    fn manifest(&mut self, old: Option<&Entry>, new: &Entry) -> Result<(), E> {
        let text = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let before = match old {
            None => Some(String::new()),
            Some(old) => text(self.layer(0, old, YAML, MAX_TEXT)?),
        };
        match (before, text(self.layer(1, new, YAML, MAX_TEXT)?)) {
            (Some(before), Some(after)) => self.compare(&new.name, &before, &after),
            _ => self.note(&new.name, "its text is not at hand on both sides"),
        }
        Ok(())
    }

    fn chart(&mut self, old: &Entry, new: &Entry) -> Result<(), E> {
        if self.sides.iter().any(|side| side.side.summary.trust == Trust::Read) {
            self.note(&new.name, "charts are opened only where both sides are verified");
            return Ok(());
        }
        let [before, after] =
            [self.layer(0, old, HELM_CHART, MAX_ARCHIVE)?, self.layer(1, new, HELM_CHART, MAX_ARCHIVE)?];
        let (Some(before), Some(after)) = (before, after) else {
            self.note(&new.name, "its archive is not at hand on both sides");
            return Ok(());
        };
        match (chart::files(&before), chart::files(&after)) {
            (Ok(before), Ok(after)) => {
                let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
                let of = |files: &BTreeMap<String, String>, name: &String| files.get(name).cloned().unwrap_or_default();
                for name in names.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
                    self.compare(&format!("{}: {name}", new.name), &of(&before, name), &of(&after, name));
                }
            }
            (Err(error), _) | (_, Err(error)) => self.note(&new.name, &format!("its archive cannot be read: {error}")),
        }
        Ok(())
    }

    /// The layer of `entry` with this media type.
    fn layer(&self, at: usize, entry: &Entry, media_type: &str, limit: u64) -> Result<Option<Vec<u8>>, E> {
        let layers = self.trees[at].get(&entry.digest).map(|tree| tree.layers.as_slice()).unwrap_or_default();
        let found = layers.iter().find(|layer| layer.media_type == media_type);
        found.map_or(Ok(None), |Part { digest, .. }| (self.sides[at].read)(digest, limit))
    }

    fn compare(&mut self, name: &str, old: &str, new: &str) {
        if self.texts.len() == MAX_TEXTS {
            self.notes.push(Plain::of(format_args!("more than {MAX_TEXTS} texts changed, and no more are shown")));
            return;
        }
        match compare(Plain::of(name), old, new) {
            Some(change) => self.texts.push(change),
            None => self.note(name, "it has more lines than are compared"),
        }
    }

    fn note(&mut self, name: &str, text: &str) {
        self.notes.push(Plain::of(format_args!("{name}: {text}")));
    }
}

/// The unified difference; none where a text is too long.
fn compare(name: Plain, old: &str, new: &str) -> Option<TextChange> {
    let [old, new] = [old, new].map(secrets::hide);
    if old.lines.len().max(new.lines.len()) > MAX_LINES {
        return None;
    }
    let secrets_changed = old.hidden != new.hidden;
    let lines = unified(&old, &new);
    let left_out = lines.len().saturating_sub(MAX_SHOWN) as u64;
    let lines = lines.into_iter().take(MAX_SHOWN).map(Plain::of).collect();
    Some(TextChange { name, lines, left_out, secrets_changed })
}

fn unified(old: &Shown, new: &Shown) -> Vec<String> {
    let lines = |shown: &'_ Shown| -> Vec<String> { shown.lines.clone() };
    let (old, new) = (lines(old), lines(new));
    let (old, new): (Vec<&str>, Vec<&str>) =
        (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
    let diff = TextDiff::configure().algorithm(Algorithm::Myers).diff_slices(&old, &new);
    let mut out = Vec::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        out.push(hunk.header().to_string());
        for change in hunk.iter_changes() {
            out.push(format!("{}{}", change.tag(), change.value()));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(old: &str, new: &str) -> String {
        let change = compare(Plain::of("x"), old, new).unwrap();
        change.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn a_changed_line_is_shown_with_its_surroundings() {
        insta::assert_snapshot!(lines("a: 1\nb: 2\nc: 3\n", "a: 1\nb: 4\nc: 3\n"), @r"
        @@ -1,3 +1,3 @@
         a: 1
        -b: 2
        +b: 4
         c: 3
        ");
    }

    #[test]
    fn a_changed_secret_is_told_and_not_shown() {
        let secret = |value: &str| format!("kind: Secret\ndata:\n  p: {value}\n");
        let change = compare(Plain::of("x"), &secret("aHVudGVyMg=="), &secret("b3RoZXI=")).unwrap();
        assert!(change.secrets_changed && change.lines.is_empty());
    }

    #[test]
    fn long_differences_are_cut_and_long_texts_left_alone() {
        let text = |count: usize, word: &str| (0..count).map(|i| format!("{word} {i}\n")).collect::<String>();
        let change = compare(Plain::of("x"), &text(1000, "a"), &text(1000, "b")).unwrap();
        assert_eq!((change.lines.len(), change.left_out), (MAX_SHOWN, 1801));
        assert!(compare(Plain::of("x"), "", &text(MAX_LINES + 1, "a")).is_none());
    }
}
