//! Sets of OS packages out of archives that are laid out and signed as real ones are.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use sealock_bundle::Lock;
use sealock_bundle::lock::{LockedReference, ReferenceKind, VerdictRule};
use sealock_bundle::os_packages::{INDEX, PACKAGE};
use sealock_bundle::plain::Plain;
use sealock_bundle::sbom::Sbom;
use sealock_fetch::{FetchError, Progress, resolve};
use sealock_testkit::apt::{Archive, Deb, Files, packed};
use sealock_testkit::gpg::Gpg;
use sealock_trust::Digest;
use serde_json::Value;

use crate::build::build_in;
use crate::world::{World, spec};

const DATE: &str = "Mon, 16 Nov 2026 10:00:00 UTC";
const BASE: &str = "deb.example/debian";
/// The annotation that says how far the archive had come.
const PROGRESS: &str = "os-packages/debian-12 https://deb.example/debian stable";

fn spec_of(more: &str) -> String {
    let archive = "{uri: 'https://deb.example/debian', suite: stable, components: [main], signedBy: keys/archive.asc}";
    spec(&format!("  osPackages: [{{name: debian-12, apt: [{archive}], {more}}}]\n"))
}

fn hello() -> String {
    spec_of("packages: [hello]")
}

/// `hello` needs `words`, and `other` is needed by nobody.
fn packages(version: &str) -> Vec<Deb> {
    vec![
        Deb::pack("hello", version, "amd64", &[&format!("Depends: words (>= {version}), base | base-of-old")]),
        Deb::pack("words", version, "all", &[]),
        Deb::pack("base", "1:2.0", "amd64", &["Essential: yes"]),
        Deb::pack("other", "1.0", "amd64", &[]),
    ]
}

fn archive(version: &str) -> Archive {
    Archive::new("stable", DATE, &packages(version))
}

/// A world that serves `files`, and whose spec names the keys of `gpg`.
fn world(gpg: &Gpg, files: &Files) -> World {
    let world = World::new();
    world.write("keys/archive.asc", &gpg.public_key());
    serve(&world, files);
    world
}

fn serve(world: &World, files: &Files) {
    for (path, bytes) in files {
        world.upstream.put(&format!("{BASE}/{path}"), bytes.clone());
    }
}

async fn locked(world: &World, spec: &str) -> Lock {
    world.lock(spec).await.unwrap_or_else(|error| panic!("{}", world.told(&error)))
}

/// Locks with what the lock that is there notes.
async fn locked_after(world: &World, spec: &str, before: &Lock) -> Result<Lock, FetchError> {
    let mut request = world.request(spec);
    request.annotations.clone_from(&before.annotations);
    resolve(&request, &world.settings(), &Progress::silent()).await
}

fn set(lock: &Lock) -> &LockedReference {
    lock.references.iter().find(|reference| reference.kind == ReferenceKind::OsPackages).unwrap()
}

fn generated(lock: &Lock, digest: &Digest) -> Vec<u8> {
    lock.blobs.iter().find(|blob| blob.digest == *digest).unwrap().generated_content().unwrap()
}

fn manifest(lock: &Lock) -> Value {
    serde_json::from_slice(&generated(lock, &set(lock).digest)).unwrap()
}

/// Titles and digests of the layers.
fn layers(lock: &Lock) -> Vec<(String, Digest)> {
    let manifest = manifest(lock);
    let layer = |layer: &Value| {
        let title = layer["annotations"]["org.opencontainers.image.title"].as_str().unwrap().to_owned();
        (title, layer["digest"].as_str().unwrap().parse().unwrap())
    };
    manifest["layers"].as_array().unwrap().iter().map(layer).collect()
}

fn titles(lock: &Lock) -> Vec<String> {
    layers(lock).into_iter().map(|(title, _)| title).collect()
}

