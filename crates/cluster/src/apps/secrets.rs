//! Which values are secrets, and how they are kept from being shown.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::AppError;

/// A file of values at most.
const MAX_VALUES: u64 = 4 << 20;
/// What is shorter stands everywhere: hiding each `on` and `true` would hide what has nothing to do with it.
const SHORTEST: usize = 4;
/// Of a text on several lines, a line that is shorter says nothing.
const SHORTEST_LINE: usize = 8;
const HIDDEN: &str = "(hidden)";
const BEFORE: &str = "(hidden, before)";
const AFTER: &str = "(hidden, after)";

/// The texts that are never shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(BTreeSet<String>);

impl Secrets {
    /// Whether nothing is known to be secret.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what `values` holds at `places`.
    pub(super) fn add(&mut self, values: &Value, places: &[String]) {
        let found = places.iter().filter_map(|place| values.pointer(place)).filter_map(text);
        found.for_each(|text| self.add_text(&text));
    }

    /// A chart trims and indents what is on several lines, and encodes it.
    fn add_text(&mut self, text: &str) {
        let trimmed = text.trim();
        if trimmed.len() < SHORTEST {
            return;
        }
        let lines = trimmed.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
        let encoded = [text, trimmed].map(|text| BASE64.encode(text));
        self.0.extend(lines.chain([trimmed]).map(ToOwned::to_owned).chain(encoded));
    }

    /// Adds everything in the values files `files`.
    pub(super) fn add_files(&mut self, files: &[PathBuf]) -> Result<(), AppError> {
        for file in files {
            let values = read(file)?;
            self.add(&values, &leaves(&values));
        }
        Ok(())
    }

    /// Hides what must not be shown of an object in the cluster and what would become of it; where it differs, that still
    /// can be seen.
    pub(super) fn hide(&self, before: &mut Value, after: &mut Value) {
        if before["kind"] == "Secret" || after["kind"] == "Secret" {
            for part in ["data", "stringData"] {
                let mut nothing = Value::Null;
                hide_all(before.get_mut(part).unwrap_or(&mut Value::Null), after.get_mut(part).unwrap_or(&mut nothing));
            }
        }
        self.hide_texts(before, after);
    }

    fn hide_texts(&self, before: &mut Value, after: &mut Value) {
        let is_secret = self.tells(before) || self.tells(after);
        match (&mut *before, &mut *after) {
            (Value::Object(old), Value::Object(new)) => {
                for (name, value) in old.iter_mut() {
                    self.hide_texts(value, new.get_mut(name).unwrap_or(&mut Value::Null));
                }
                let only_new = new.iter_mut().filter(|(name, _)| !old.contains_key(*name));
                only_new.for_each(|(_, value)| self.hide_texts(&mut Value::Null, value));
            }
            (Value::Array(old), Value::Array(new)) => {
                let both = old.len().min(new.len());
                old.iter_mut().zip(new.iter_mut()).for_each(|(old, new)| self.hide_texts(old, new));
                old[both..].iter_mut().for_each(|old| self.hide_texts(old, &mut Value::Null));
                new[both..].iter_mut().for_each(|new| self.hide_texts(&mut Value::Null, new));
            }
            (Value::Object(_) | Value::Array(_), Value::Null) => self.hide_alone(before),
            (Value::Null, Value::Object(_) | Value::Array(_)) => self.hide_alone(after),
            // Where one side is a secret, the other may be what it was before, or becomes.
            _ if is_secret => hide_pair(before, after),
            // Of different shapes.
            _ => {
                self.hide_alone(before);
                self.hide_alone(after);
            }
        }
    }

    fn hide_alone(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => fields.values_mut().for_each(|field| self.hide_alone(field)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_alone(item)),
            leaf if self.tells(leaf) => *leaf = HIDDEN.into(),
            _ => {}
        }
    }

    fn tells(&self, leaf: &Value) -> bool {
        text(leaf).is_some_and(|text| self.0.iter().any(|secret| text.contains(secret.as_str())))
    }
}

/// Where in the values files `files` something stands: JSON pointers, each once.
pub(super) fn places(files: &[PathBuf]) -> Result<Vec<String>, AppError> {
    let mut found = BTreeSet::new();
    for file in files {
        found.extend(leaves(&read(file)?));
    }
    Ok(found.into_iter().collect())
}

fn read(path: &Path) -> Result<Value, AppError> {
    use std::io::Read as _;
    let failed = |source| AppError::Io { action: "read", path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_VALUES).read_to_string(&mut text).map_err(failed)?;
    // An error of the parser could quote a secret.
    serde_saphyr::from_str(&text).map_err(|_| AppError::Yaml {
        origin: path.display().to_string(),
        problem: "it cannot be parsed; what stands there is not shown".into(),
    })
}

