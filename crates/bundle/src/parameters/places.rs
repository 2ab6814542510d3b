//! Where in a spec a parameter may stand, and where a value of it stands.
//!
//! A parameter chooses what is carried, never who may import it, who must have signed it or how long it is good: those
//! are read in the spec itself.

use super::fill::Piece;
use super::holes::{self, Step};
use super::{ParameterValue, Parameters};
use crate::document::Place;

/// What may stand in one place of the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// The tag of a reference: registry and repository decide which rule holds, so they are not for a parameter.
    Tag,
    /// A version or a name: letters, digits and a few marks.
    Word,
    /// Any value.
    Value,
}

/// Whether placeholders may stand at `steps` of a spec, and these values in them; in words why not.
pub(super) fn check(steps: &[Step], pieces: &[Piece], parameters: &Parameters) -> Result<(), String> {
    let Some(slot) = slot(steps) else {
        return Err(
            "a parameter may stand in the tag of an image, in the version, namespace and values of a chart, in \
                    versions of Kubernetes and in manifests, and not here"
                .to_owned(),
        );
    };
    if slot == Slot::Tag && !begins_in_tag(pieces) {
        return Err("of a reference only the tag may be a parameter: registry and repository decide which rule holds"
            .to_owned());
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') || (c == '+' && slot == Slot::Word);
    let used = pieces.iter().filter_map(|piece| match piece {
        Piece::Parameter(name) => Some((name, parameters.get(name)?)),
        Piece::Text(_) => None,
    });
    for (name, value) in used.filter(|_| slot != Slot::Value) {
        let text = value.to_string();
        if text.is_empty() || !text.chars().all(legal) {
            return Err(format!(
                "the value {text:?} of the parameter {name:?} cannot stand here: letters, digits, '.', '_' and '-' can"
            ));
        }
    }
    Ok(())
}

fn slot(steps: &[Step]) -> Option<Slot> {
    use Step::{Item, Key};
    let rest = match steps {
        [Key(spec), Key(components), Item(_), rest @ ..] if spec == "spec" && components == "components" => rest,
        [Key(spec), rest @ ..] if spec == "spec" => rest,
        _ => return None,
    };
    let is_whole = rest.len() + 1 == steps.len();
    match rest {
        [Key(list), Item(_), Key(field)] if list == "images" && field == "ref" => Some(Slot::Tag),
        [Key(list), Item(_), Key(field), Item(_)] if list == "charts" && field == "images" => Some(Slot::Tag),
        [Key(list), Item(_), Key(field)] if list == "charts" && (field == "version" || field == "namespace") => {
            Some(Slot::Word)
        }
        [Key(list), Item(_), Key(field), Item(_), _, ..] if list == "charts" && field == "values" => Some(Slot::Value),
        [Key(part), Key(field), _] if is_whole && part == "kubernetes" => {
            (field == "versions" || field == "components").then_some(Slot::Word)
        }
        [Key(part), Key(list), Item(_), Key(field)]
            if part == "kubernetes" && list == "addOns" && field == "version" =>
        {
            Some(Slot::Word)
        }
        _ => None,
    }
}

/// Whether all that stands before the first placeholder is registry, repository and the colon of the tag.
fn begins_in_tag(pieces: &[Piece]) -> bool {
    let Some(Piece::Text(before)) = pieces.first() else { return false };
    let last = before.rsplit('/').next().unwrap_or_default();
    before.contains('/') && last.contains(':') && !before.contains('@')
}

/// Where the value at `steps` stands in `text`, or its key where it is a list or a mapping.
pub(super) fn find(text: &str, steps: &[Step]) -> Option<Place> {
    let mut found = None;
    // The value comes after its key, and is the better place.
    let searched = holes::scalars(text, &mut |met| {
        if met.path == steps {
            found = Some(met.place);
        }
        Ok(())
    });
    searched.ok().and(found)
}

impl ParameterValue {
    /// Whether it stays what it is when it stands alone, without quotes.
    pub(super) fn is_plain(&self) -> bool {
        !matches!(self, Self::String(_))
    }
}
