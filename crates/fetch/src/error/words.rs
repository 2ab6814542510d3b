//! Lists in errors.

use std::fmt::Write as _;

use super::{UndecidedGuess, Unruled};

/// Places of one guess that are told; the rest is counted.
const PLACES: usize = 3;

pub(super) fn list_guesses(guesses: &[UndecidedGuess]) -> String {
    let mut text = String::new();
    for UndecidedGuess { image, places } in guesses {
        let _ = write!(text, "\n{image}");
        places.iter().take(PLACES).for_each(|place| {
            let _ = write!(text, "\n  {place}");
        });
        if places.len() > PLACES {
            let _ = write!(text, "\n  and {} more", places.len() - PLACES);
        }
    }
    text
}

/// The lines of YAML that decide on the guesses, one way or the other.
pub(super) fn decisions(guesses: &[UndecidedGuess]) -> String {
    let mut text = "decide on each under `spec`. What is needed:\nguesses:\n  accept:\n".to_owned();
    for guess in guesses {
        let _ = writeln!(text, "    - \"{}\"", guess.image);
    }
    text.push_str("What is not needed, each with the reason in words:\nguesses:\n  refuse:\n");
    for guess in guesses {
        let _ = writeln!(text, "    - {{match: \"{}\", reason: \"\"}}", guess.image);
    }
    text.push_str("Patterns may hold `*` and `?`");
    text
}

pub(super) fn list(images: &[Unruled]) -> String {
    let one = |unruled: &Unruled| format!("{} (asked for by {})", unruled.image, unruled.requested_by.join(", "));
    images.iter().map(one).collect::<Vec<_>>().join(", ")
}

pub(super) fn known_versions(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!(", but {}", known.join(", ")) }
}