fn leaves(values: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(values, &mut String::new(), &mut found);
    found
}

fn collect(value: &Value, place: &mut String, found: &mut Vec<String>) {
    let before = place.len();
    let mut below = |name: &str, value: &Value| {
        place.push('/');
        place.push_str(&name.replace('~', "~0").replace('/', "~1"));
        collect(value, place, found);
        place.truncate(before);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(items) => (0..).zip(items).for_each(|(n, item): (usize, _)| below(&n.to_string(), item)),
        Value::Null => {}
        _ => found.push(place.clone()),
    }
}

fn text(leaf: &Value) -> Option<String> {
    match leaf {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The fields of a Secret, name by name.
fn hide_all(before: &mut Value, after: &mut Value) {
    let (Some(old), Some(new)) = (fields(before), fields(after)) else { return };
    for (name, value) in old.iter_mut() {
        hide_pair(value, new.get_mut(name).unwrap_or(&mut Value::Null));
    }
    for (_, value) in new.iter_mut().filter(|(name, _)| !old.contains_key(*name)) {
        *value = HIDDEN.into();
    }
}

fn fields(value: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    if value.is_null() {
        *value = Value::Object(serde_json::Map::new());
    }
    value.as_object_mut()
}

fn hide_pair(before: &mut Value, after: &mut Value) {
    let differ = before != after && !before.is_null() && !after.is_null();
    for (value, word) in [(before, BEFORE), (after, AFTER)] {
        if !value.is_null() {
            *value = if differ { word } else { HIDDEN }.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_secrets_are_never_shown_and_changes_still_are() {
        let secret = |data: Value| json!({"kind": "Secret", "data": data});
        let mut before = secret(json!({"same": "YQ==", "other": "Yg==", "gone": "Yw=="}));
        let mut after = secret(json!({"same": "YQ==", "other": "eA==", "new": "ZA=="}));
        Secrets::default().hide(&mut before, &mut after);
        assert_eq!(before["data"], json!({"same": HIDDEN, "other": BEFORE, "gone": HIDDEN}));
        assert_eq!(after["data"], json!({"same": HIDDEN, "other": AFTER, "new": HIDDEN}));
        let (mut nothing, mut added) = (Value::Null, secret(json!({"a": "YQ=="})));
        Secrets::default().hide(&mut nothing, &mut added);
        assert_eq!(added["data"], json!({"a": HIDDEN}));
    }

    #[test]
    fn what_stands_in_a_secret_values_file_is_hidden_wherever_it_gets_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("db.yaml");
        std::fs::write(&file, "db: {password: hunter22, port: 5432, tls: true}\nkeys: [abcd]\n").unwrap();
        assert_eq!(places(std::slice::from_ref(&file)).unwrap(), ["/db/password", "/db/port", "/db/tls", "/keys/0"]);
        let mut secrets = Secrets::default();
        secrets.add_files(&[file]).unwrap();
        secrets.add(&json!({"db": {"password": "hunter1!"}}), &["/db/password".into()]);
        let object =
            |url: &str| json!({"kind": "ConfigMap", "env": [{"name": "URL", "value": url}, {"value": "plain"}]});
        let mut before = object("db://u:hunter1!@db");
        let mut after = object("db://u:hunter22@db");
        secrets.hide(&mut before, &mut after);
        assert_eq!(before, object(BEFORE));
        assert_eq!(after, object(AFTER));
        let (mut alone, mut nothing) = (object("hunter22"), Value::Null);
        secrets.hide(&mut alone, &mut nothing);
        assert_eq!(alone, object(HIDDEN));
    }

    #[test]
    fn a_secret_on_several_lines_is_hidden_as_a_chart_writes_it() {
        let key = "-----BEGIN KEY-----\nMHcCAQEEIIOb7\n-----END KEY-----\n";
        let mut secrets = Secrets::default();
        secrets.add(&json!({"key": key}), &["/key".into()]);
        let shown = [key.trim().to_owned(), format!("tls:\n  {}", key.replace('\n', "\n  ")), BASE64.encode(key)];
        for text in shown {
            let (mut there, mut nothing) = (json!({"data": {"file": text}}), Value::Null);
            secrets.hide(&mut there, &mut nothing);
            assert_eq!(there["data"]["file"], HIDDEN);
        }
        let (mut before, mut after) = (json!({"spec": {"a": {"b": key}}}), json!({"spec": {"a": "plain"}}));
        secrets.hide(&mut before, &mut after);
        assert_eq!(before["spec"]["a"]["b"], HIDDEN);
    }

    #[test]
    fn a_secret_that_cannot_be_parsed_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("db.yaml");
        std::fs::write(&file, "password: [hunter22").unwrap();
        let error = places(&[file]).unwrap_err().to_string();
        assert!(!error.contains("hunter22"), "{error}");
    }
}
