//! Text within text: files in ConfigMaps, JSON in annotations, scripts in arguments.

use sealock_bundle::Reference;
use serde_json::Value;

use super::{shape, words};

/// Longer texts are dashboards and certificates.
const LONGEST: usize = 1 << 20;
/// Lines that only talk.
const COMMENTS: [&str; 4] = ["#", "//", "--", ";"];

/// What a text is.
pub(super) enum Text {
    /// YAML or JSON documents.
    Documents(Vec<Value>),
    /// Anything else.
    Lines,
}

/// Whether `text` is more than one value: lines, JSON, or a list of words.
pub(super) fn is_compound(text: &str) -> bool {
    let text = text.trim();
    text.len() <= LONGEST && (text.starts_with(['{', '[']) || text.contains(['\n', ' ', ',', ';']))
}

/// Reads `text` as documents, if it is documents.
pub(super) fn read(text: &str) -> Text {
    let structured = text.trim_start().starts_with(['{', '[', '-']) || text.contains(": ") || text.contains(":\n");
    if !structured {
        return Text::Lines;
    }
    let mut documents = Vec::new();
    for part in text.split("\n---") {
        match serde_saphyr::from_str::<Value>(part) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => documents.push(value),
            Ok(Value::Null) => {}
            Ok(_) | Err(_) => return Text::Lines,
        }
    }
    Text::Documents(documents)
}

/// The images in text that is no document: `image = "…"` by its name, other words by being complete references.
pub(super) fn in_lines(text: &str) -> Vec<Reference> {
    text.lines().filter(|line| !is_comment(line)).flat_map(in_line).collect()
}

fn is_comment(line: &str) -> bool {
    // A line `--image=…` is an argument.
    COMMENTS.iter().any(|mark| {
        line.trim_start()
            .strip_prefix(mark)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '#', '/', '-', ';']))
    })
}

fn in_line(line: &str) -> Vec<Reference> {
    if let Some(image) = named_in(line) {
        return vec![image];
    }
    let edges = |c: char| c.is_whitespace() || "\"'`,;()[]{}<>|=$\\".contains(c);
    // A shell's default: `${IMAGE:-quay.io/a/b:1}`.
    let words = line.split(":-").flat_map(|part| part.split(edges));
    words.filter_map(|word| shape::plain(word.trim_end_matches('.'))).collect()
}

/// `image: X`, `"image": "X",`, `helper_image = "X"`, `export FOO_IMAGE=X`.
fn named_in(line: &str) -> Option<Reference> {
    let (name, value) = line.split_once([':', '='])?;
    let name = name.trim().trim_start_matches("- ").trim_start_matches("export ").trim_start_matches("--");
    let name = name.trim_matches(['"', '\'', ' ']);
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte));
    if !is_word || !words::name_image(name) {
        return None;
    }
    let value = value.trim().trim_end_matches(',').trim();
    let value = value.split(" #").next().unwrap_or(value).trim();
    shape::named(value.trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        in_lines(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn configuration_in_any_language_names_images() {
        assert_eq!(lines("[[runners]]\n  image = \"alpine:3.20\"\n"), ["docker.io/library/alpine:3.20"]);
        assert_eq!(lines("image: {{ .x }}\n- image: \"a/b:1\" # here"), ["docker.io/a/b:1"]);
        assert_eq!(lines("docker run --rm quay.io/a/b:1 sh\n# quay.io/a/c:1"), ["quay.io/a/b:1"]);
        assert_eq!(lines("image: \"{{ .Values.hub }}/proxyv2:{{ .tag }}\"\nquay.io/a/b:{{ x }}"), [""; 0]);
    }
}
