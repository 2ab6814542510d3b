//! Text from outside, made fit to be shown: on a terminal, in a log, on paper.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// Characters of one [`Plain`] text at most.
pub const MAX_CHARACTERS: usize = 1000;

/// One line of text in which nothing can steer a terminal, forge a line of a log, or turn the reading direction.
///
/// Whatever could is spelled out: the escape character as `\u{1b}`. Only [`Plain::of`] makes one, so a type that holds
/// `Plain` can be shown as it is. A page of HTML still has to write `&` and `<` its own way.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Plain(String);

impl Plain {
    /// `text` with everything spelled out that is not plainly visible, cut after [`MAX_CHARACTERS`].
    pub fn of(text: impl fmt::Display) -> Self {
        let text = text.to_string();
        let mut plain = String::with_capacity(text.len().min(MAX_CHARACTERS));
        for (count, character) in text.chars().enumerate() {
            if count == MAX_CHARACTERS {
                plain.push('…');
                break;
            }
            if is_deceptive(character) {
                plain.extend(character.escape_unicode());
            } else {
                plain.push(character);
            }
        }
        Self(plain)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Control characters; line and paragraph separators; what turns the direction (UAX #9), joins or hides without a shape of
/// its own; tags and private use, which fonts draw as they like.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e000}'..='\u{f8ff}'
                | '\u{e0000}'..='\u{e0fff}'
                | '\u{f0000}'..='\u{10ffff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_spelled_out() {
        assert_eq!(Plain::of("a\u{1b}[31mb\r\nc\u{9b}2J").as_str(), r"a\u{1b}[31mb\u{d}\u{a}c\u{9b}2J");
        assert_eq!(Plain::of("pay\u{202e}lod\u{200b}.exe\u{2028}x").as_str(), r"pay\u{202e}lod\u{200b}.exe\u{2028}x");
        assert_eq!(Plain::of("\u{feff}\u{e0041}\u{f8ff}\u{3164}").as_str(), r"\u{feff}\u{e0041}\u{f8ff}\u{3164}");
    }

    #[test]
    fn what_is_readable_stays() {
        for text in ["registry.k8s.io/pause:3.10.2", "Käse & <b>", "日本語", "a  b"] {
            assert_eq!(Plain::of(text).as_str(), text);
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let plain = Plain::of("x".repeat(5000));
        assert_eq!(plain.as_str().chars().count(), MAX_CHARACTERS + 1);
        assert!(plain.as_str().ends_with('…'));
    }
}
