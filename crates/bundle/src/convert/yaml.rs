//! YAML of others as a tree in which every value knows its place.
//!
//! Scalars stay the text that was written: `version: 1.20` is no number. Aliases are followed, on the same budget as
//! everything else, so that an honest anchor works and a bomb does not.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use super::error::ConvertError;
use crate::document::Place;
use crate::plain::Plain;

/// Bytes of one file at most.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// Lists and mappings within one another at most.
const MAX_DEPTH: usize = 48;
/// Values of one file at most, each alias counted with all that it stands for.
const MAX_NODES: usize = 200_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
    /// Values in it, itself included.
    weight: usize,
    /// Lists and mappings in it that stand within one another.
    height: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

impl Node {
    /// The value of `key`, where this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(members) = &self.value else { return None };
        members.iter().find(|member| member.key == key).map(|member| &member.value)
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }
}

/// The documents of `text`; empty ones are left out.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, ConvertError> {
    let start = Place { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        return Err(ConvertError::Limit { place: start, what: "bytes", limit: MAX_BYTES });
    }
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        builder.take(event, place(&span.start))?;
    }
    builder.documents.retain(|node| !matches!(node.value, Value::Null));
    Ok(builder.documents)
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line().max(1) as u64, column: marker.col() as u64 + 1 }
}

fn syntax(error: &ScanError) -> ConvertError {
    let place = place(error.marker());
    // The scanner runs ahead of the events, and has a limit of its own.
    if error.info().contains("recursion limit") {
        return ConvertError::Limit { place, what: "levels", limit: MAX_DEPTH };
    }
    ConvertError::Syntax { place, problem: Plain::of(error.info()) }
}

/// Builds the tree from the parser's events, without recursion.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

struct Open {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { members: Vec<Member>, keys: BTreeSet<String>, key: Option<(String, Place)> },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), ConvertError> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if is_null { Value::Null } else { Value::Text(text.into_owned()) };
                self.finish(Node { place, value, weight: 1, height: 0 }, anchor)
            }
            Event::Alias(anchor) => {
                let size = self.anchors.get(&anchor).map(|node| (node.weight, node.height));
                let Some((weight, height)) = size else {
                    let problem = Plain::of("an alias of a value that is not finished");
                    return Err(ConvertError::Syntax { place, problem });
                };
                // Before it is copied: that is what a bomb is made of.
                self.count(weight, place)?;
                self.check_depth(self.open.len() + height, place)?;
                let copy = self.anchors.get(&anchor).cloned().unwrap_or_else(|| Node::null(place));
                let node = Node { place, ..copy };
                self.attach(node)
            }
            Event::SequenceStart(_, anchor, _) => self.open(place, anchor, Content::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                self.open(place, anchor, Content::Map { members: Vec::new(), keys: BTreeSet::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let anchor = open.anchor;
                self.finish(open.close(), anchor)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), ConvertError> {
        if matches!(self.open.last(), Some(Open { content: Content::Map { key: None, .. }, .. })) {
            return Err(not_a_key(place));
        }
        self.check_depth(self.open.len() + 1, place)?;
        self.open.push(Open { place, anchor, content });
        Ok(())
    }

    fn check_depth(&self, depth: usize, place: Place) -> Result<(), ConvertError> {
        if depth > MAX_DEPTH {
            return Err(ConvertError::Limit { place, what: "levels", limit: MAX_DEPTH });
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), ConvertError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(ConvertError::Limit { place, what: "values", limit: MAX_NODES });
        }
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), ConvertError> {
        self.count(1, node.place)?;
        if anchor != 0 {
            // A copy of its own, so it weighs.
            self.count(node.weight, node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node)
    }

    fn attach(&mut self, node: Node) -> Result<(), ConvertError> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.documents.push(node),
            Some(Content::List(list)) => list.push(node),
            Some(Content::Map { members, keys, key }) => match key.take() {
                Some((key, place)) => members.push(Member { key, place, value: node }),
                None => {
                    let text = match node.value {
                        Value::Text(text) => text,
                        Value::Null => "null".to_owned(),
                        Value::List(_) | Value::Map(_) => return Err(not_a_key(node.place)),
                    };
                    if !keys.insert(text.clone()) {
                        return Err(ConvertError::DuplicateKey { place: node.place, key: Plain::of(text) });
                    }
                    *key = Some((text, node.place));
                }
            },
        }
        Ok(())
    }
}

fn not_a_key(place: Place) -> ConvertError {
    ConvertError::Syntax { place, problem: Plain::of("a key has to be a single value") }
}

impl Node {
    fn null(place: Place) -> Self {
        Self { place, value: Value::Null, weight: 1, height: 0 }
    }
}

impl Open {
    fn close(self) -> Node {
        let (value, weight, height) = match self.content {
            Content::List(list) => {
                let weight = list.iter().map(|node| node.weight).sum::<usize>();
                let height = list.iter().map(|node| node.height).max();
                (Value::List(list), weight, height)
            }
            Content::Map { members, .. } => {
                let weight = members.iter().map(|member| member.value.weight + 1).sum::<usize>();
                let height = members.iter().map(|member| member.value.height).max();
                (Value::Map(members), weight, height)
            }
        };
        Node { place: self.place, value, weight: weight + 1, height: height.unwrap_or(0) + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_refused_where_it_stands_again() {
        let error = documents("a: 1\nb: {a: 2}\na: 3\n").unwrap_err();
        assert!(matches!(error, ConvertError::DuplicateKey { place: Place { line: 3, column: 1 }, .. }), "{error}");
    }

    #[test]
    fn scalars_stay_what_was_written_and_know_their_place() {
        let nodes = documents("a: 1.20\nb:\n  - no\n---\nc: ~\n").unwrap();
        assert_eq!(nodes[0].get("a").and_then(Node::text), Some("1.20"));
        assert_eq!(nodes[0].get("a").unwrap().place, Place { line: 1, column: 4 });
        assert!(matches!(nodes[1].get("c").unwrap().value, Value::Null));
    }

    #[test]
    fn an_honest_anchor_is_followed() {
        let nodes = documents("a: &x [1, 2]\nb: *x\n").unwrap();
        assert!(matches!(&nodes[0].get("b").unwrap().value, Value::List(list) if list.len() == 2));
    }

    #[test]
    fn hostile_yaml_is_refused_with_its_place() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        let deep = "[".repeat(10_000);
        let ladder: String = (1..60).map(|i| format!("b{i}: &b{i} [*b{}]\n", i - 1)).collect();
        for (text, problem) in [
            (bomb, "5:9: more than 200000 values"),
            (deep, "more than 48 levels"),
            (format!("b0: &b0 []\n{ladder}"), "more than 48 levels"),
            ("a: 1\nb: 2\na: 3\n".to_owned(), "3:1: the key a stands twice"),
            ("a: *a\n".to_owned(), "1:4: this is no YAML"),
            ("a: &a [*a]\n".to_owned(), "1:8: this is no YAML"),
            ("? [a]\n: b\n".to_owned(), "1:3: this is no YAML: a key has to be a single value"),
            ("x".repeat(MAX_BYTES + 1), "1:1: more than 4194304 bytes"),
            ("a: [\n".to_owned(), "this is no YAML"),
        ] {
            let error = documents(&text).unwrap_err();
            assert!(error.to_string().contains(problem), "{error} / {problem}");
            assert!(error.code().is_some());
        }
    }
}
