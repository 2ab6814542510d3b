//! Values of charts: images that a switch would turn on.

use sealock_bundle::workload::FieldPath;
use serde_json::{Map, Value};

use super::compose::Defaults;
use super::walk::Walker;
use super::{Guess, shape};

/// A chart's values, and those of its subcharts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChartValues {
    /// The names under which the parent's values speak of it: its own, or aliases. Empty for the outermost chart.
    pub called: Vec<String>,
    /// `appVersion` of its `Chart.yaml`: the tag of images that have none.
    pub app_version: Option<String>,
    /// Its `values.yaml`.
    pub values: Value,
    /// Charts in its folder `charts`.
    pub subcharts: Vec<ChartValues>,
}

/// What looks like an image in the values of `chart`, as `overrides` leave them: each overrides those before it, as
/// `helm --values` does.
pub fn in_values(chart: &ChartValues, overrides: &[Value]) -> Vec<Guess> {
    let mut values = chart.values.clone();
    overrides.iter().for_each(|over| merge(&mut values, over));
    let mut found = Vec::new();
    collect(chart, &values, &FieldPath::default(), &mut found);
    found.sort();
    found.dedup();
    found
}

fn collect(chart: &ChartValues, values: &Value, path: &FieldPath, found: &mut Vec<Guess>) {
    let empty = Map::new();
    let map = values.as_object().unwrap_or(&empty);
    let mut own = map.clone();
    for subchart in &chart.subcharts {
        for name in &subchart.called {
            let mut inner = subchart.values.clone();
            if let Some(over) = own.remove(name) {
                merge(&mut inner, &over);
            }
            if let (Some(global), Some(inner)) = (map.get("global"), inner.as_object_mut()) {
                merge(inner.entry("global").or_insert(Value::Null), global);
            }
            collect(subchart, &inner, &path.field(name), found);
        }
    }
    let defaults = Defaults { tag: chart.app_version.clone(), registry: global_registry(map) };
    let mut walker = Walker::with_defaults(defaults);
    walker.values(&Value::Object(own), path.clone());
    found.extend(walker.into_found());
}

/// What many charts put in front of every repository.
fn global_registry(values: &Map<String, Value>) -> Option<String> {
    let global = values.get("global")?;
    let registry = global.get("imageRegistry").or_else(|| global.pointer("/image/registry"))?.as_str()?;
    shape::named(&format!("{registry}/x")).map(|_| registry.to_owned())
}

/// Helm's way: mappings are merged, anything else is replaced, and null removes.
fn merge(values: &mut Value, over: &Value) {
    match (values, over) {
        (Value::Object(values), Value::Object(over)) => {
            for (key, over) in over {
                if over.is_null() {
                    values.remove(key);
                } else {
                    merge(values.entry(key.clone()).or_insert(Value::Null), over);
                }
            }
        }
        (values, over) => *values = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn values_are_looked_at_as_helm_would_merge_them() {
        let subchart = ChartValues {
            called: vec!["cache".to_owned()],
            app_version: Some("7.4".to_owned()),
            values: yaml(
                "{image: {repository: valkey/valkey, tag: ''}, exporter: {image: {repository: a/exporter, tag: v1}}}",
            ),
            subcharts: Vec::new(),
        };
        let chart = ChartValues {
            app_version: Some("2.0".to_owned()),
            values: yaml(
                "{image: {repository: quay.io/team/web}, cache: {enabled: false}, extra: {image: {repository: x/y, tag: 1}}}",
            ),
            subcharts: vec![subchart],
            ..ChartValues::default()
        };
        let overrides =
            [yaml("{cache: {exporter: {image: {tag: v2}}}, extra: null, global: {imageRegistry: mirror.example}}")];
        let found = in_values(&chart, &overrides);
        let found: Vec<String> = found.iter().map(|guess| format!("{} {}", guess.path, guess.image)).collect();
        let wanted = [
            "cache.exporter.image.repository mirror.example/a/exporter:v2",
            "cache.image.repository mirror.example/valkey/valkey:7.4",
            "image.repository quay.io/team/web:2.0",
        ];
        assert_eq!(found, wanted);
    }
}
