//! Words of a line, as systemd splits them.

/// The words of `line`: blanks part them, but for those in quotes.
pub(super) fn words(line: &str) -> Vec<String> {
    let (mut all, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            (letter, None) if letter.is_whitespace() => all.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    all.extend(word);
    all
}

/// The value of the variable `name` in `text`, a file of the environment: where it stands several times, the last one.
pub(super) fn variable(text: &str, name: &str) -> Option<String> {
    let mut assigned = text.lines().filter_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix('='));
    assigned.next_back().map(|value| {
        let value = value.trim();
        match words(value).as_slice() {
            // A value in quotes is one word; any other goes to the end of the line.
            [one] if value.starts_with(['"', '\'']) => one.clone(),
            _ => value.to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_part_words_but_for_those_in_quotes() {
        assert_eq!(
            words(r#" --a=1  "--b=2 3" '--c=\x' --d="4 5" --e=6\ 7 "" "#),
            ["--a=1", "--b=2 3", r"--c=\x", "--d=4 5", "--e=6 7", ""]
        );
        assert_eq!(words("  "), [""; 0]);
    }

    #[test]
    fn the_last_assignment_counts_with_or_without_quotes() {
        let text = "# KUBELET_EXTRA_ARGS=--no\nKUBELET_EXTRA_ARGS=--a --b\nKUBELET_EXTRA_ARGS=\"--c --d='e f'\"\n";
        assert_eq!(variable(text, "KUBELET_EXTRA_ARGS").unwrap(), "--c --d='e f'");
        assert_eq!(variable("X=--a --b\n", "X").unwrap(), "--a --b");
        assert_eq!(variable("X_ARGS=1\n", "X"), None);
    }
}
