//! What Helm 3 makes of an object: it merges what the chart said before, what it says now, and what is there.
//!
//! The API server is asked what that would come to; this is only what Helm would send. Lists are merged by the names of their
//! items where the API does so.

use serde_json::{Map, Value};

/// What tells the items of a list apart, in the order in which it is looked for.
const KEYS: [&str; 6] = ["name", "containerPort", "port", "mountPath", "ip", "topologyKey"];

/// What would be sent for `live`, where the chart said `old` before and says `new` now.
pub(super) fn three_way(old: &Value, new: &Value, live: &Value) -> Value {
    // Of kinds that somebody has defined the API server knows no names of items.
    let group = new["apiVersion"].as_str().unwrap_or_default().split_once('/').map_or("", |(group, _)| group);
    let is_built_in = !group.contains('.') || group.ends_with(".k8s.io");
    merge(old, new, live, is_built_in)
}

fn merge(old: &Value, new: &Value, live: &Value, by_name: bool) -> Value {
    match (new, live) {
        (Value::Object(fields), Value::Object(there)) => merge_fields(old, fields, there, by_name),
        (Value::Array(items), Value::Array(there)) if by_name => {
            key_of(items, there).map_or_else(|| new.clone(), |key| merge_items(old, items, there, key))
        }
        _ => new.clone(),
    }
}

fn merge_fields(old: &Value, new: &Map<String, Value>, live: &Map<String, Value>, by_name: bool) -> Value {
    let mut merged = live.clone();
    let gone = old.as_object().into_iter().flat_map(Map::keys).filter(|name| !new.contains_key(*name));
    gone.for_each(|name| drop(merged.remove(name)));
    for (name, value) in new {
        if value.is_null() {
            merged.remove(name);
            continue;
        }
        let value = live.get(name).map_or_else(|| value.clone(), |there| merge(&old[name], value, there, by_name));
        merged.insert(name.clone(), value);
    }
    Value::Object(merged)
}

fn merge_items(old: &Value, new: &[Value], live: &[Value], key: &str) -> Value {
    let with_key = |items: &[Value], item: &Value| items.iter().find(|other| other[key] == item[key]).cloned();
    let before = old.as_array().map(Vec::as_slice).unwrap_or_default();
    let merged = new.iter().map(|item| match with_key(live, item) {
        Some(there) => merge(&with_key(before, item).unwrap_or_default(), item, &there, true),
        None => item.clone(),
    });
    let of_others = live.iter().filter(|item| with_key(new, item).is_none() && with_key(before, item).is_none());
    merged.chain(of_others.cloned()).collect()
}

fn key_of(new: &[Value], live: &[Value]) -> Option<&'static str> {
    let tells_apart = |key: &&&str| new.iter().chain(live).all(|item| item.get(**key).is_some());
    KEYS.iter().find(tells_apart).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(spec: &Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec})
    }

    #[test]
    fn what_the_chart_says_no_more_goes_and_what_others_added_stays() {
        let old = deployment(&json!({"replicas": 1, "paused": true, "minReadySeconds": 3}));
        let new = deployment(&json!({"replicas": 2, "minReadySeconds": null}));
        let live =
            deployment(&json!({"replicas": 1, "paused": true, "minReadySeconds": 3, "revisionHistoryLimit": 10}));
        let merged = deployment(&json!({"replicas": 2, "revisionHistoryLimit": 10}));
        assert_eq!(three_way(&old, &new, &live), merged);
    }

    #[test]
    fn items_of_lists_are_known_by_their_names() {
        let list = |items: Value| deployment(&json!({"containers": items}));
        let old = list(json!([{"name": "app", "image": "a:1", "tty": true}, {"name": "gone"}]));
        let new = list(json!([{"name": "new"}, {"name": "app", "image": "a:2"}]));
        let live = list(
            json!([{"name": "app", "image": "a:1", "tty": true, "stdin": false}, {"name": "gone"}, {"name": "sidecar"}]),
        );
        let merged =
            list(json!([{"name": "new"}, {"name": "app", "image": "a:2", "stdin": false}, {"name": "sidecar"}]));
        assert_eq!(three_way(&old, &new, &live), merged);
    }

    #[test]
    fn lists_of_other_kinds_are_replaced() {
        let tank = |items: Value| json!({"apiVersion": "example.org/v1", "kind": "Tank", "spec": {"valves": items}});
        let (new, live) = (tank(json!([{"name": "a"}])), tank(json!([{"name": "b"}])));
        assert_eq!(three_way(&Value::Null, &new, &live), new);
        let ports = |items: Value| json!({"apiVersion": "v1", "kind": "Pod", "args": items});
        assert_eq!(three_way(&Value::Null, &ports(json!(["x"])), &ports(json!(["y"]))), ports(json!(["x"])));
    }
}
