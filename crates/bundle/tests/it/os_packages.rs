//! Sets of OS packages, as a station reads them in its release; and what a publisher who plays false gets.

use sealock_bundle::Archive;
use sealock_bundle::artifact::{self, Artifact, Content, OCI_MANIFEST};
use sealock_bundle::diff::Kind;
use sealock_bundle::lock::{BlobRole, LockedReference, ReferenceKind};
use sealock_bundle::os_packages::{
    ArchiveFacts, Described, OsPackages, OsPackagesError, Packaged, SetFacts, StanzaLimits, Stanzas, in_release,
    index_of, spdx,
};
use sealock_bundle::plain::Plain;
use sealock_bundle::sbom::SPDX;
use sealock_trust::Digest;
use serde_json::json;

use crate::diff::compare;
use crate::support::{Cargo, Publisher, Site};

/// Packages by name and version, and what they hold.
const PACKAGES: [(&str, &str); 2] = [("hello", "1:1.0-1"), ("words", "2.0")];

fn bytes(name: &str, version: &str) -> Vec<u8> {
    format!("the package {name} {version}").into_bytes()
}

fn packaged(packages: &[(&str, &str)]) -> Vec<Packaged> {
    let one = |(name, version): &(&str, &str)| {
        let bytes = bytes(name, version);
        let text = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}.deb\nSize: {}\nSHA256: {}\n",
            bytes.len(),
            Digest::sha256(&bytes).hex()
        );
        let stanza = Stanzas::new(text.as_bytes(), StanzaLimits::INDEX).next().unwrap().unwrap();
        Packaged::of(&stanza).unwrap()
    };
    packages.iter().map(one).collect()
}

fn facts() -> SetFacts {
    let archive = ArchiveFacts {
        uri: "https://deb.example/debian".to_owned(),
        suite: "stable".to_owned(),
        components: vec!["main".to_owned()],
        keyring: Digest::sha256(b"keys"),
    };
    SetFacts {
        name: "debian-12".parse().unwrap(),
        architecture: "amd64".to_owned(),
        archives: vec![archive],
        wanted: vec!["hello".to_owned()],
    }
}

/// A set whose facts and index were changed before it was put together.
fn bundle(sequence: u64, facts: &SetFacts, change: impl Fn(&str) -> String) -> Cargo {
    let mut packages = packaged(&PACKAGES);
    let index = String::from_utf8(index_of(&mut packages).unwrap()).unwrap();
    let index = change(&index).into_bytes();
    let contents: Vec<Content> = packages
        .iter()
        .map(|one| Content { digest: one.digest.clone(), size: one.size, title: one.file_name() })
        .collect();
    with_artifact(sequence, facts.artifact(&index, &contents), &index)
}

fn with_artifact(sequence: u64, artifact: Artifact, index: &[u8]) -> Cargo {
    let mut cargo = Cargo::of_files("base", sequence, &[("own", sequence.to_le_bytes().to_vec())]);
    let contents: Vec<Vec<u8>> = PACKAGES.iter().map(|(name, version)| bytes(name, version)).collect();
    cargo.add_packages(artifact, index, &contents);
    cargo
}

/// What a site reads of the set that it has accepted.
fn read(cargo: &Cargo) -> Result<Vec<OsPackages>, OsPackagesError> {
    let publisher = Publisher::new();
    let site = Site::new(&publisher);
    let folder = tempfile::tempdir().unwrap();
    site.import(&cargo.build(folder.path(), &publisher)).unwrap();
    let published = site.store.current_release(site.keys.key_set()).unwrap().unwrap();
    in_release(&site.store, &published.release)
}

fn refused(cargo: &Cargo) -> String {
    let error = read(cargo).expect_err("the set should have been refused");
    let below = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{}: {error}{below}", error.code().unwrap())
}

#[test]
fn a_station_reads_the_sets_of_its_release() {
    let sets = read(&bundle(1, &facts(), str::to_owned)).unwrap();
    let [set] = sets.as_slice() else { panic!("{sets:?}") };
    assert_eq!((set.facts.name.as_str(), set.repository.as_str()), ("debian-12", "os-packages/debian-12"));
    let packages: Vec<(&str, &str, &str)> =
        set.packages.iter().map(|one| (one.name.as_str(), one.version.as_str(), one.file.name.as_str())).collect();
    assert_eq!(packages, [("hello", "1:1.0-1", "hello_1.0-1_amd64.deb"), ("words", "2.0", "words_2.0_amd64.deb")]);
    assert_eq!(set.packages[1].file.digest, Digest::sha256(&bytes("words", "2.0")));
    assert_eq!(set.index.name, "Packages");
}

#[test]
fn a_release_without_sets_has_none() {
    assert!(read(&Cargo::of_files("base", 1, &[("own", b"x".to_vec())])).unwrap().is_empty());
}

