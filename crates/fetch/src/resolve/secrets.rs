//! Secrets and likely credentials: they travel only when the spec accepts them by name.

use sealock_bundle::spec::AcceptedSecret;
use serde_json::Value;

use super::objects::Object;
use crate::error::FetchError;

/// Stops at an object that carries a secret which nobody accepted.
pub(super) fn check(object: &Object, namespace: &str, accepted: &[AcceptedSecret]) -> Result<(), FetchError> {
    let Some(what) = secret_in(&object.value) else { return Ok(()) };
    let text = |path: &str| object.value.pointer(path).and_then(Value::as_str);
    let name =
        format!("{}/{}", text("/metadata/namespace").unwrap_or(namespace), text("/metadata/name").unwrap_or("?"));
    if accepted.iter().any(|accepted| accepted.name == name) {
        return Ok(());
    }
    Err(FetchError::Secret { place: object.place.clone(), what, name })
}

fn secret_in(value: &Value) -> Option<&'static str> {
    let filled = |path: &str| value.pointer(path).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    if value.pointer("/kind").is_some_and(|kind| kind == "Secret") && (filled("/data") || filled("/stringData")) {
        return Some("a Secret with content");
    }
    has_private_key(value).then_some("a private key")
}

fn has_private_key(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("PRIVATE KEY-----"),
        Value::Array(items) => items.iter().any(has_private_key),
        Value::Object(map) => map.values().any(has_private_key),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::objects;
    use super::*;

    fn verdict(text: &str, accepted: &str) -> Result<(), String> {
        let accepted = [AcceptedSecret { name: accepted.to_owned(), reason: "test".to_owned() }];
        let objects = objects::parse(text, "x.yaml").unwrap();
        objects.iter().try_for_each(|object| check(object, "default", &accepted)).map_err(|error| error.to_string())
    }

    #[test]
    fn secrets_are_accepted_by_name_only() {
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: shop}\nstringData: {password: x}\n";
        insta::assert_snapshot!(verdict(secret, "default/db").unwrap_err(), @"x.yaml: Secret db (line 1): a Secret with content would be carried, and the spec does not accept shop/db");
        assert_eq!(verdict(secret, "shop/db"), Ok(()));
        assert_eq!(verdict("apiVersion: v1\nkind: Secret\nmetadata: {name: empty}\n", ""), Ok(()));
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: '-----BEGIN EC PRIVATE KEY-----'}\n";
        assert!(verdict(map, "").unwrap_err().contains("a private key"));
    }
}
