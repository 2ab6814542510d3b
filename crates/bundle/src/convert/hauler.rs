//! Hauler manifests: `Images`, `Charts` and `Files` of `content.hauler.cattle.io`, one or more documents.

use super::draft::{Chart, Draft, Level};
use super::error::ConvertError;
use super::fields::{Fields, Text};
use super::yaml::Node;
use super::zarf::of_url;
use crate::plain::Plain;

const KNOWN: &str = "content.hauler.cattle.io/v1 and v1alpha1";
const KEYLESS: &str = "demands a keyless signature: say so in this image's `verify`, with the trusted root pinned";

pub(super) fn read(documents: &[Node], draft: &mut Draft) -> Result<(), ConvertError> {
    for document in documents {
        let kind = document.get("kind").and_then(Node::text).unwrap_or_default().to_owned();
        check_version(document)?;
        Fields::read(document, "", draft, |fields, draft| {
            fields.pass(&["apiVersion", "kind"]);
            let defaults = metadata(fields, draft)?;
            match kind.as_str() {
                "Images" => fields.inner("spec", draft, |spec, draft| {
                    spec.each("images", draft, |image_fields, draft| image(image_fields, &defaults, draft))
                }),
                "Charts" => fields.inner("spec", draft, |spec, draft| spec.each("charts", draft, chart)),
                "Files" => fields.inner("spec", draft, |spec, draft| spec.each("files", draft, file)),
                _ => {
                    let why = format!(
                        "of kind {} expands to other content when it is synchronised: name that content",
                        Plain::of(&kind)
                    );
                    fields.lost("spec", draft, &why);
                    Ok(())
                }
            }
        })?;
    }
    Ok(())
}

fn check_version(document: &Node) -> Result<(), ConvertError> {
    let version = document.get("apiVersion");
    match version.and_then(Node::text) {
        Some(
            "content.hauler.cattle.io/v1"
            | "content.hauler.cattle.io/v1alpha1"
            | "collection.hauler.cattle.io/v1"
            | "collection.hauler.cattle.io/v1alpha1",
        ) => Ok(()),
        found => Err(ConvertError::UnknownVersion {
            place: version.unwrap_or(document).place,
            kind: "the manifest",
            found: Plain::of(found.unwrap_or("nothing")),
            known: KNOWN,
        }),
    }
}

/// What the annotations of a document say for all its images.
#[derive(Default)]
struct Defaults<'a> {
    key: Option<Text<'a>>,
    registry: Option<Text<'a>>,
}

fn metadata<'a>(fields: &mut Fields<'a>, draft: &mut Draft) -> Result<Defaults<'a>, ConvertError> {
    let mut defaults = Defaults::default();
    fields.inner("metadata", draft, |fields, draft| {
        if let Some(name) = fields.text("name")? {
            draft.name.get_or_insert_with(|| name.text.to_owned());
        }
        fields.lost("namespace", draft, "means nothing here");
        fields.lost("labels", draft, "mean nothing here");
        fields.inner("annotations", draft, |fields, draft| {
            defaults.key = fields.text("hauler.dev/key")?;
            defaults.registry = fields.text("hauler.dev/registry")?;
            if let Some(platform) = fields.text("hauler.dev/platform")? {
                draft.platform(&platform);
            }
            for member in fields.rest() {
                let at = fields.path(&member.key);
                let keyless = member.key.starts_with("hauler.dev/certificate-");
                let (level, why) = if keyless {
                    (Level::Decide, KEYLESS)
                } else {
                    (Level::Lost, "has no counterpart in a bundle spec")
                };
                draft.find(level, member.place, &at, why);
            }
            Ok(())
        })
    })?;
    Ok(defaults)
}

