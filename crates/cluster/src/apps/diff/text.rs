//! Two states of an object, as a unified diff of their fields.

use serde_json::Value;
use similar::TextDiff;

use super::super::secrets::Secrets;

/// What the API server writes by itself, whoever changes what.
const OF_THE_SERVER: [&str; 6] =
    ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"];
/// kubectl's copy of the whole object: it would show what is hidden elsewhere.
const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What differs between what is there and what would be there; nothing where that is the same. [`Value::Null`] is no object.
pub(super) fn unified(before: &Value, after: &Value, secrets: &Secrets) -> Option<String> {
    let (mut before, mut after) = (plain(before), plain(after));
    if before == after {
        return None;
    }
    secrets.hide(&mut before, &mut after);
    let (old, new) = (yaml(&before), yaml(&after));
    let diff = TextDiff::from_lines(&old, &new);
    let text = diff.unified_diff().context_radius(3).to_string();
    Some(text)
}

/// Without what says nothing about what somebody wants.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    let Some(fields) = object.as_object_mut() else { return object };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        OF_THE_SERVER.iter().for_each(|name| drop(metadata.remove(*name)));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(COPY);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    object
}

fn yaml(object: &Value) -> String {
    if object.is_null() {
        return String::new();
    }
    // JSON is YAML, too.
    serde_saphyr::to_string(object).unwrap_or_else(|_| format!("{object:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_fields_that_somebody_wants_are_compared() {
        let object = |version: &str, replicas: u64| {
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {
                    "name": "web", "namespace": "demo", "resourceVersion": version, "generation": replicas,
                    "annotations": {COPY: "{}"},
                },
                "spec": {"replicas": replicas, "paused": false, "minReadySeconds": 3, "template": {"metadata": {"labels": {"app": "web"}}}},
                "status": {"replicas": replicas},
            })
        };
        let secrets = Secrets::default();
        assert_eq!(unified(&object("1", 2), &object("2", 2), &secrets), None);
        insta::assert_snapshot!(unified(&object("1", 2), &object("2", 3), &secrets).unwrap(), @"
        @@ -6,7 +6,7 @@
         spec:
           minReadySeconds: 3
           paused: false
        -  replicas: 2
        +  replicas: 3
           template:
             metadata:
               labels:
        ");
    }

    #[test]
    fn a_secret_shows_which_of_its_values_differ_and_none_of_them() {
        let secret = |password: &str| json!({"kind": "Secret", "metadata": {"name": "db"}, "data": {"user": "YQ==", "password": password}});
        let text = unified(&secret("b2xk"), &secret("bmV3"), &Secrets::default()).unwrap();
        insta::assert_snapshot!(text, @"
        @@ -1,5 +1,5 @@
         data:
        -  password: (hidden, before)
        +  password: (hidden, after)
           user: (hidden)
         kind: Secret
         metadata:
        ");
        let added = unified(&Value::Null, &secret("bmV3"), &Secrets::default()).unwrap();
        insta::assert_snapshot!(added, @"
        @@ -0,0 +1,6 @@
        +data:
        +  password: (hidden)
        +  user: (hidden)
        +kind: Secret
        +metadata:
        +  name: db
        ");
    }
}
