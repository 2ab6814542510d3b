//! `zarf.yaml`: v1alpha1, where the version may be missing, and v1beta1.

use super::draft::{Chart, Draft, Level};
use super::error::ConvertError;
use super::fields::{Fields, Text, form, single};
use super::yaml::{Node, Value};
use crate::document::Place;
use crate::plain::Plain;

const KNOWN: &str = "zarf.dev/v1alpha1 and zarf.dev/v1beta1";
const RUNS: &str = "runs commands: a bundle carries content only; what has to run belongs to the one who deploys";
const IN_APP: &str = "belongs to the `App` that installs it inside, not to the bundle";
const GIT: &str = "is a git repository: package the chart, and name it by chart repository or registry";

pub(super) fn read(documents: &[Node], draft: &mut Draft) -> Result<(), ConvertError> {
    for document in documents {
        check_version(document)?;
        Fields::read(document, "", draft, package)?;
    }
    Ok(())
}

fn check_version(document: &Node) -> Result<(), ConvertError> {
    match document.get("apiVersion").map(|node| (node, node.text().unwrap_or_default())) {
        None | Some((_, "zarf.dev/v1alpha1" | "zarf.dev/v1beta1")) => Ok(()),
        Some((node, found)) => Err(ConvertError::UnknownVersion {
            place: node.place,
            kind: "the package",
            found: Plain::of(found),
            known: KNOWN,
        }),
    }
}

fn package(fields: &mut Fields<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    fields.pass(&["apiVersion", "kind", "build"]);
    fields.inner("metadata", draft, metadata)?;
    fields.lost("variables", draft, "are filled in at deployment: values belong to the `App` inside");
    fields.lost("constants", draft, "are filled into manifests: write the values into the manifests");
    fields.lost("values", draft, "are values of the whole package: name values files at each chart");
    for key in ["documentation", "attachments"] {
        fields.lost(key, draft, "is text for people: carry it as a file, or keep it beside the spec");
    }
    fields.each("components", draft, component)
}

fn metadata(fields: &mut Fields<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    draft.name = fields.text("name")?.map(|name| name.text.to_owned());
    if let Some(architecture) = fields.text("architecture")?.filter(|text| text.text != "multi") {
        draft.platform(&architecture);
    }
    for key in ["description", "version", "url", "image", "authors", "documentation", "source", "vendor", "annotations"]
    {
        fields.lost(key, draft, "describes the package: a bundle has a name, a stream and a sequence");
    }
    Ok(())
}

fn component(fields: &mut Fields<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    fields.pass(&["name"]);
    fields.lost("description", draft, "describes the component");
    for key in ["default", "optional", "group"] {
        fields.lost(key, draft, "makes it a choice at deployment: the bundle carries it always");
    }
    fields.pass(&["required"]);
    for key in ["only", "target"] {
        fields.told(key, draft, Level::Decide, "limits it to some machines or flavours: the bundle carries it always");
    }
    fields.lost("import", draft, "takes a component from another file, which is not read: convert that file too");
    fields.lost("service", draft, "is a service of the other tool, which the site registry makes needless");
    for key in ["actions", "scripts", "extensions"] {
        fields.lost(key, draft, RUNS);
    }
    fields.lost("dataInjections", draft, "copies data into running pods: bring them as an image or a file");
    fields.lost("healthChecks", draft, IN_APP);
    let key = fields.text("cosignKeyPath")?;
    if let Some(key) = &key {
        let why = "signs or checks the other tool's package: where it is an upstream's key, name it in `verify`";
        draft.find(Level::Decide, key.place, &key.at, why);
    }
    fields.lost(
        "imageArchives",
        draft,
        "are tar archives of images: push them to a registry, and name them from there",
    );
    for key in ["repos", "repositories"] {
        fields.lost(key, draft, "are git repositories, which a bundle does not carry: pack what is needed as a file");
    }
    for (node, at) in fields.list("images")? {
        image(node, at, draft)?;
    }
    fields.each("charts", draft, chart)?;
    fields.each("manifests", draft, manifest)?;
    fields.each("files", draft, file)
}

/// A text in v1alpha1, and a mapping with `name` in v1beta1.
fn image(node: &Node, at: String, draft: &mut Draft) -> Result<(), ConvertError> {
    match &node.value {
        Value::Text(_) => draft.image(&single(node, at)?, None),
        Value::Map(_) => Fields::read(node, at, draft, |fields, draft| {
            let name = fields.text("name")?;
            match fields.text("source")? {
                Some(source) if source.text != "registry" => {
                    draft.lost(&source, "is no registry: push the image to one, and name it from there");
                }
                _ => name.iter().for_each(|name| draft.image(name, None)),
            }
            Ok(())
        })?,
        _ => return Err(form(node, &at, "a reference, or a mapping with a name")),
    }
    Ok(())
}

