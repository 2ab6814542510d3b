//! The YAML of `skopeo sync --src yaml`: registries, their images, and which tags of them.

use super::draft::{Draft, Level};
use super::error::ConvertError;
use super::fields::{Fields, Text, form, single};
use super::yaml::{Node, Value};
use crate::plain::Plain;

const FIELDS: [&str; 6] =
    ["images", "images-by-tag-regex", "images-by-semver", "credentials", "tls-verify", "cert-dir"];

/// Whether every value of the mapping is a registry as `skopeo sync` writes it.
pub(super) fn is_sync(node: &Node) -> bool {
    let Value::Map(members) = &node.value else { return false };
    let is_registry = |node: &Node| match &node.value {
        Value::Map(fields) => !fields.is_empty() && fields.iter().all(|field| FIELDS.contains(&field.key.as_str())),
        _ => false,
    };
    !members.is_empty() && members.iter().all(|member| is_registry(&member.value))
}

pub(super) fn read(documents: &[Node], draft: &mut Draft) -> Result<(), ConvertError> {
    for document in documents {
        Fields::read(document, "", draft, |fields, draft| {
            for member in fields.rest() {
                let at = fields.path(&member.key);
                Fields::read(&member.value, at, draft, |fields, draft| registry(&member.key, fields, draft))?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn registry(host: &str, fields: &mut Fields<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    fields.told(
        "credentials",
        draft,
        Level::Credential,
        "are left out: they go into docker's configuration or the settings",
    );
    fields.lost("cert-dir", draft, "holds certificates: a CA goes into the settings as `caFiles`");
    if let Some(verify) = fields.text("tls-verify")?.filter(|text| text.text != "true") {
        draft.lost(&verify, "switches the check of TLS off, which is always on: name the CA in the settings");
    }
    fields.inner("images", draft, |fields, draft| {
        for member in fields.rest() {
            let at = fields.path(&member.key);
            tags(&format!("{host}/{}", member.key), &member.value, &at, draft)?;
        }
        Ok(())
    })?;
    for (key, how) in [("images-by-tag-regex", "a regular expression"), ("images-by-semver", "a range of versions")] {
        fields.inner(key, draft, |fields, draft| {
            for member in fields.rest() {
                let at = fields.path(&member.key);
                let why = format!("chooses tags by {how}: a lock must not depend on what an upstream adds; name the tags under `images`");
                draft.find(Level::Lost, member.place, &at, &why);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The tags and digests of one repository.
fn tags(repository: &str, node: &Node, at: &str, draft: &mut Draft) -> Result<(), ConvertError> {
    let list = match &node.value {
        Value::List(list) => list.as_slice(),
        Value::Null => &[],
        _ => return Err(form(node, at, "a list of tags and digests")),
    };
    if list.is_empty() {
        let why =
            format!("names no tag of {}, which means all of them: name those that are needed", Plain::of(repository));
        draft.find(Level::Lost, node.place, at, &why);
    }
    for (index, tag) in list.iter().enumerate() {
        let tag = single(tag, format!("{at}[{index}]"))?;
        let separator = if tag.text.starts_with("sha256:") { '@' } else { ':' };
        let full = format!("{repository}{separator}{}", tag.text);
        draft.image(&Text { text: &full, ..tag.clone() }, None);
    }
    Ok(())
}
