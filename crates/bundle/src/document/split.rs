//! Cuts a YAML stream into its documents, keeping every line where it stood.

/// The documents of `text`. What belongs to others is blank lines, so that line numbers stay those of the file.
///
/// A line that begins with `---` or `...` and ends there, or goes on with white space, can be nothing but a marker
/// (YAML 1.2.2, production 206 `c-forbidden`), whatever stands around it.
pub(super) fn documents(text: &str) -> Vec<String> {
    let mut documents = Vec::new();
    let mut current = String::new();
    for (line_number, line) in text.split_inclusive('\n').enumerate() {
        if is_marker(line, "---") || is_marker(line, "...") {
            keep(&mut documents, &mut current);
            current = "\n".repeat(line_number);
        }
        current.push_str(if is_marker(line, "...") { "\n" } else { line });
    }
    keep(&mut documents, &mut current);
    documents
}

fn keep(documents: &mut Vec<String>, current: &mut String) {
    let document = std::mem::take(current);
    if document.lines().any(has_content) {
        documents.push(document);
    }
}

fn has_content(line: &str) -> bool {
    let line = line.strip_prefix("---").unwrap_or(line).trim();
    !line.is_empty() && !line.starts_with('#') && !line.starts_with('%')
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}
