//! oc-mirror's `ImageSetConfiguration`, v1alpha2 and v2alpha1.

use super::draft::{Chart, Draft, Level};
use super::error::ConvertError;
use super::fields::{Fields, form};
use super::yaml::{Node, Value};
use super::zarf::of_url;
use crate::plain::Plain;

const KNOWN: &str = "mirror.openshift.io/v1alpha2 and v2alpha1";
const RELEASES: &str = "are OpenShift releases, resolved through Red Hat's update service: mirror them, and name the images under `images`";

pub(super) fn read(documents: &[Node], draft: &mut Draft) -> Result<(), ConvertError> {
    for document in documents {
        check_version(document)?;
        Fields::read(document, "", draft, |fields, draft| {
            fields.pass(&["apiVersion", "kind"]);
            fields.lost("metadata", draft, "names the other tool's object");
            fields.lost(
                "storageConfig",
                draft,
                "is where the other tool keeps what it sent: a site's receipt says that",
            );
            fields.lost("archiveSize", draft, "cuts the archive: `sealock send --volume-size` does");
            fields.inner("mirror", draft, mirror)
        })?;
    }
    Ok(())
}

fn check_version(document: &Node) -> Result<(), ConvertError> {
    let version = document.get("apiVersion");
    match version.and_then(Node::text) {
        Some("mirror.openshift.io/v1alpha2" | "mirror.openshift.io/v2alpha1") => Ok(()),
        found => Err(ConvertError::UnknownVersion {
            place: version.unwrap_or(document).place,
            kind: "ImageSetConfiguration",
            found: Plain::of(found.unwrap_or("nothing")),
            known: KNOWN,
        }),
    }
}

fn mirror(fields: &mut Fields<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    fields.inner("platform", draft, |fields, draft| {
        for architecture in fields.texts("architectures")? {
            if architecture.text == "multi" {
                draft.lost(&architecture, "means every platform: name those that the site has under `platforms`");
            } else {
                draft.platform(&architecture);
            }
        }
        for key in ["channels", "graph", "release", "kubeVirtContainer"] {
            fields.lost(key, draft, RELEASES);
        }
        Ok(())
    })?;
    for (node, at) in fields.list("operators")? {
        let catalog = node.get("catalog").and_then(Node::text).unwrap_or_default();
        let why = format!(
            "is a catalogue of operators ({}), resolved by the other tool: name the operators' images under `images`",
            Plain::of(catalog)
        );
        draft.find(Level::Lost, node.place, &at, &why);
    }
    let blocked = blocked(fields, draft)?;
    fields.each("additionalImages", draft, |fields, draft| {
        for key in ["targetRepo", "targetTag"] {
            fields.lost(key, draft, "renames the image: names stay what they are upstream");
        }
        match fields.text("name")? {
            Some(name) if blocked.iter().any(|blocked| blocked == name.text) => {
                draft.lost(&name, "is among the blocked images, so it is not carried");
            }
            Some(name) => draft.image(&name, None),
            None => draft.find(Level::Lost, fields.place, &fields.at, "names no image"),
        }
        Ok(())
    })?;
    fields.lost("samples", draft, "are OpenShift samples, resolved by the other tool");
    fields.inner("helm", draft, helm)
}

/// The images that are not to be carried. A text in one version, a mapping with `name` in the other.
fn blocked(fields: &mut Fields<'_>, draft: &mut Draft) -> Result<Vec<String>, ConvertError> {
    let mut blocked = Vec::new();
    for (node, at) in fields.list("blockedImages")? {
        let name = match &node.value {
            Value::Map(_) => node.get("name").and_then(Node::text).map(str::to_owned),
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        let name = name.ok_or_else(|| form(node, &at, "a reference, or a mapping with a name"))?;
        let why = "keeps an image out that a chart or catalogue names: nothing is blocked in a spec; name what to carry instead";
        draft.find(Level::Lost, node.place, &at, why);
        blocked.push(name);
    }
    Ok(blocked)
}

fn helm(fields: &mut Fields<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    for (node, at) in fields.list("local")? {
        draft.find(
            Level::Lost,
            node.place,
            &at,
            "is a chart of your own: push it to a registry, and name it from there",
        );
    }
    fields.each("repositories", draft, |fields, draft| {
        fields.pass(&["name"]);
        let url = fields.text("url")?;
        fields.each("charts", draft, |fields, draft| {
            let (place, at) = (fields.place, fields.at.clone());
            let mut chart = Chart { line: place.line, ..Chart::default() };
            chart.name = fields.text("name")?.map(|name| name.text.to_owned()).unwrap_or_default();
            chart.version = fields.text("version")?.map(|version| version.text.to_owned()).unwrap_or_default();
            let paths = "says where in a manifest images stand: name those that rendering does not show under `images` of the chart";
            fields.lost("imagePaths", draft, paths);
            fields.lost("path", draft, "is a chart of your own: push it to a registry, and name it from there");
            match &url {
                Some(url) if of_url(url, &mut chart, draft) => draft.chart(chart, place, &at),
                Some(_) => {}
                None => draft.find(Level::Lost, place, &at, "comes from a repository without URL"),
            }
            Ok(())
        })
    })
}
