//! imgpkg's `ImagesLock`: images by digest, with annotations.

use super::draft::{Draft, Level};
use super::error::ConvertError;
use super::fields::Fields;
use super::yaml::Node;
use crate::plain::Plain;

pub(super) fn read(documents: &[Node], draft: &mut Draft) -> Result<(), ConvertError> {
    for document in documents {
        let version = document.get("apiVersion");
        if version.and_then(Node::text) != Some("imgpkg.carvel.dev/v1alpha1") {
            return Err(ConvertError::UnknownVersion {
                place: version.unwrap_or(document).place,
                kind: "ImagesLock",
                found: Plain::of(version.and_then(Node::text).unwrap_or("nothing")),
                known: "imgpkg.carvel.dev/v1alpha1",
            });
        }
        Fields::read(document, "", draft, |fields, draft| {
            fields.pass(&["apiVersion", "kind"]);
            fields.each("images", draft, image)
        })?;
    }
    Ok(())
}

fn image(fields: &mut Fields<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    let name = fields.text("image")?;
    fields.inner("annotations", draft, |fields, draft| {
        for member in fields.rest() {
            let at = fields.path(&member.key);
            let why = match (member.key.as_str(), member.value.text()) {
                ("kbld.carvel.dev/id", Some(id)) => {
                    format!("says that the image was called {}: it travels under its digest alone", Plain::of(id))
                }
                _ => "is a note about the image".to_owned(),
            };
            draft.find(Level::Lost, member.place, &at, &why);
        }
        Ok(())
    })?;
    match name {
        Some(name) if !name.text.contains('@') => {
            draft.lost(&name, "has no digest, which every image of an ImagesLock has");
        }
        Some(name) => draft.image(&name, None),
        None => draft.find(Level::Lost, fields.place, &fields.at, "names no image"),
    }
    Ok(())
}