#[test]
fn attack_an_index_that_says_other_than_the_layers_is_refused() {
    let other = Digest::sha256(b"other");
    let sum = Digest::sha256(&bytes("words", "2.0"));
    let told = [
        refused(&bundle(1, &facts(), |index| index.replace(sum.hex(), other.hex()))),
        refused(&bundle(1, &facts(), |index| index.replace("words", "wards"))),
        refused(&bundle(1, &facts(), |index| index.split("Package: words").next().unwrap().to_owned())),
        refused(&bundle(1, &facts(), |index| index.replace("Filename: ./words", "Filename: ./../words"))),
        refused(&bundle(1, &facts(), |_| "no index".to_owned())),
    ];
    insta::assert_snapshot!(told.join("\n"), @r#"
    TYPE_MISMATCH: os-packages/debian-12:amd64 is not put together as a set of OS packages is: its index and its layers differ
    TYPE_MISMATCH: os-packages/debian-12:amd64 is not put together as a set of OS packages is: its index and its layers differ
    TYPE_MISMATCH: os-packages/debian-12:amd64 is not put together as a set of OS packages is: its index and its layers differ
    TYPE_MISMATCH: the index of os-packages/debian-12:amd64 cannot be used: words has the Filename "./../words_2.0_amd64.deb", which is none
    TYPE_MISMATCH: the index of os-packages/debian-12:amd64 cannot be used: line 1 is not of a control file: it has no colon
    "#);
}

#[test]
fn attack_a_set_that_is_another_than_its_name_says_is_refused() {
    let facts_of = |name: &str, architecture: &str| SetFacts {
        name: name.parse().unwrap(),
        architecture: architecture.to_owned(),
        ..facts()
    };
    let as_it_is = |facts: &SetFacts| refused(&bundle(1, facts, str::to_owned));
    assert!(as_it_is(&facts_of("debian-13", "amd64")).contains("another set"));
    assert!(as_it_is(&facts_of("debian-12", "arm64")).contains("another set"));
}

#[test]
fn attack_an_artifact_that_is_no_set_is_refused() {
    let mut packages = packaged(&PACKAGES);
    let index = index_of(&mut packages).unwrap();
    let file = Content { digest: Digest::sha256(&index), size: index.len() as u64, title: "Packages".to_owned() };
    insta::assert_snapshot!(refused(&with_artifact(1, artifact::of_file(&file), &index)), @"TYPE_MISMATCH: os-packages/debian-12:amd64 is not put together as a set of OS packages is: it is an artifact of another kind");
}

/// A bundle with a set of these packages and its SBOM.
fn described(sequence: u64, versions: &[(&str, &str)]) -> Cargo {
    let mut packages = packaged(versions);
    let index = index_of(&mut packages).unwrap();
    let content = |one: &Packaged| Content { digest: one.digest.clone(), size: one.size, title: one.file_name() };
    let made = facts().artifact(&index, &packages.iter().map(content).collect::<Vec<_>>());
    let described: Vec<Described<'_>> =
        packages.iter().map(|package| Described { package, origin: Some("Debian") }).collect();
    let sbom = spdx("os-packages/debian-12:amd64", &made.digest, &described);
    let content = Content { digest: Digest::sha256(&sbom), size: sbom.len() as u64, title: "sbom".to_owned() };
    let subject = json!({"mediaType": OCI_MANIFEST, "digest": made.digest, "size": made.blobs[0].size});
    let referrer = artifact::of_sbom(&content, &subject);
    let mut cargo = Cargo::of_files("base", sequence, &[]);
    let contents: Vec<Vec<u8>> = versions.iter().map(|(name, version)| bytes(name, version)).collect();
    cargo.add_packages(made, &index, &contents);
    let set = cargo.lock.references[0].clone();
    cargo.lock.references.push(LockedReference {
        name: format!("os-packages/debian-12@{}", referrer.digest).parse().unwrap(),
        kind: ReferenceKind::Referrer,
        digest: referrer.digest,
        subject: Some(set.digest.clone()),
        platform: None,
        ..set
    });
    cargo.lock.blobs.extend(referrer.blobs);
    cargo.lock.blobs.push(artifact::generated(SPDX, BlobRole::Layer, &sbom));
    cargo.lock.sort();
    cargo
}

#[test]
fn a_comparison_names_packages_with_their_versions() {
    let folder = tempfile::tempdir().unwrap();
    let archive = |name: &str, cargo: Cargo| Archive::open(&cargo.write(&folder.path().join(name))).unwrap();
    let old = archive("old", described(1, &[("hello", "1:1.0-1"), ("gone", "3"), ("words", "2.0")]));
    let new = archive("new", described(2, &[("hello", "1:1.0-2"), ("words", "2.0"), ("come", "1")]));
    let diff = compare(&old, &new).unwrap();
    let [changes] = diff.packages.as_slice() else { panic!("{:?}", diff.packages) };
    let text = |versions: &[Plain]| versions.iter().map(Plain::as_str).collect::<Vec<_>>().join(" ");
    let lines: Vec<String> =
        changes.changes.iter().map(|one| format!("{}: {} -> {}", one.name, text(&one.old), text(&one.new))).collect();
    insta::assert_snapshot!(format!("{}\n{}", changes.artifact, lines.join("\n")), @"
    os-packages/debian-12:amd64
    pkg:deb/debian/hello: 1:1.0-1 -> 1:1.0-2
    pkg:deb/debian/come:  -> 1
    pkg:deb/debian/gone: 3 -> 
    ");
    let kinds: Vec<Kind> = diff.artifacts.iter().map(|change| change.kind).collect();
    assert!(kinds.contains(&Kind::OsPackages), "{kinds:?}");
}