/// A complaint without what differs from run to run.
fn plain(complaint: &str) -> String {
    let digest = regex::Regex::new("sha256:[0-9a-f]{64}").unwrap();
    let key = regex::Regex::new("[0-9A-F]{16}").unwrap();
    key.replace_all(&digest.replace_all(complaint, "DIGEST"), "KEY").into_owned()
}

async fn refused(world: &World) -> String {
    plain(&world.complaint(&hello()).await)
}

#[tokio::test]
async fn a_set_is_one_artifact_of_what_is_wanted_and_what_that_needs() {
    let gpg = Gpg::new();
    let world = world(&gpg, &archive("1.0-1").signed(&gpg));
    let lock = locked(&world, &hello()).await;
    let reference = set(&lock);
    assert_eq!(reference.name.as_str(), "os-packages/debian-12:amd64");
    assert_eq!(reference.source, "https://deb.example/debian stable main");
    let keyring = std::fs::read(world.path("keys/archive.asc")).unwrap();
    assert_eq!((reference.verdict.rule, &reference.verdict.key), (VerdictRule::Gpg, &Some(Digest::sha256(&keyring))));
    assert_eq!(reference.verdict.identity.as_ref().map(String::len), Some(40), "a fingerprint");
    assert_eq!(titles(&lock), ["Packages", "base_2.0_amd64.deb", "hello_1.0-1_amd64.deb", "words_1.0-1_all.deb"]);
    let config: Digest = manifest(&lock)["config"]["digest"].as_str().unwrap().parse().unwrap();
    let config = String::from_utf8(generated(&lock, &config)).unwrap();
    insta::assert_snapshot!(plain(&config), @r#"{"architecture":"amd64","archives":[{"components":["main"],"keyring":"DIGEST","suite":"stable","uri":"https://deb.example/debian"}],"name":"debian-12","wanted":["hello"]}"#);
    let index = lock.blobs.iter().find(|blob| blob.media_type == INDEX).unwrap().generated_content().unwrap();
    let sums = regex::Regex::new(r"[0-9a-f]{64}|\nSize: [0-9]+").unwrap();
    insta::assert_snapshot!(
        "index",
        sums.replace_all(&String::from_utf8(index).unwrap(), "\n…").replace(": \n…", ": …")
    );
    assert_eq!(lock.annotations[PROGRESS], "2026-11-16T10:00:00Z");
    assert!(locked(&world, &hello()).await == lock, "two locks of the same archive differ");
}

#[tokio::test]
async fn an_sbom_names_every_package_and_hangs_on_the_set() {
    let gpg = Gpg::new();
    let world = world(&gpg, &archive("1.0-1").signed(&gpg));
    let lock = locked(&world, &hello()).await;
    let referrer = lock.references.iter().find(|reference| reference.kind == ReferenceKind::Referrer).unwrap();
    assert_eq!(referrer.subject.as_ref(), Some(&set(&lock).digest));
    let layer = lock.blobs.iter().find(|blob| blob.media_type == sealock_bundle::sbom::SPDX).unwrap();
    let sbom = Sbom::from_bytes(&layer.generated_content().unwrap()).unwrap();
    let names: Vec<&str> = sbom.packages.keys().map(Plain::as_str).collect();
    assert_eq!(names, ["pkg:deb/example/base", "pkg:deb/example/hello", "pkg:deb/example/words"]);
}

#[tokio::test]
async fn what_hosts_have_stays_away_and_what_is_newer_comes() {
    let gpg = Gpg::new();
    let world = world(&gpg, &archive("1.1-1").signed(&gpg));
    let list = "base\t1:2.0\tamd64\tinstalled\nwords\t1.0-1\tall\tinstalled\nother\t1.0\tamd64\tinstalled\nhello\t0.9\tamd64\tconfig-files\n";
    world.write("hosts/cp1.tsv", list);
    let lock = locked(&world, &spec_of("installed: [hosts/cp1.tsv]")).await;
    assert_eq!(titles(&lock), ["Packages", "words_1.1-1_all.deb"], "only what the host has in an older version");
    let lock = locked(&world, &spec_of("packages: [hello], installed: [hosts/cp1.tsv]")).await;
    assert_eq!(titles(&lock), ["Packages", "hello_1.1-1_amd64.deb", "words_1.1-1_all.deb"]);
}

#[tokio::test]
async fn several_archives_are_one_set_and_the_newest_version_wins() {
    let gpg = Gpg::new();
    let world = world(&gpg, &archive("1.0-1").signed(&gpg));
    let other = Gpg::new();
    world.write("keys/other.asc", &other.public_key());
    let fixed = [Deb::pack("hello", "1.0-1+deb12u1", "amd64", &["Depends: words"])];
    serve(&world, &Archive::new("stable-security", DATE, &fixed).signed(&other));
    let archive = |suite: &str, key: &str| {
        format!("{{uri: 'https://{BASE}', suite: {suite}, components: [main], signedBy: keys/{key}.asc}}")
    };
    let archives = [archive("stable", "archive"), archive("stable-security", "other")].join(", ");
    let spec = spec(&format!("  osPackages: [{{name: debian-12, apt: [{archives}], packages: [hello]}}]\n"));
    let lock = locked(&world, &spec).await;
    assert_eq!(titles(&lock), ["Packages", "hello_1.0-1+deb12u1_amd64.deb", "words_1.0-1_all.deb"]);
    let verdict = &set(&lock).verdict;
    assert_eq!((&verdict.key, verdict.identity.as_ref().map(String::len)), (&None, Some(82)), "two fingerprints");
    assert_eq!(lock.annotations.len(), 2);
}

#[tokio::test]
async fn a_release_with_its_signature_beside_it_is_as_good() {
    let gpg = Gpg::new();
    let archive = archive("1.0-1");
    let mut files = archive.files();
    let release = files[&archive.path("Release")].clone();
    files.insert(archive.path("Release.gpg"), gpg.detached(&release));
    let world = world(&gpg, &files);
    assert_eq!(titles(&locked(&world, &hello()).await).len(), 4);
}

#[tokio::test]
async fn indexes_are_fetched_by_their_digests_where_they_are_to_be_had() {
    let gpg = Gpg::new();
    let mut archive = archive("1.0-1");
    archive.fields.push("Acquire-By-Hash: yes".to_owned());
    let mut files = archive.signed(&gpg);
    let index = archive.path("main/binary-amd64/Packages.xz");
    let packed = files.remove(&index).unwrap();
    let world = world(&gpg, &files);
    assert!(refused(&world).await.contains("Packages.xz"), "it is nowhere");
    let by_hash = format!("main/binary-amd64/by-hash/SHA256/{}", Digest::sha256(&packed).hex());
    world.upstream.put(&format!("{BASE}/{}", archive.path(&by_hash)), packed);
    assert_eq!(titles(&locked(&world, &hello()).await).len(), 4);
}

#[tokio::test]
async fn every_packing_of_an_index_is_read() {
    let gpg = Gpg::new();
    let mut titled = Vec::new();
    for suffix in [".xz", ".gz", ""] {
        let mut archive = archive("1.0-1");
        archive.packed = vec![suffix];
        let world = world(&gpg, &archive.signed(&gpg));
        titled.push(layers(&locked(&world, &hello()).await));
    }
    assert!(titled.windows(2).all(|pair| pair[0] == pair[1]), "{titled:?}");
}

#[tokio::test]
async fn a_spec_that_makes_no_sense_is_told_before_anything_is_fetched() {
    let world = World::new();
    let archive = "{uri: 'https://deb.example/debian', suite: stable, components: [main], signedBy: k}";
    let mut told = Vec::new();
    for sets in [
        "{name: a, apt: [], packages: [x]}".to_owned(),
        format!("{{name: a, apt: [{archive}]}}"),
        format!("{{name: a, apt: [{}], packages: [x]}}", archive.replace("https", "ftp")),
        format!("{{name: a, apt: [{}], packages: [x]}}", archive.replace("suite: stable", "suite: ./")),
        format!("{{name: a, apt: [{}], packages: [x]}}", archive.replace("suite: stable", "suite: ../../x")),
        format!("{{name: a, apt: [{}], packages: [x]}}", archive.replace("[main]", "[]")),
    ] {
        told.push(world.complaint(&spec(&format!("  osPackages: [{sets}]\n"))).await);
    }
    insta::assert_snapshot!("specs", told.join("\n"));
    assert!(world.upstream.take_seen().is_empty());
}

#[tokio::test]
async fn what_no_archive_has_stops_the_lock() {
    let gpg = Gpg::new();
    let world = world(&gpg, &archive("1.0-1").signed(&gpg));
    insta::assert_snapshot!(world.complaint(&spec_of("packages: [nginx]")).await, @"UNRESOLVED: no archive of the set debian-12 has nginx for amd64");
    let other = hello().replace("[main]", "[contrib]");
    insta::assert_snapshot!(world.complaint(&other).await, @"UNRESOLVED: https://deb.example/debian stable has no index of contrib for amd64");
    let arm = hello().replace("spec:\n", "spec:\n  platforms: [linux/arm64]\n");
    insta::assert_snapshot!(world.complaint(&arm).await, @"UNRESOLVED: https://deb.example/debian stable has no index of main for arm64");
}

#[tokio::test]
async fn attack_an_archive_that_a_stranger_has_signed_is_refused() {
    let (gpg, stranger) = (Gpg::new(), Gpg::new());
    let world = world(&gpg, &archive("1.0-1").signed(&stranger));
    insta::assert_snapshot!(refused(&world).await, @"SIG: no signature of the Release of https://deb.example/debian stable holds for the OpenPGP keys in FOLDER/keys/archive.asc: the key KEY signed it, which is not in the keyring");
}

#[tokio::test]
async fn a_further_signature_by_an_unknown_key_does_no_harm() {
    let (gpg, stranger) = (Gpg::new(), Gpg::new());
    let archive = archive("1.0-1");
    let mut files = archive.files();
    let release = files[&archive.path("Release")].clone();
    files.insert(archive.path("Release.gpg"), [stranger.bare(&release), gpg.bare(&release)].concat());
    let world = world(&gpg, &files);
    assert_eq!(titles(&locked(&world, &hello()).await).len(), 4);
}

#[tokio::test]
async fn attack_an_archive_without_a_signature_is_refused() {
    let gpg = Gpg::new();
    let world = world(&gpg, &archive("1.0-1").files());
    insta::assert_snapshot!(refused(&world).await, @"UNSIGNED: the Release of https://deb.example/debian stable is not signed: there is no https://deb.example/debian/dists/stable/InRelease or https://deb.example/debian/dists/stable/Release.gpg");
    // A Release in the place of the signed one is no signed text.
    let archive = archive("1.0-1");
    let files = archive.files();
    world.upstream.put(&format!("{BASE}/{}", archive.path("InRelease")), files[&archive.path("Release")].clone());
    insta::assert_snapshot!(refused(&world).await, @"FORMAT: no signature of the Release of https://deb.example/debian stable holds for the OpenPGP keys in FOLDER/keys/archive.asc: it is no signed text");
}

#[tokio::test]
async fn attack_a_signature_of_sha_1_alone_is_refused() {
    let gpg = Gpg::new();
    let archive = archive("1.0-1");
    let mut files = archive.files();
    let release = files[&archive.path("Release")].clone();
    files.insert(archive.path("Release.gpg"), gpg.weakly_detached(&release));
    let world = world(&gpg, &files);
    insta::assert_snapshot!(refused(&world).await, @"SIG: no signature of the Release of https://deb.example/debian stable holds for the OpenPGP keys in FOLDER/keys/archive.asc: the signature by the key KEY is made with an algorithm that is too weak, or unknown");
}

#[tokio::test]
async fn attack_a_key_that_has_expired_is_refused() {
    let gpg = Gpg::expired();
    let world = world(&gpg, &archive("1.0-1").signed(&gpg));
    insta::assert_snapshot!(refused(&world).await, @"EXPIRED: no signature of the Release of https://deb.example/debian stable holds for the OpenPGP keys in FOLDER/keys/archive.asc: the key that signed has expired");
}

#[tokio::test]
async fn attack_text_around_what_is_signed_is_refused() {
    let gpg = Gpg::new();
    let archive = archive("1.0-1");
    let files = archive.signed(&gpg);
    let world = world(&gpg, &files);
    let path = format!("{BASE}/{}", archive.path("InRelease"));
    let signed = String::from_utf8(files[&archive.path("InRelease")].clone()).unwrap();
    let mut told = Vec::new();
    for hostile in [
        format!("Suite: stable\n\n{signed}"),
        format!("{signed}{signed}"),
        signed.replace("Suite: stable", "Suite: stable\nMore: x"),
    ] {
        world.upstream.put(&path, hostile);
        told.push(refused(&world).await);
    }
    insta::assert_snapshot!("around", told.join("\n"));
    // What stands behind it is not read.
    world.upstream.put(&path, format!("{signed}\nSuite: unstable\n"));
    assert_eq!(titles(&locked(&world, &hello()).await).len(), 4);
}

#[tokio::test]
async fn attack_a_release_that_is_no_longer_good_is_refused() {
    let gpg = Gpg::new();
    let mut archive = archive("1.0-1");
    archive.valid_until = Some("Sun, 22 Nov 2026 10:00:00 UTC".to_owned());
    let world = world(&gpg, &archive.signed(&gpg));
    insta::assert_snapshot!(refused(&world).await, @"EXPIRED: the Release of https://deb.example/debian stable was good until 2026-11-22T10:00:00Z");
    archive.valid_until = Some("Mon, 23 Nov 2026 10:00:00 UTC".to_owned());
    serve(&world, &archive.signed(&gpg));
    assert_eq!(titles(&locked(&world, &hello()).await).len(), 4);
}

#[tokio::test]
async fn attack_an_older_release_than_that_of_the_lock_is_refused() {
    let gpg = Gpg::new();
    let world = world(&gpg, &archive("1.1-1").signed(&gpg));
    let before = locked(&world, &hello()).await;
    let mut old = archive("1.0-1");
    old.date = "Sun, 15 Nov 2026 10:00:00 UTC".to_owned();
    serve(&world, &old.signed(&gpg));
    let error = locked_after(&world, &hello(), &before).await.unwrap_err();
    insta::assert_snapshot!(plain(&world.told(&error)), @"ROLLBACK: the Release of https://deb.example/debian stable is of 2026-11-15T10:00:00Z, and the lock was made from one of 2026-11-16T10:00:00Z");
    // The same one again, and a newer one, are good.
    serve(&world, &archive("1.1-1").signed(&gpg));
    assert!(locked_after(&world, &hello(), &before).await.unwrap() == before);
    let mut new = archive("1.1-1");
    new.date = "Tue, 17 Nov 2026 10:00:00 UTC".to_owned();
    serve(&world, &new.signed(&gpg));
    let after = locked_after(&world, &hello(), &before).await.unwrap();
    assert_eq!(set(&after), set(&before), "another date alone makes no other set");
}

#[tokio::test]
async fn attack_the_release_of_another_suite_is_refused() {
    let gpg = Gpg::new();
    let archive = Archive { suite: "oldstable".to_owned(), ..archive("1.0-1") };
    let files = archive.signed(&gpg);
    let moved: Files =
        files.iter().map(|(path, bytes)| (path.replace("dists/oldstable/", "dists/stable/"), bytes.clone())).collect();
    let world = world(&gpg, &moved);
    insta::assert_snapshot!(refused(&world).await, @"SUBJECT: the Release of https://deb.example/debian stable is that of another suite: it says the suite oldstable and the codename oldstable");
}

#[tokio::test]
async fn attack_an_index_that_is_not_the_one_that_was_signed_is_refused() {
    let gpg = Gpg::new();
    let archive = archive("1.0-1");
    let mut files = archive.signed(&gpg);
    let path = archive.path("main/binary-amd64/Packages.xz");
    // Of the same length, and sound: only the sum tells it.
    let mut index = files[&path].clone();
    *index.last_mut().unwrap() ^= 1;
    files.insert(path, index);
    let world = world(&gpg, &files);
    insta::assert_snapshot!(refused(&world).await, @"UPSTREAM_DIGEST: cannot fetch https://deb.example/debian/dists/stable/main/binary-amd64/Packages.xz from UPSTREAM (mirror of deb.example): the content there has the digest DIGEST, and must have DIGEST");
}

#[tokio::test]
async fn attack_a_package_that_is_not_the_one_of_the_index_is_refused() {
    let gpg = Gpg::new();
    let mut files = archive("1.0-1").signed(&gpg);
    let world = world(&gpg, &files);
    let lock = locked(&world, &hello()).await;
    let path = "pool/hello_1.0-1_amd64.deb";
    let mut other = files.remove(path).unwrap();
    *other.last_mut().unwrap() ^= 1;
    world.upstream.put(&format!("{BASE}/{path}"), other);
    let error = build_in(&world, &lock, "out.sealock").await.map(|bundle| bundle.len()).unwrap_err();
    insta::assert_snapshot!(plain(&world.told(&error)), @"UPSTREAM_DIGEST: cannot fetch https://deb.example/debian/pool/hello_1.0-1_amd64.deb from UPSTREAM (mirror of deb.example): the content there has the digest DIGEST, and must have DIGEST");
    assert!(!world.path("out.sealock").exists());
}

/// The archive, but with this text as its index, and a `Release` that names it.
fn with_index(gpg: &Gpg, archive: &Archive, index: &[u8], plain_size: Option<usize>) -> Files {
    let mut files = archive.files();
    files.insert(archive.path("main/binary-amd64/Packages.xz"), packed(".xz", index));
    if let Some(size) = plain_size {
        files.insert(archive.path("main/binary-amd64/Packages"), vec![b'x'; size]);
    }
    let release = archive.release(&files);
    files.insert(archive.path("InRelease"), gpg.clear_sign(&release));
    files
}

#[tokio::test]
async fn attack_an_index_that_unpacks_to_more_than_its_release_says_is_refused() {
    let gpg = Gpg::new();
    let mut archive = archive("1.0-1");
    archive.packed = vec![".xz"];
    let stanza = "Package: a\nVersion: 1\nArchitecture: amd64\n\n";
    let world = world(&gpg, &with_index(&gpg, &archive, stanza.repeat(100_000).as_bytes(), Some(1000)));
    insta::assert_snapshot!(refused(&world).await, @"LIMIT: the index main/binary-amd64/Packages.xz of https://deb.example/debian stable cannot be used
  caused by: it has more than 1000 bytes");
    // One that is a single line, too, where the Release says nothing of its size.
    serve(&world, &with_index(&gpg, &archive, &vec![b'x'; 32 << 20], None));
    insta::assert_snapshot!(refused(&world).await, @"LIMIT: the index main/binary-amd64/Packages.xz of https://deb.example/debian stable cannot be used
  caused by: it has more than 1048576 bytes in one stanza");
}

#[tokio::test]
async fn attack_a_package_whose_path_leads_out_of_the_archive_is_left_out() {
    let gpg = Gpg::new();
    let mut archive = archive("1.0-1");
    archive.packed = vec![".xz"];
    let files = archive.files();
    let xz = &files[&archive.path("main/binary-amd64/Packages.xz")];
    let index = unpacked(xz).replace("pool/hello_", "../../../hello_");
    let world = world(&gpg, &with_index(&gpg, &archive, index.as_bytes(), None));
    insta::assert_snapshot!(refused(&world).await, @"UNRESOLVED: no archive of the set debian-12 has hello for amd64");
}

fn unpacked(xz: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), xz).unwrap();
    let output =
        Command::new("xz").args(["--decompress", "--stdout", "--format=xz"]).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The real `apt-get`, which knows nothing of this machine but its programs: its sources, lists, caches and status are in `folder`.
fn apt_get(folder: &Path, arguments: &[&str]) -> String {
    for name in ["etc", "state/lists/partial", "cache/archives/partial", "log"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    let set = folder.join("set");
    std::fs::write(folder.join("sources.list"), format!("deb [trusted=yes] file:{} ./\n", set.display())).unwrap();
    std::fs::write(folder.join("status"), "").unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    let options = [
        format!("Dir::Etc::SourceList={}", at("sources.list")),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        "Dir::Etc::Preferences=/dev/null".to_owned(),
        "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
        format!("Dir::State={}", at("state")),
        format!("Dir::State::status={}", at("status")),
        format!("Dir::Cache={}", at("cache")),
        format!("Dir::Log={}", at("log")),
        "APT::Architecture=amd64".to_owned(),
        "APT::Architectures=amd64".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "APT::Sandbox::User=".to_owned(),
    ];
    let mut command = Command::new("apt-get");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").current_dir(folder);
    command.args(options.iter().flat_map(|option| ["-o", option]));
    let output = command.args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("apt-get (Debian's package apt) does not start: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "apt-get {arguments:?}: {said}");
    said
}

/// Lays the set out as a host does: each layer under its title.
fn lay_out(folder: &Path, lock: &Lock, bundle: &[u8]) {
    let set = folder.join("set");
    std::fs::create_dir_all(&set).unwrap();
    let wanted: BTreeMap<String, String> =
        layers(lock).into_iter().map(|(title, digest)| (format!("blobs/sha256/{}", digest.hex()), title)).collect();
    let mut tar = tar::Archive::new(bundle);
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        if let Some(title) = wanted.get(&path) {
            std::io::copy(&mut entry, &mut std::fs::File::create(set.join(title)).unwrap()).unwrap();
        }
    }
    assert_eq!(std::fs::read_dir(&set).unwrap().count(), wanted.len());
}

#[tokio::test]
async fn apt_installs_from_the_folder_of_a_set_alone() {
    let gpg = Gpg::new();
    let world = world(&gpg, &archive("1.0-1").signed(&gpg));
    let lock = locked(&world, &hello()).await;
    assert_eq!(lock.blobs.iter().filter(|blob| blob.media_type == PACKAGE).count(), 3);
    let bundle = build_in(&world, &lock, "out.sealock").await.unwrap();
    let host = tempfile::tempdir().unwrap();
    lay_out(host.path(), &lock, &bundle);
    apt_get(host.path(), &["update"]);
    let simulated = apt_get(host.path(), &["--simulate", "--no-install-recommends", "install", "hello"]);
    let installs: Vec<&str> = simulated.lines().filter(|line| line.starts_with("Inst ")).collect();
    let expected = |name: &str, version: &str, of: &str| {
        installs.iter().any(|line| line.starts_with(&format!("Inst {name} ({version} ")) && line.contains(of))
    };
    assert!(expected("hello", "1.0-1", "[amd64]") && expected("words", "1.0-1", "[all]"), "{simulated}");
    assert!(expected("base", "1:2.0", "[amd64]") && installs.len() == 3, "{simulated}");
    // It fetches what the index names, and holds it against the sums there.
    apt_get(host.path(), &["--yes", "--download-only", "--no-install-recommends", "install", "hello"]);
    let package = host.path().join("set/hello_1.0-1_amd64.deb");
    let mut changed = std::fs::read(&package).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&package, changed).unwrap();
    let refused = std::panic::catch_unwind(|| {
        apt_get(
            host.path(),
            &["--yes", "--download-only", "--reinstall", "--no-install-recommends", "install", "hello"],
        )
    });
    assert!(refused.is_err(), "a changed package was taken");
}
