//! Overrides of the spec that are to be in force already: a cluster that runs is not configured anew.

use serde_json::{Map, Value};

use super::{Mismatch, mismatch};

/// Every leaf of `patch` that is not so in `found`. `field` is the patch's name in the spec.
pub(super) fn compare(at: &str, field: &str, patch: &Map<String, Value>, found: &Value) -> Vec<Mismatch> {
    let mut all = Vec::new();
    for (key, wanted) in patch {
        let (field, is) = (format!("{field}.{key}"), found.get(key));
        match (wanted, is) {
            (Value::Object(inner), Some(is @ Value::Object(_))) => all.extend(compare(at, &field, inner, is)),
            // A patch takes away what is null in it.
            (Value::Null, None) => {}
            (wanted, Some(is)) if wanted == is => {}
            (wanted, is) => {
                let found = is.map_or_else(|| "not set".to_owned(), Value::to_string);
                all.push(mismatch(at, &field, format_args!("the spec says {wanted}"), found));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_leaf_has_to_be_in_force() {
        let patch = json!({"failSwapOn": false, "evictionHard": {"a": "1", "b": "2"}, "gone": null, "here": null});
        let found = json!({"evictionHard": {"a": "1", "b": "3"}, "here": 1, "more": 2});
        let found = compare("w1", "overrides.kubelet", patch.as_object().unwrap(), &found);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "w1: overrides.kubelet.evictionHard.b is \"3\", and the spec says \"2\"",
                "w1: overrides.kubelet.failSwapOn is not set, and the spec says false",
                "w1: overrides.kubelet.here is 1, and the spec says null",
            ]
        );
    }
}