fn chart(fields: &mut Fields<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    let (place, at) = (fields.place, fields.at.clone());
    let mut chart = Chart { line: place.line, ..Chart::default() };
    chart.name = text_or_empty(fields, "name")?;
    chart.version = text_or_empty(fields, "version")?;
    if let Some(name) = fields.text("repoName")? {
        name.text.clone_into(&mut chart.name);
    }
    let is_carried = source(fields, &mut chart, draft)?;
    if let Some(namespace) = fields.text("namespace")?.filter(|namespace| !draft.is_template(namespace)) {
        chart.namespace = Some(namespace.text.to_owned());
    }
    for values in fields.texts("valuesFiles")? {
        chart.values.extend(draft.path(&values, "the values file"));
    }
    for key in ["releaseName", "noWait", "skipWait", "serverSideApply", "variables", "values"] {
        fields.lost(key, draft, IN_APP);
    }
    for key in ["schemaValidation", "skipSchemaValidation"] {
        fields.lost(key, draft, "is how Helm renders: the chart's schema is always checked");
    }
    if is_carried {
        chart_of_version(chart, place, &at, draft);
    }
    Ok(())
}

fn text_or_empty(fields: &mut Fields<'_>, key: &str) -> Result<String, ConvertError> {
    Ok(fields.text(key)?.map(|text| text.text.to_owned()).unwrap_or_default())
}

fn chart_of_version(chart: Chart, place: Place, at: &str, draft: &mut Draft) {
    let (name, version) = (chart.name.clone(), chart.version.clone());
    let filled =
        |text: &str, key: &str, draft: &mut Draft| draft.is_template(&Text { text, place, at: format!("{at}.{key}") });
    if !filled(&name, "name", draft) && !filled(&version, "version", draft) {
        draft.chart(chart, place, at);
    }
}

/// Where the chart comes from; false where that was told already and it is not carried.
fn source(fields: &mut Fields<'_>, chart: &mut Chart, draft: &mut Draft) -> Result<bool, ConvertError> {
    let git_path = fields.text("gitPath")?;
    if let Some(url) = fields.text("url")? {
        let is_git = git_path.is_some() || url.text.split('@').next().unwrap_or_default().ends_with(".git");
        if is_git {
            draft.lost(&url, GIT);
            return Ok(false);
        }
        return Ok(of_url(&url, chart, draft));
    }
    if let Some(local) = fields.text("localPath")? {
        draft.lost(&local, "is a chart of your own: push it to a registry, and name it from there");
        return Ok(false);
    }
    let (before, mut told) = (draft.findings.len(), false);
    fields.inner("helmRepository", draft, |fields, draft| nested(fields, chart, draft))?;
    fields.inner("oci", draft, |fields, draft| nested(fields, chart, draft))?;
    for (key, why) in [("git", GIT), ("local", "is a chart of your own: push it to a registry, and name it from there")]
    {
        let count = draft.findings.len();
        fields.lost(key, draft, why);
        told |= draft.findings.len() > count;
    }
    let unusable = draft.findings.len() > before && chart.repository.is_none() && chart.oci.is_none();
    Ok(!told && !unusable)
}

/// `helmRepository` and `oci` of v1beta1.
fn nested(fields: &mut Fields<'_>, chart: &mut Chart, draft: &mut Draft) -> Result<(), ConvertError> {
    if let Some(name) = fields.text("name")? {
        name.text.clone_into(&mut chart.name);
    }
    if let Some(version) = fields.text("version")? {
        version.text.clone_into(&mut chart.version);
    }
    if let Some(url) = fields.text("url")? {
        of_url(&url, chart, draft);
    }
    Ok(())
}

/// A chart repository or a registry, by the scheme.
pub(super) fn of_url(url: &Text<'_>, chart: &mut Chart, draft: &mut Draft) -> bool {
    let Some(url) = draft.url(url) else { return false };
    match url.strip_prefix("oci://") {
        Some(name) => chart.oci = Some(name.to_owned()),
        None => chart.repository = Some(url),
    }
    true
}

fn manifest(fields: &mut Fields<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    fields.pass(&["name"]);
    for key in ["namespace", "noWait", "skipWait", "serverSideApply", "template", "enableValues"] {
        fields.lost(key, draft, IN_APP);
    }
    for key in ["kustomizations", "kustomize", "kustomizeAllowAnyDirectory", "enableKustomizePlugins"] {
        fields.lost(key, draft, "is built by kustomize: build it, and name the result under `manifests`");
    }
    for path in fields.texts("files")? {
        let found = draft.path(&path, "the manifest");
        draft.manifests.extend(found);
    }
    Ok(())
}

fn file(fields: &mut Fields<'_>, draft: &mut Draft) -> Result<(), ConvertError> {
    let source = fields.text("source")?;
    let sum = fields.text("shasum")?.or(fields.text("checksum")?);
    for key in ["target", "destination", "executable", "symlinks", "extractPath", "template", "enableValues"] {
        fields.lost(
            key,
            draft,
            "is where the file is put inside: it travels under a name, and whoever needs it fetches it",
        );
    }
    match &source {
        Some(source) if source.text.contains("://") => draft.file(source, sum.as_ref()),
        Some(source) => draft
            .lost(source, "is a file of your own: `files` takes what can be downloaded; serve it, and name the URL"),
        None => {}
    }
    Ok(())
}
