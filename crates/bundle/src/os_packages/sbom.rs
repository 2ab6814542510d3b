//! The SBOM of a set, in SPDX 2.3.

use sealock_trust::Digest;
use sealock_trust::attestation::{NAMESPACE_OID, uuid_v5};
use serde_json::{Value, json};

use super::index::Packaged;
use crate::artifact;

/// When it says that it was created: the same packages make the same document.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A package, and who publishes the archive that it is from, like `Debian`.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// The package.
    pub package: &'a Packaged,
    /// The archive's own word.
    pub origin: Option<&'a str>,
}

/// The document about the set `name`, whose OCI manifest is `subject`.
pub fn spdx(name: &str, subject: &Digest, packages: &[Described<'_>]) -> Vec<u8> {
    let uuid = uuid_v5(&NAMESPACE_OID, format!("sealock sbom {subject}").as_bytes());
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "SPDXID": "SPDXRef-DOCUMENT",
        "dataLicense": "CC0-1.0",
        "name": name,
        "documentNamespace": format!("https://sealock.example/sbom/{uuid}"),
        "creationInfo": {"created": CREATED, "creators": ["Tool: sealock"]},
        "packages": packages.iter().enumerate().map(|(at, one)| package(at, *one)).collect::<Vec<Value>>(),
        "documentDescribes": (0..packages.len()).map(id).collect::<Vec<String>>(),
    });
    artifact::sorted(&document).to_string().into_bytes()
}

fn id(at: usize) -> String {
    format!("SPDXRef-Package-{at}")
}

fn package(at: usize, Described { package, origin }: Described<'_>) -> Value {
    json!({
        "SPDXID": id(at),
        "name": package.name,
        "versionInfo": package.version.as_str(),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": package.digest.hex()}],
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl(package, origin),
        }],
    })
}

/// `pkg:deb/debian/curl@7.88.1-10%2Bdeb12u8?arch=amd64`: the namespace is the vendor's name (purl specification, "deb").
fn purl(package: &Packaged, origin: Option<&str>) -> String {
    let vendor: String = origin.unwrap_or("debian").to_ascii_lowercase();
    let vendor = escaped(&vendor.split_ascii_whitespace().collect::<Vec<_>>().join("-"));
    let (name, version) = (escaped(&package.name), escaped(package.version.as_str()));
    format!("pkg:deb/{vendor}/{name}@{version}?arch={}", package.architecture)
}

fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'.' | b'-' | b'_' | b'~' | b':' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os_packages::{StanzaLimits, Stanzas};
    use crate::sbom::Sbom;

    #[test]
    fn an_sbom_names_packages_as_scanners_do() {
        let text = "Package: g++-12\nVersion: 1:12.2.0-14+deb12u1\nArchitecture: amd64\nFilename: pool/g.deb\nSize: 5\n\
                    SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";
        let stanza = Stanzas::new(text.as_bytes(), StanzaLimits::INDEX).next().unwrap().unwrap();
        let package = Packaged::of(&stanza).unwrap();
        assert_eq!(purl(&package, Some("Debian")), "pkg:deb/debian/g%2B%2B-12@1:12.2.0-14%2Bdeb12u1?arch=amd64");
        assert_eq!(
            purl(&package, Some("Acme Corp/x")),
            "pkg:deb/acme-corp%2Fx/g%2B%2B-12@1:12.2.0-14%2Bdeb12u1?arch=amd64"
        );
        let described = [Described { package: &package, origin: Some("Debian") }];
        let written = spdx("os-packages/debian-12:amd64", &Digest::sha256(b"x"), &described);
        let read = Sbom::from_bytes(&written).unwrap();
        let (name, versions) = read.packages.iter().next().unwrap();
        assert_eq!(name.as_str(), "pkg:deb/debian/g%2B%2B-12");
        assert_eq!(versions.versions.iter().next().unwrap().as_str(), "1:12.2.0-14+deb12u1");
        assert_eq!(spdx("os-packages/debian-12:amd64", &Digest::sha256(b"x"), &described), written);
    }
}
