//! What reaches a site that runs already: a newer Sealock, a revocation, and a disk that was put back.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::e2e::expect::expect;
use crate::story::{self, Desk, proof};

const TOOLS: &str = "docker.io/library/debian-tools:12";
const NEXT: &str = "plant-7-2.tar";
const STATION: &str = "/usr/local/bin/sealock";

/// A second bundle brings a newer Sealock: the station takes it from there, the nodes from the station; and it goes back.
pub fn newer_sealock(desk: &Desk) -> Result<()> {
    next_bundle(desk, "0.2.0")?;
    expect(&mut desk.station(&["import", NEXT]), 0, &["release 2"])?;
    ensure!(version(desk, "station", STATION)? == "0.1.0", "an import must not change the binary");
    expect(&mut desk.station(&["site", "update", "--yes"]), 0, &["0.2.0"])?;
    serve_anew(desk)?;
    ensure!(version(desk, "station", STATION)? == "0.2.0", "the station did not take the newer binary");
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &[])?;
    for node in desk.nodes {
        let newer = version(desk, node, "/opt/sealock/sealock/0.2.0/sealock")?;
        ensure!(newer == "0.2.0", "{node} did not get the newer binary");
    }
    expect(&mut desk.station(&["site", "update", "--rollback", "--yes"]), 0, &["0.1.0"])?;
    serve_anew(desk)?;
    ensure!(version(desk, "station", STATION)? == "0.1.0", "the station did not go back");
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    proof::application_answers(desk)
}

/// What a live cluster uses stays pullable with an alarm until the site confirms; then nodes, plans and apps are refused it.
pub fn revoked(desk: &Desk) -> Result<()> {
    let digest = digest_of(desk, TOOLS)?;
    revoke(desk, &["--digest", &digest, "--reason", "it calls home", "--key", "keys/revoker.pem"])?;
    expect(&mut desk.station(&["import", "revocations.json"]), 0, &["1 revoked"])?;
    expect(&mut desk.station(&["trust", "show"]), 0, &["it calls home"])?;
    pull(desk)?;
    expect(&mut desk.station(&["cluster", "plan"]), 0, &[])?;

    expect(&mut desk.station(&["trust", "confirm", &digest, "--yes"]), 0, &[])?;
    let refused = pull(desk).err().context("a node still pulls what was revoked")?;
    ensure!(refused.to_string().contains("403"), "the pull failed with something else: {refused}");
    expect(&mut desk.station(&["app", "apply"]), 3, &["error[REVOKED]", TOOLS, "it calls home"])?;
    expect(&mut desk.station(&["release", "show"]), 0, &["it calls home"])?;

    revoke(desk, &["--take-back", &digest, "--key", "keys/root.pem"])?;
    expect(&mut desk.station(&["import", "revocations.json"]), 0, &["0 revoked"])?;
    pull(desk)?;
    expect(&mut desk.station(&["app", "apply"]), 0, &[]).map(drop)
}

/// A station whose disk was put back is told by any node that it knew more before.
pub fn restored_disk(desk: &Desk) -> Result<()> {
    let stop = ["systemctl", "stop", "sealock.service"];
    story::text(&mut desk.lab.exec("station", &stop))?;
    station_shell(desk, "cp -a /var/lib/sealock /root/older")?;
    serve_anew(desk)?;
    revoke(desk, &["--renew", "--key", "keys/revoker.pem"])?;
    expect(&mut desk.station(&["import", "revocations.json"]), 0, &["the list holds from now on"])?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;

    story::text(&mut desk.lab.exec("station", &stop))?;
    station_shell(desk, "mv /var/lib/sealock /root/newer && mv /root/older /var/lib/sealock")?;
    let said = ["error[STATE_REGRESSION]", "cp1"];
    let told = [
        expect(&mut desk.station(&["cluster", "plan"]), 3, &said),
        expect(&mut desk.station(&["cluster", "apply", "--yes"]), 3, &["error[STATE_REGRESSION]"]),
        expect(&mut desk.station(&["import", NEXT]), 3, &["error[STATE_REGRESSION]"]),
    ];
    station_shell(desk, "rm -rf /var/lib/sealock && mv /root/newer /var/lib/sealock")?;
    serve_anew(desk)?;
    for outcome in told {
        outcome?;
    }
    expect(&mut desk.station(&["cluster", "plan"]), 0, &["0 of "]).map(drop)
}

