//! SPDX 2.2 and 2.3 JSON (ISO/IEC 5962, clause 7 "Package information").

use serde::Deserialize;

use super::{Packages, SbomError, parse, purl_name};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    packages: Vec<Package>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    name: String,
    version_info: Option<String>,
    license_concluded: Option<String>,
    license_declared: Option<String>,
    primary_package_purpose: Option<String>,
    #[serde(default)]
    external_refs: Vec<ExternalRef>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_type: String,
    reference_locator: String,
}

pub(super) fn read(bytes: &[u8], packages: &mut Packages) -> Result<(), SbomError> {
    let document: Document = parse(bytes)?;
    for package in &document.packages {
        // The image itself: its version is its digest, which stands elsewhere.
        if package.primary_package_purpose.as_deref() == Some("CONTAINER") {
            continue;
        }
        let purl = package.external_refs.iter().find(|reference| reference.reference_type == "purl");
        let name = purl.and_then(|purl| purl_name(&purl.reference_locator)).unwrap_or(&package.name);
        let version = package.version_info.as_deref().unwrap_or_default();
        packages.add(name, version, licence(package).into_iter())?;
    }
    Ok(())
}

/// The licence concluded, and else the one declared; `NOASSERTION` and `NONE` say nothing (clauses 7.13, 7.15).
fn licence(package: &Package) -> Option<String> {
    let says = |licence: &&String| !matches!(licence.as_str(), "" | "NOASSERTION" | "NONE");
    let concluded = package.license_concluded.as_ref().filter(says);
    concluded.or_else(|| package.license_declared.as_ref().filter(says)).cloned()
}
