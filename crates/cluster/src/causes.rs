//! Errors in one line.

use std::error::Error;

/// The longest such line, in characters.
const LONGEST: usize = 400;

/// `said` of `error`, and all that caused it, without what a terminal would act on.
pub(crate) fn in_one_line(said: String, error: &dyn Error) -> String {
    let mut line = said;
    for cause in std::iter::successors(error.source(), |cause| (**cause).source()) {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line.chars().filter(|character| !character.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_caused_it_is_told_once_and_nothing_that_a_terminal_acts_on() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer\u{1b}[2J")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("inner"));
        assert_eq!(in_one_line(error.to_string(), &error), "outer[2J: inner");
        assert_eq!(in_one_line("it says inner".into(), &error), "it says inner");
        assert_eq!(in_one_line("x".repeat(500), &error).len(), LONGEST);
    }
}
