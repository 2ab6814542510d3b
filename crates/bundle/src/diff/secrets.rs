//! Hides the values of Secret objects: a comparison is printed, mailed and filed.

/// What stands in the place of a value.
const HIDDEN: &str = "<hidden>";

/// A text without the values of Secrets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The lines that may be shown.
    pub(super) lines: Vec<String>,
    /// What was taken out, to be compared and never shown.
    pub(super) hidden: Vec<String>,
}

/// Hides the values below `data:` and `stringData:` of every YAML document that is a Secret.
///
/// By lines, since the text has to stay as it is. A document that names a Secret in another way than kubectl and people
/// write it (flow style, JSON, a list) is hidden as a whole: rather too much than too little.
pub(super) fn hide(text: &str) -> Shown {
    let mut shown = Shown { lines: Vec::new(), hidden: Vec::new() };
    let mut document = Vec::new();
    for line in text.lines() {
        if line == "---" || line.starts_with("--- ") || line == "..." {
            hide_document(&document, &mut shown);
            document.clear();
            shown.lines.push(line.to_owned());
        } else {
            document.push(line);
        }
    }
    hide_document(&document, &mut shown);
    shown
}

fn hide_document(document: &[&str], shown: &mut Shown) {
    let names_secret = document.iter().any(|line| names_secret(line));
    if !names_secret {
        shown.lines.extend(document.iter().map(|line| (*line).to_owned()));
        return;
    }
    if !document.iter().any(|line| is_plain_secret(line)) {
        shown.hidden.extend(document.iter().map(|line| (*line).to_owned()));
        shown
            .lines
            .push(format!("# {HIDDEN}: a document that names a Secret, and is not written as kubectl writes one"));
        return;
    }
    let mut block = Block::Open;
    for line in document {
        if line.trim().is_empty() || line.starts_with('#') {
            shown.lines.push((*line).to_owned());
            continue;
        }
        block = block.after(line);
        match block {
            Block::Open => shown.lines.push((*line).to_owned()),
            Block::Data | Block::Annotations => {
                shown.hidden.push((*line).to_owned());
                shown.lines.extend(hidden_key(line));
            }
        }
    }
}

/// Where a line of a Secret stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// Where nothing needs to be hidden.
    Open,
    /// In `data` or `stringData`.
    Data,
    /// In the annotations, where `kubectl apply` keeps a copy of the whole object.
    Annotations,
}

impl Block {
    /// The block that `line` stands in, `self` being the one of the line before.
    fn after(self, line: &str) -> Self {
        let indent = line.len() - line.trim_start().len();
        let key = line.trim_start().split(':').next().unwrap_or_default().trim_matches(['"', '\'', ' ']);
        match (indent, key) {
            (0, "data" | "stringData") => Self::Data,
            (0, "metadata") if line.contains("annotations") => Self::Annotations,
            (0, _) if !line.starts_with(['-', '\t', '}', ']']) => Self::Open,
            (_, "annotations") if self == Self::Open => Self::Annotations,
            (1 | 2, _) if self == Self::Annotations => Self::Open,
            _ => self,
        }
    }
}

/// The key of a line without its value; nothing for a line of a longer value.
fn hidden_key(line: &str) -> Option<String> {
    let indent = line.len() - line.trim_start().len();
    let (key, _) = line.trim_start().split_once(':')?;
    let is_key =
        indent <= 2 && !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-\"'".contains(&b));
    is_key.then(|| format!("{}{key}: {HIDDEN}", " ".repeat(indent)))
}

fn names_secret(line: &str) -> bool {
    line.contains("kind") && line.contains("Secret")
}

fn is_plain_secret(line: &str) -> bool {
    let kind = line.strip_prefix("kind:").map(|kind| kind.split('#').next().unwrap_or_default());
    kind.is_some_and(|kind| kind.trim().trim_matches(['"', '\'']) == "Secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        hide(text).lines.join("\n")
    }

    #[test]
    fn values_are_hidden_and_keys_stay() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\nstringData:\n  password: hunter2\n  pem: |\n    BEGIN\n    key: inner\ntype: Opaque\n---\nkind: ConfigMap\ndata:\n  a: b\n";
        let seen = shown(text);
        assert!(!seen.contains("hunter2") && !seen.contains("BEGIN") && !seen.contains("inner"), "{seen}");
        assert!(
            seen.contains("  password: <hidden>") && seen.contains("type: Opaque") && seen.contains("  a: b"),
            "{seen}"
        );
        assert!(hide(text).hidden.iter().any(|line| line.contains("hunter2")));
    }

    #[test]
    fn other_spellings_are_hidden_as_a_whole() {
        for text in [
            "{\"kind\": \"Secret\", \"data\": {\"p\": \"hunter2\"}}",
            "kind: List\nitems:\n- kind: Secret\n  data:\n    p: hunter2",
            "? kind\n: Secret\ndata: {p: hunter2}\n# kind Secret",
        ] {
            assert!(!shown(text).contains("hunter2"), "{text}");
        }
        let annotated = "kind: Secret\nmetadata:\n  annotations:\n    last-applied: hunter2\n  name: x\n";
        assert!(!shown(annotated).contains("hunter2") && shown(annotated).contains("  name: x"));
        for text in [
            "kind: Secret\ndata: {p: hunter2}",
            "kind: \"Secret\" # x\ndata:\n\n  p: >-\n    hunter2",
            "data:\n  p: hunter2\nkind: Secret",
        ] {
            assert!(!shown(text).contains("hunter2"), "{text}: {}", shown(text));
        }
    }
}
