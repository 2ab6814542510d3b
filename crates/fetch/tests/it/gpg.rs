//! Charts and files that are signed with OpenPGP.

use bytes::Bytes;
use sealock_bundle::Lock;
use sealock_bundle::artifact::{HELM_PROVENANCE, PGP_SIGNATURE};
use sealock_bundle::lock::{LockedReference, ReferenceKind, Verdict, VerdictRule};
use sealock_testkit::chart;
use sealock_testkit::gpg::Gpg;
use sealock_trust::Digest;

use crate::world::{DEPLOYMENT, World, spec};

const RULES: &str = "  verify: [{match: '*', unsigned: reviewed}]\n";
const CHART: &str = "files.example/charts/app-1.2.3.tgz";
const FILE: &str = "files.example/data/table.csv";
const CONTENT: &[u8] = b"a,b\n1,2\n";

fn chart_spec(source: &str) -> String {
    let rule = "verify: {gpg: keys/team.asc}";
    spec(&format!("{RULES}  charts: [{{name: app, {source}, version: 1.2.3, {rule}}}]\n"))
}

fn in_repository() -> String {
    chart_spec("repository: 'https://files.example/charts'")
}

fn file_spec(more: &str) -> String {
    let digest = Digest::sha256(CONTENT);
    spec(&format!("  files: [{{url: 'https://{FILE}', digest: '{digest}', verify: {{gpg: keys/team.asc{more}}}}}]\n"))
}

/// A world whose spec names the keys of `gpg`.
fn world(gpg: &Gpg) -> World {
    let world = World::new();
    world.write("keys/team.asc", &gpg.public_key());
    world
}

/// The archive that the world's upstream has.
fn archive() -> Bytes {
    chart::package("app", "1.2.3", "replicas: 1\n", &[("app.yaml", DEPLOYMENT)])
}

/// What Helm signs: `Chart.yaml`, and the archive's checksum.
fn provenance(archive: &[u8]) -> String {
    let digest = Digest::sha256(archive);
    format!("apiVersion: v2\nname: app\nversion: 1.2.3\n\n...\nfiles:\n  app-1.2.3.tgz: {digest}\n")
}

async fn locked(world: &World, spec: &str) -> Lock {
    world.lock(spec).await.unwrap_or_else(|error| panic!("{}", world.told(&error)))
}

fn of_kind(lock: &Lock, kind: ReferenceKind) -> &LockedReference {
    lock.references.iter().find(|reference| reference.kind == kind && !is_component(reference)).unwrap()
}

/// Helm comes along wherever there are charts.
fn is_component(reference: &LockedReference) -> bool {
    reference.requested_by.iter().any(|by| by.starts_with("kubernetes"))
}

fn assert_by_keyring(verdict: &Verdict, world: &World) {
    let keyring = std::fs::read(world.path("keys/team.asc")).unwrap();
    assert_eq!((verdict.rule, verdict.key.clone()), (VerdictRule::Gpg, Some(Digest::sha256(&keyring))));
    assert_eq!(verdict.identity.as_ref().map(String::len), Some(40), "a fingerprint");
}

#[tokio::test]
async fn a_signed_chart_is_noted_and_its_provenance_travels() {
    let gpg = Gpg::new();
    let world = world(&gpg);
    let signed = gpg.clear_sign(&provenance(&archive()));
    world.upstream.put(&format!("{CHART}.prov"), signed.clone());
    let lock = locked(&world, &in_repository()).await;
    assert_by_keyring(&of_kind(&lock, ReferenceKind::Chart).verdict, &world);
    let carried = lock.blobs.iter().find(|blob| blob.media_type == HELM_PROVENANCE).expect("the provenance");
    assert_eq!(carried.digest, Digest::sha256(&signed));

    // Without armour the keyring holds as well.
    std::fs::write(world.path("keys/team.asc"), gpg.binary_key()).unwrap();
    assert_by_keyring(&of_kind(&locked(&world, &in_repository()).await, ReferenceKind::Chart).verdict, &world);
}

