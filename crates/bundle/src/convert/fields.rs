//! A mapping that is read field by field: whatever nobody asked for becomes a finding, so that nothing is dropped in silence.

use super::draft::{Draft, Level};
use super::error::ConvertError;
use super::yaml::{Member, Node, Value};
use crate::document::Place;
use crate::plain::Plain;

/// The fields of one mapping that nobody has asked for yet.
pub(super) struct Fields<'a> {
    /// Its path, like `components[0].charts[1]`.
    pub(super) at: String,
    pub(super) place: Place,
    members: Vec<&'a Member>,
}

/// A single value with its place and path.
#[derive(Clone, Debug)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) place: Place,
    pub(super) at: String,
}

impl<'a> Fields<'a> {
    /// Reads the mapping `node`, which stands at the path `at`, with `read`; then tells of every field left.
    pub(super) fn read<T>(
        node: &'a Node,
        at: impl Into<String>,
        draft: &mut Draft,
        read: impl FnOnce(&mut Self, &mut Draft) -> Result<T, ConvertError>,
    ) -> Result<T, ConvertError> {
        let at = at.into();
        let members = match &node.value {
            Value::Map(members) => members.iter().collect(),
            Value::Null => Vec::new(),
            _ => return Err(form(node, &at, "a mapping of keys to values")),
        };
        let mut fields = Self { at, place: node.place, members };
        let answer = read(&mut fields, draft)?;
        for member in std::mem::take(&mut fields.members) {
            let at = fields.path(&member.key);
            draft.find(Level::Lost, member.place, &at, "has no counterpart in a bundle spec");
        }
        Ok(answer)
    }

    /// Reads each mapping of the list `key` with `read`.
    pub(super) fn each(
        &mut self,
        key: &str,
        draft: &mut Draft,
        mut read: impl FnMut(&mut Fields<'a>, &mut Draft) -> Result<(), ConvertError>,
    ) -> Result<(), ConvertError> {
        for (node, at) in self.list(key)? {
            Self::read(node, at, draft, &mut read)?;
        }
        Ok(())
    }

    /// Reads the mapping `key`, where there is one.
    pub(super) fn inner(
        &mut self,
        key: &str,
        draft: &mut Draft,
        read: impl FnOnce(&mut Fields<'a>, &mut Draft) -> Result<(), ConvertError>,
    ) -> Result<(), ConvertError> {
        let at = self.path(key);
        self.take(key).map_or(Ok(()), |member| Self::read(&member.value, at, draft, read))
    }

    /// The elements of the list `key` with their paths; none where there is no list.
    pub(super) fn list(&mut self, key: &str) -> Result<Vec<(&'a Node, String)>, ConvertError> {
        let at = self.path(key);
        let Some(member) = self.take(key) else { return Ok(Vec::new()) };
        match &member.value.value {
            Value::List(list) => {
                Ok(list.iter().enumerate().map(|(index, node)| (node, format!("{at}[{index}]"))).collect())
            }
            Value::Null => Ok(Vec::new()),
            _ => Err(form(&member.value, &at, "a list")),
        }
    }

    /// The single values of the list `key`.
    pub(super) fn texts(&mut self, key: &str) -> Result<Vec<Text<'a>>, ConvertError> {
        self.list(key)?.into_iter().map(|(node, at)| single(node, at)).collect()
    }

    /// The single value `key`.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<Text<'a>>, ConvertError> {
        let at = self.path(key);
        let member = self.take(key).filter(|member| !matches!(member.value.value, Value::Null));
        member.map(|member| single(&member.value, at)).transpose().map(|text| text.filter(|text| !text.text.is_empty()))
    }

    /// The members of this mapping that are left, all taken.
    pub(super) fn rest(&mut self) -> Vec<&'a Member> {
        std::mem::take(&mut self.members)
    }

    /// Takes a field that says nothing which could be carried: its meaning is in the format itself.
    pub(super) fn pass(&mut self, keys: &[&str]) {
        for key in keys {
            self.take(key);
        }
    }

    /// Tells of the field `key`, where it is there, that it is not carried over, and why.
    pub(super) fn lost(&mut self, key: &str, draft: &mut Draft, why: &str) {
        self.told(key, draft, Level::Lost, why);
    }

    /// Tells of the field `key`, where it is there and says something.
    pub(super) fn told(&mut self, key: &str, draft: &mut Draft, level: Level, why: &str) {
        let at = self.path(key);
        if let Some(member) = self.take(key).filter(|member| says_something(&member.value)) {
            draft.find(level, member.place, &at, why);
        }
    }

    pub(super) fn path(&self, key: &str) -> String {
        let key = Plain::of(key);
        if self.at.is_empty() { key.to_string() } else { format!("{}.{key}", self.at) }
    }

    fn take(&mut self, key: &str) -> Option<&'a Member> {
        let at = self.members.iter().position(|member| member.key == key)?;
        Some(self.members.remove(at))
    }
}

fn says_something(node: &Node) -> bool {
    match &node.value {
        Value::Null => false,
        Value::Text(text) => !matches!(text.as_str(), "" | "false"),
        Value::List(list) => !list.is_empty(),
        Value::Map(members) => !members.is_empty(),
    }
}

/// `node` as a single value.
pub(super) fn single(node: &Node, at: String) -> Result<Text<'_>, ConvertError> {
    match &node.value {
        Value::Text(text) => Ok(Text { text, place: node.place, at }),
        _ => Err(form(node, &at, "a single value")),
    }
}

pub(super) fn form(node: &Node, at: &str, expected: &'static str) -> ConvertError {
    let at = if at.is_empty() { "the document" } else { at };
    ConvertError::Form { place: node.place, at: Plain::of(at), expected }
}
