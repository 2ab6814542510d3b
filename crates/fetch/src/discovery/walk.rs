//! Walks through an object, and judges each text by where it stands.

use std::collections::BTreeSet;

use sealock_bundle::Reference;
use sealock_bundle::workload::{self, FieldPath};
use serde_json::{Map, Value};

use super::compose::{self, Composed, Defaults};
use super::text::{self, Text};
use super::{Guess, Shape, shape, words};

/// Text within text within text is the deepest that is looked at.
const DEPTH: u8 = 3;
/// Guesses in one object at most; more are no images.
const MOST: usize = 5_000;

/// Fields in which no image stands, whatever it looks like.
const PASSED_OVER: &[&str] = &[
    "apiVersion",
    "kind",
    "imagePullPolicy",
    "pullPolicy",
    "imagePullSecrets",
    "pullSecrets",
    "labels",
    "matchLabels",
    "matchExpressions",
    "nodeSelector",
    "tolerations",
    "description",
    "managedFields",
    "icon",
    "iconUrl",
    "logo",
    "podSelector",
    "serviceAccountName",
];
/// Kinds that name no image anywhere.
const KINDS: &[&str] = &[
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Namespace",
    "NetworkPolicy",
    "Secret",
    "Service",
    "ServiceAccount",
    "StorageClass",
    "ImageRepository",
    "PriorityClass",
];
/// Lists of words that a program is started with.
const ARGUMENTS: [&str; 5] = ["args", "command", "cmd", "entrypoint", "extraArgs"];
/// Fields beside `image` that make a mapping a container, so that any name will do.
const OF_A_CONTAINER: [&str; 7] = ["command", "args", "env", "imagePullPolicy", "script", "volumeMounts", "ports"];
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Where the walk is.
#[derive(Clone)]
struct Spot<'a> {
    path: FieldPath,
    /// The name that says what stands here.
    name: &'a str,
    shape: Shape,
    /// How many texts this one stands in.
    depth: u8,
    /// Whether this is a default in the schema of a custom resource.
    schema: bool,
}

impl<'a> Spot<'a> {
    fn child(&self, key: &str, name: &'a str) -> Self {
        Self { path: self.path.field(key), name, ..self.clone() }
    }

    fn item(&self, number: usize) -> Self {
        Self { path: self.path.item(number), ..self.clone() }
    }

    /// The shape of what is found here by `usual` means: within texts and values that is what counts.
    fn shape(&self, usual: Shape) -> Shape {
        if matches!(self.shape, Shape::Text | Shape::Values) { self.shape } else { usual }
    }
}

pub(super) struct Walker {
    certain: BTreeSet<FieldPath>,
    defaults: Defaults,
    found: Vec<Guess>,
}

impl Walker {
    /// Passes over the fields in `certain`.
    pub(super) fn new(certain: BTreeSet<FieldPath>) -> Self {
        Self { certain, defaults: Defaults::default(), found: Vec::new() }
    }

    /// Completes images with `defaults`.
    pub(super) fn with_defaults(defaults: Defaults) -> Self {
        Self { defaults, ..Self::new(BTreeSet::new()) }
    }

    pub(super) fn into_found(mut self) -> Vec<Guess> {
        self.found.sort();
        self.found.dedup();
        self.found
    }

    pub(super) fn object(&mut self, object: &Value) {
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
        if !KINDS.contains(&kind) {
            let schema = kind == "CustomResourceDefinition";
            let path = FieldPath::default();
            self.value(object, &Spot { path, name: "", shape: Shape::Anywhere, depth: 0, schema });
        }
    }

    pub(super) fn values(&mut self, values: &Value, path: FieldPath) {
        self.value(values, &Spot { path, name: "", shape: Shape::Values, depth: 0, schema: false });
    }