#[tokio::test]
async fn a_chart_in_a_registry_has_its_provenance_beside_it() {
    let gpg = Gpg::new();
    let world = world(&gpg);
    let spec = chart_spec("oci: ghcr.io/team/charts/app");
    insta::assert_snapshot!(world.complaint(&spec).await, @"UNSIGNED: chart app 1.2.3 is not signed: there is no layer of the type application/vnd.cncf.helm.chart.provenance.v1.prov in ghcr.io/team/charts/app");
    let archive = archive();
    let signed = gpg.clear_sign(&provenance(&archive));
    world.upstream.push("ghcr.io/team/charts/app:1.2.3", &chart::signed_artifact("app", "1.2.3", &archive, signed));
    let lock = locked(&world, &spec).await;
    assert_by_keyring(&of_kind(&lock, ReferenceKind::Chart).verdict, &world);
    assert!(lock.blobs.iter().any(|blob| blob.media_type == HELM_PROVENANCE));
}

#[tokio::test]
async fn a_signed_file_is_noted_and_its_signature_travels() {
    let gpg = Gpg::new();
    let world = world(&gpg);
    let signature = gpg.detached(CONTENT);
    for (place, more) in [("table.csv.asc", ""), ("sums/x.sig", ", signature: 'https://files.example/data/sums/x.sig'")]
    {
        world.upstream.put(&format!("files.example/data/{place}"), signature.clone());
        let lock = locked(&world, &file_spec(more)).await;
        assert_by_keyring(&of_kind(&lock, ReferenceKind::File).verdict, &world);
        let carried = lock.blobs.iter().find(|blob| blob.media_type == PGP_SIGNATURE).expect("the signature");
        assert_eq!(carried.digest, Digest::sha256(&signature));
    }
}

#[tokio::test]
async fn provenance_that_does_not_hold_stops_the_lock() {
    let (gpg, stranger) = (Gpg::new(), Gpg::new());
    let world = world(&gpg);
    let text = provenance(&archive());
    let good = String::from_utf8(gpg.clear_sign(&text)).unwrap();
    let mut told = vec![world.complaint(&in_repository()).await];
    for hostile in [
        String::from_utf8(stranger.clear_sign(&text)).unwrap(),
        good.replace("name: app", "name: abb"),
        String::from_utf8(gpg.clear_sign(&text.replace("1.2.3\n", "1.2.2\n"))).unwrap(),
        String::from_utf8(gpg.clear_sign(&provenance(b"another archive"))).unwrap(),
        format!("files: {{}}\n{good}"),
        format!("{good}{good}"),
        text.clone(),
        String::from_utf8(gpg.detached(text.as_bytes())).unwrap(),
        "-----BEGIN PGP SIGNED MESSAGE-----\n".repeat(3),
    ] {
        world.upstream.put(&format!("{CHART}.prov"), hostile);
        told.push(world.complaint(&in_repository()).await);
    }
    assert_complaints("provenance", &told);
}

#[tokio::test]
async fn signatures_of_files_that_do_not_hold_stop_the_lock() {
    let (gpg, stranger) = (Gpg::new(), Gpg::new());
    let world = world(&gpg);
    let mut told = vec![world.complaint(&file_spec("")).await];
    for hostile in [
        stranger.detached(CONTENT),
        gpg.detached(b"other content"),
        gpg.weakly_detached(CONTENT),
        // A message with its own content inside is no signature of this file, however good it is.
        gpg.clear_sign("something else"),
        [gpg.detached(CONTENT), stranger.detached(CONTENT)].concat(),
        b"no signature".to_vec(),
        Vec::new(),
    ] {
        world.upstream.put(&format!("{FILE}.asc"), hostile);
        told.push(world.complaint(&file_spec("")).await);
    }
    assert_complaints("files", &told);
}

#[tokio::test]
async fn an_expired_key_is_told_as_such() {
    let gpg = Gpg::expired();
    let world = world(&gpg);
    world.upstream.put(&format!("{FILE}.asc"), gpg.detached(CONTENT));
    assert_complaints("expired", &[world.complaint(&file_spec("")).await]);
}

#[tokio::test]
async fn a_keyring_that_is_none_is_named() {
    let gpg = Gpg::new();
    let world = world(&gpg);
    world.upstream.put(&format!("{FILE}.asc"), gpg.detached(CONTENT));
    let mut told = Vec::new();
    for keyring in [
        "",
        "no keys",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAA==\n",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n*\n",
    ] {
        world.write("keys/team.asc", keyring);
        told.push(world.complaint(&file_spec("")).await);
    }
    assert_complaints("keyrings", &told);
}

fn assert_complaints(name: &str, told: &[String]) {
    let filters = vec![("sha256:[0-9a-f]{64}", "DIGEST"), ("[0-9A-F]{16}", "KEY")];
    insta::with_settings!({filters => filters}, { insta::assert_snapshot!(name, told.join("\n")) });
}
