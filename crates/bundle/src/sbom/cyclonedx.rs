//! CycloneDX 1.x JSON (ECMA-424, `components`).

use serde::Deserialize;

use super::{Packages, SbomError, parse, purl_name};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    name: String,
    group: Option<String>,
    version: Option<String>,
    purl: Option<String>,
    #[serde(default)]
    licenses: Vec<Choice>,
    #[serde(default)]
    components: Vec<Component>,
}

/// A licence, or an expression over several.
#[derive(Deserialize)]
struct Choice {
    license: Option<Licence>,
    expression: Option<String>,
}

#[derive(Deserialize)]
struct Licence {
    id: Option<String>,
    name: Option<String>,
}

pub(super) fn read(bytes: &[u8], packages: &mut Packages) -> Result<(), SbomError> {
    let document: Document = parse(bytes)?;
    add_all(&document.components, packages)
}

/// Components nest; the JSON parser has bounded how deep.
fn add_all(components: &[Component], packages: &mut Packages) -> Result<(), SbomError> {
    for component in components {
        let group = component.group.as_deref().filter(|group| !group.is_empty());
        let plain = group.map_or_else(|| component.name.clone(), |group| format!("{group}/{}", component.name));
        let name = component.purl.as_deref().and_then(purl_name).unwrap_or(&plain);
        let licences = component.licenses.iter().filter_map(licence);
        packages.add(name, component.version.as_deref().unwrap_or_default(), licences)?;
        add_all(&component.components, packages)?;
    }
    Ok(())
}

fn licence(choice: &Choice) -> Option<String> {
    let named = choice.license.as_ref().and_then(|licence| licence.id.clone().or_else(|| licence.name.clone()));
    choice.expression.clone().or(named)
}