/// The packager's second bundle, carried to the station: all of the first, and the inside binary as `version`.
fn next_bundle(desk: &Desk, version: &str) -> Result<()> {
    let binary = calling_itself(&fs::read(&desk.binaries.inside)?, version)?;
    fs::create_dir_all(desk.outside.join("dist"))?;
    fs::write(desk.outside.join("dist/sealock"), &binary)?;
    let spec = fs::read_to_string(desk.written("sealock.yaml"))?;
    let digest = hex::encode(Sha256::digest(&binary));
    let spec = format!("{spec}  sealock: [{{path: dist/sealock, digest: \"sha256:{digest}\"}}]\n");
    fs::write(desk.outside.join("sealock.yaml"), spec)?;
    story::text(&mut desk.packager(&["lock"]))?;
    story::text(&mut desk.packager(&["build", "--to", NEXT, "--passphrase-file", "passphrase"]))?;
    desk.carry(&desk.outside.join(NEXT), "station", &format!("/root/site/{NEXT}"))
}

/// The same program under another version: the one line by which a binary says what it is (docs/formats/binary.md).
fn calling_itself(binary: &[u8], version: &str) -> Result<Vec<u8>> {
    let (own, other) = (b"sealock-identity/1 0.1.0 inside", format!("sealock-identity/1 {version} inside"));
    ensure!(own.len() == other.len(), "a version of another length");
    let at = binary.windows(own.len()).position(|window| window == own).context("the binary has no identity")?;
    let mut changed = binary.to_vec();
    changed[at..at + own.len()].copy_from_slice(other.as_bytes());
    Ok(changed)
}

/// What a binary on a machine says of itself.
fn version(desk: &Desk, machine: &str, path: &str) -> Result<String> {
    let said = story::text(&mut desk.lab.exec(machine, &[path, "version", "-o", "json"]))?;
    let said: Value = serde_json::from_str(&said)?;
    Ok(said["version"].as_str().context("no version")?.to_owned())
}

/// Writes the packager's next revocation list, and carries it.
fn revoke(desk: &Desk, args: &[&str]) -> Result<()> {
    let own = ["trust", "revoke", "--passphrase-file", "passphrase"];
    story::text(&mut desk.packager(&[&own[..], args].concat()))?;
    desk.carry(&desk.outside.join("trust/revocations.json"), "station", "/root/site/revocations.json")
}

/// The worker gets the image anew, as the kubelet does.
fn pull(desk: &Desk) -> Result<()> {
    let pull = format!("ctr -n sealock-e2e images pull --hosts-dir /etc/containerd/certs.d {TOOLS}");
    let gone = format!("ctr -n sealock-e2e images rm --sync {TOOLS}; true");
    let pulled = story::text(&mut desk.lab.exec("w1", &["sh", "-c", &pull]));
    story::text(&mut desk.lab.exec("w1", &["sh", "-c", &gone]))?;
    pulled.map(drop)
}

fn digest_of(desk: &Desk, name: &str) -> Result<String> {
    let release: Value = serde_json::from_str(&story::text(&mut desk.station(&["release", "show", "-o", "json"]))?)?;
    let references = release["references"].as_array().context("the release lists no references")?;
    let reference = references.iter().find(|reference| reference["name"] == name);
    let digest = reference.and_then(|reference| reference["digest"].as_str());
    Ok(digest.with_context(|| format!("{name} is not in the release"))?.to_owned())
}

fn serve_anew(desk: &Desk) -> Result<()> {
    story::text(&mut desk.lab.exec("station", &["systemctl", "restart", "sealock.service"]))?;
    story::inside::wait_until_served(desk)
}

fn station_shell(desk: &Desk, script: &str) -> Result<()> {
    story::text(&mut desk.lab.exec("station", &["sh", "-c", script])).map(drop)
}
