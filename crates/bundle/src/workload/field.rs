//! Where something stands in an object.

use std::fmt;

/// The path of a field in an object, like `spec.containers[0].image` or `data["a.yaml"].image`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(String);

impl FieldPath {
    /// The field `name` of the mapping at this path.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let text = if name.is_empty() || !name.chars().all(plain) {
            format!("{}[{name:?}]", self.0)
        } else if self.0.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.0)
        };
        Self(text)
    }

    /// Item `number`, from 0, of the list at this path.
    #[must_use]
    pub fn item(&self, number: usize) -> Self {
        Self(format!("{}[{number}]", self.0))
    }

    /// `inner`, a path in a document that stands at this path as text.
    #[must_use]
    pub fn within(&self, inner: &Self) -> Self {
        if inner.0.is_empty() { self.clone() } else { Self(format!("{} › {}", self.0, inner.0)) }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_words_stand_in_quotes() {
        let path = FieldPath::default().field("data").field("a.yaml").item(2).field("image");
        assert_eq!(path.to_string(), "data[\"a.yaml\"][2].image");
    }
}
