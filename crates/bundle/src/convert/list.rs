//! `images.txt`: one image per line, `#` before comments.

use super::draft::Draft;
use super::error::ConvertError;
use super::fields::Text;
use super::yaml::MAX_BYTES;
use crate::document::Place;
use crate::reference::Reference;

/// Lines of one list at most.
const MAX_LINES: usize = 100_000;

/// Whether `text` is such a list: lines of one word each, and the first of them a reference.
pub(super) fn is_list(text: &str) -> bool {
    let mut lines = text.lines().map(content).filter(|line| !line.is_empty()).take(MAX_LINES);
    let Some(first) = lines.next() else { return false };
    let is_word = |line: &str| !line.contains(char::is_whitespace) && !line.ends_with(':');
    let is_name = |line: &str| line.contains(['/', ':', '@']);
    is_word(first) && is_name(first) && bare(first).parse::<Reference>().is_ok() && lines.all(is_word)
}

pub(super) fn read(text: &str, draft: &mut Draft) -> Result<(), ConvertError> {
    let start = Place { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        return Err(ConvertError::Limit { place: start, what: "bytes", limit: MAX_BYTES });
    }
    for (index, line) in text.lines().enumerate() {
        let indent = line.chars().take_while(|character| character.is_whitespace()).count();
        let place = Place { line: index as u64 + 1, column: indent as u64 + 1 };
        if index == MAX_LINES {
            return Err(ConvertError::Limit { place, what: "lines", limit: MAX_LINES });
        }
        let content = content(line);
        if !content.is_empty() {
            draft.image(&Text { text: bare(content), place, at: format!("line {}", place.line) }, None);
        }
    }
    Ok(())
}

/// A line without its comment: `#` at the beginning, or behind a blank.
fn content(line: &str) -> &str {
    let comment = line.char_indices().find(|(at, character)| {
        *character == '#'
            && line.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    });
    comment.map_or(line, |(at, _)| line.get(..at).unwrap_or(line)).trim()
}

fn bare(line: &str) -> &str {
    line.strip_prefix("docker://").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_from_prose_and_yaml() {
        assert!(is_list("# rke2\n\ndocker.io/rancher/pause:3.6 # pinned\n  quay.io/a/b@sha256:0\n"));
        for text in ["", "# nothing\n", "hello world\n", "a: b\n", "images:\n", "{}"] {
            assert!(!is_list(text), "{text:?}");
        }
    }
}