    fn value(&mut self, value: &Value, spot: &Spot<'_>) {
        if self.certain.contains(&spot.path) || self.found.len() >= MOST {
            return;
        }
        match value {
            Value::String(text) => self.text(text, spot),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(number, item)| self.value(item, &spot.item(number)));
            }
            Value::Object(map) => self.fields(map, spot),
            _ => {}
        }
    }

    fn fields(&mut self, map: &Map<String, Value>, spot: &Spot<'_>) {
        let mut used = self.composed(map, spot);
        if !used.contains("image") {
            used.extend(self.beside_a_container(map, spot));
        }
        let whole = workload::is_object(map) || map.contains_key("spec");
        let pair = map.get("name").and_then(Value::as_str);
        for (key, value) in map {
            let path = spot.path.field(key);
            match (key.as_str(), value) {
                (key, _) if used.contains(key) || PASSED_OVER.contains(&key) || self.certain.contains(&path) => {}
                ("status", _) if whole => {}
                ("metadata", metadata) if whole => self.annotations(metadata, &spot.child("metadata", "metadata")),
                (key, Value::Array(items)) if ARGUMENTS.contains(&key) => {
                    self.arguments(items, &spot.child(key, key));
                }
                ("value" | "default" | "defaultValue", value) if pair.is_some() => {
                    let shape = spot.shape(Shape::Variable);
                    self.value(value, &Spot { shape, ..spot.child(key, pair.unwrap_or_default()) });
                }
                // The schema of a field called `image` has its default.
                ("default", value) if spot.schema => {
                    self.value(value, &Spot { schema: false, ..spot.child(key, spot.name) });
                }
                (key, Value::String(_)) if spot.schema && key != "default" => {}
                (key, value) => self.value(value, &spot.child(key, self.meaning(key, spot))),
            }
        }
    }

    /// Below `images:` the keys are names, and what they hold are images.
    fn meaning<'a>(&self, key: &'a str, spot: &Spot<'a>) -> &'a str {
        let above = spot.name == "images" || spot.name.ends_with("Images");
        if above && !words::name_image(key) && !matches!(key, "name" | "tag" | "digest" | "version") {
            spot.name
        } else {
            key
        }
    }

    /// Guesses images in parts, and answers the fields that they are made of.
    fn composed(&mut self, map: &Map<String, Value>, spot: &Spot<'_>) -> BTreeSet<String> {
        let mut composed: Vec<Composed> = compose::whole(map, spot.name, &self.defaults).into_iter().collect();
        composed.extend(compose::pairs(map));
        let mut used = BTreeSet::new();
        for Composed { image, key, used: keys } in composed {
            let path = spot.path.field(&key);
            if !self.certain.contains(&path) && used.insert(key) {
                used.extend(keys);
                self.guess(image, path, spot.shape(Shape::Parts));
            }
        }
        used
    }

    /// `{name: build, image: bash, script: …}`: beside such fields, `image` is an image however short it is.
    fn beside_a_container(&mut self, map: &Map<String, Value>, spot: &Spot<'_>) -> Option<String> {
        let path = spot.path.field("image");
        let is_container = OF_A_CONTAINER.iter().any(|key| map.contains_key(*key));
        if !is_container || spot.schema || self.certain.contains(&path) {
            return None;
        }
        let image = shape::in_container(map.get("image")?.as_str()?)?;
        self.guess(image, path, spot.shape(Shape::Field));
        Some("image".to_owned())
    }

    fn annotations(&mut self, metadata: &Value, spot: &Spot<'_>) {
        let Some(annotations) = metadata.get("annotations").and_then(Value::as_object) else { return };
        let spot = spot.child("annotations", "annotations");
        let used = self.composed(annotations, &spot);
        let speaks = |key: &str| PASSED_OVER.contains(&key.rsplit('/').next().unwrap_or(key));
        for (key, value) in annotations.iter().filter(|(key, _)| *key != LAST_APPLIED && !speaks(key)) {
            if !used.contains(key) {
                self.value(value, &spot.child(key, key));
            }
        }
    }

    /// `--x-image=REF`, `--x-image REF`, and scripts.
    fn arguments(&mut self, items: &[Value], spot: &Spot<'_>) {
        let shape = spot.shape(Shape::Argument);
        let mut flag = "";
        for (number, item) in items.iter().enumerate() {
            let Some(argument) = item.as_str() else {
                self.value(item, &spot.item(number));
                continue;
            };
            let spot = Spot { shape, ..spot.item(number) };
            match argument.split_once('=') {
                Some((name, value)) if is_flag(name) => self.text(value, &Spot { name, ..spot }),
                _ if is_flag(argument) && argument.starts_with('-') => {
                    flag = argument;
                    continue;
                }
                _ => self.text(argument, &Spot { name: flag, ..spot }),
            }
            flag = "";
        }
    }

    fn text(&mut self, text: &str, spot: &Spot<'_>) {
        if text::is_compound(text) {
            return self.compound(text, spot);
        }
        if let Some((name, value)) = text.split_once('=').filter(|(name, _)| is_flag(name)) {
            return self.text(value, &Spot { name, ..spot.clone() });
        }
        if words::name_image(spot.name) {
            let usual = if spot.shape == Shape::Anywhere { Shape::Field } else { spot.shape };
            if let Some(image) = shape::named(text) {
                self.guess(image, spot.path.clone(), spot.shape(usual));
            }
        } else if let Some(image) = shape::plain(text) {
            self.guess(image, spot.path.clone(), spot.shape);
        }
    }

    fn compound(&mut self, text: &str, spot: &Spot<'_>) {
        let spot = Spot { shape: if spot.shape == Shape::Anywhere { Shape::Text } else { spot.shape }, ..spot.clone() };
        if words::name_image(spot.name) && !text.contains('\n') {
            // A list of images in one line.
            let items = text.split([',', ';', ' ']).filter(|item| !item.is_empty());
            let images: Vec<Option<Reference>> = items.map(shape::named).collect();
            if images.iter().all(Option::is_some) {
                images.into_iter().flatten().for_each(|image| self.guess(image, spot.path.clone(), spot.shape));
                return;
            }
        }
        if spot.depth >= DEPTH {
            return;
        }
        match text::read(text) {
            Text::Documents(documents) => documents.iter().for_each(|document| self.document(document, &spot)),
            Text::Lines => {
                text::in_lines(text).into_iter().for_each(|image| self.guess(image, spot.path.clone(), spot.shape));
            }
        }
    }

    /// A document within a text: even what its API says for certain is a guess here.
    fn document(&mut self, document: &Value, spot: &Spot<'_>) {
        let shape = if spot.shape == Shape::Values { Shape::Values } else { Shape::Text };
        for named in workload::images(document) {
            if let Some(image) = shape::in_container(named.text) {
                self.guess(image, spot.path.within(&named.path), shape);
            }
        }
        let inner = Walker::new(workload::images(document).into_iter().map(|named| named.path).collect());
        let mut inner = Self { defaults: self.defaults.clone(), ..inner };
        let path = FieldPath::default();
        inner.value(document, &Spot { path, name: spot.name, shape, depth: spot.depth + 1, schema: false });
        let inner = inner.found.into_iter();
        self.found.extend(inner.map(|guess| Guess { path: spot.path.within(&guess.path), ..guess }));
    }

    fn guess(&mut self, image: Reference, path: FieldPath, shape: Shape) {
        self.found.push(Guess { image, path, shape });
    }
}

fn is_flag(text: &str) -> bool {
    let name = text.trim_start_matches('-');
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