fn image(fields: &mut Fields<'_>, defaults: &Defaults<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    let name = fields.text("name")?;
    let key = fields.text("key")?.or_else(|| defaults.key.clone());
    if let Some(platform) = fields.text("platform")? {
        draft.platform(&platform);
        let why = "is for this image alone: the platforms of a bundle are for all its images";
        draft.find(Level::Changed, platform.place, &platform.at, why);
    }
    for field in [
        "certificate-identity",
        "certificate-identity-regexp",
        "certificate-oidc-issuer",
        "certificate-oidc-issuer-regexp",
        "certificate-github-workflow-repository",
    ] {
        fields.told(field, draft, Level::Decide, KEYLESS);
    }
    fields.told(
        "use-tlog-verify",
        draft,
        Level::Decide,
        "demands an entry in a transparency log: say so in this image's `verify`",
    );
    fields.lost(
        "rewrite",
        draft,
        "renames the image: names stay what they are upstream, and nodes are told where these live",
    );
    fields.lost("exclude-extras", draft, "leaves out signatures: they travel with the image");
    let key = key.as_ref().and_then(|key| draft.key(key));
    match (&name, &defaults.registry) {
        (Some(name), Some(registry)) if !has_registry(name.text) => {
            let full = format!("{}/{}", registry.text.trim_end_matches('/'), name.text);
            draft.image(&Text { text: &full, ..name.clone() }, key);
        }
        (Some(name), _) => draft.image(name, key),
        (None, _) => draft.find(Level::Lost, fields.place, &fields.at, "names no image"),
    }
    Ok(())
}

fn has_registry(name: &str) -> bool {
    name.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost")
}

fn chart(fields: &mut Fields<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    let (place, at) = (fields.place, fields.at.clone());
    let mut chart = Chart { line: place.line, ..Chart::default() };
    let name = fields.text("name")?;
    let version = fields.text("version")?;
    let url = fields.text("repoURL")?;
    for values in fields.texts("valuesFiles")? {
        chart.values.extend(draft.path(&values, "the values file"));
    }
    if let Some(platform) = fields.text("platform")? {
        draft.platform(&platform);
    }
    fields.pass(&["add-images", "add-dependencies"]);
    fields.lost("rewrite", draft, "renames the chart: names stay what they are upstream");
    fields.lost("exclude-extras", draft, "leaves out signatures: they travel with the chart");
    for key in ["verify", "keyring"] {
        fields.told(
            key,
            draft,
            Level::Decide,
            "demands a provenance file by a GPG key, which a spec does not ask for yet",
        );
    }
    for key in ["usernameEnv", "passwordEnv", "username", "password", "passCredentialsAll", "keyFile", "certFile"] {
        fields.told(
            key,
            draft,
            Level::Credential,
            "is for logging in: credentials go into docker's configuration or the settings",
        );
    }
    for key in ["caFile", "insecureSkipTLSVerify", "plainHTTP"] {
        fields.lost(key, draft, "is how the source is reached: that goes into the settings, and TLS is always checked");
    }
    for text in [&name, &version].into_iter().flatten() {
        if draft.is_template(text) {
            return Ok(());
        }
    }
    chart.name = name.map(|name| name.text.to_owned()).unwrap_or_default();
    chart.version = version.map(|version| version.text.to_owned()).unwrap_or_default();
    let Some(url) = url else {
        draft.find(
            Level::Lost,
            place,
            &at,
            "names no `repoURL`: a chart on this machine has to be pushed to a registry first",
        );
        return Ok(());
    };
    if of_url(&url, &mut chart, draft) {
        // Hauler names the folder in the registry, and the chart beside it.
        if let Some(folder) = chart.oci.as_mut() {
            folder.push('/');
            folder.push_str(&chart.name);
        }
        draft.chart(chart, place, &at);
    }
    Ok(())
}

fn file(fields: &mut Fields<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    fields.told("name", draft, Level::Lost, "renames the file: it travels under host and path of its URL");
    match fields.text("path")? {
        Some(path) if path.text.contains("://") => draft.file(&path, None),
        Some(path) => {
            draft
                .lost(&path, "is a file of your own: `files` takes what can be downloaded; serve it, and name the URL");
        }
        None => draft.find(Level::Lost, fields.place, &fields.at, "names no file"),
    }
    Ok(())
}
