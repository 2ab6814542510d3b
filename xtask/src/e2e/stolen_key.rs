//! The drill: a publisher's key is stolen. Revoked, rotated out under both thresholds by people who never meet, refused.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Drill;
use super::expect::expect;
use super::machines::Machines;
use crate::story;

pub(super) const DRILL: Drill = Drill { name: "stolen-key", run };

/// Who releases, on whose machine spec, lock and trust folder are.
const DESK: &str = "desk";
/// The first one hears of the theft at once, the second one does not.
const SITES: [&str; 2] = ["plant-7", "plant-8"];

fn run(machines: &Machines) -> Result<()> {
    ceremony(machines).context("the first root")?;
    first_bundle(machines).context("the first bundle")?;
    for site in SITES {
        open_station(machines, site).with_context(|| format!("the station of {site}"))?;
    }
    theft(machines).context("the theft")?;
    revoke(machines).context("the revocation")?;
    rotate(machines).context("the rotation")?;
    next_bundle(machines).context("the next bundle")?;
    aftermath(machines).context("after the rotation")
}

/// Everyone makes a key; the root takes two of three, a bundle one of two.
fn ceremony(machines: &Machines) -> Result<()> {
    for person in ["alice", "bob", "carol", "pat", "quinn", "rita", "sam"] {
        let key = format!("{person}.pem");
        let new_key = ["trust", "init", "--new-key", &key, "--unencrypted-keys"];
        story::text(&mut machines.outside(person, &new_key)?)?;
        machines.carry(&format!("{person}.pub.pem"), person, DESK)?;
    }
    let mut draw_up = vec!["trust", "init", "--root-threshold", "2", "--publisher-threshold", "1"];
    for key in ["alice.pub.pem", "bob.pub.pem", "carol.pub.pem"] {
        draw_up.extend(["--root-key", key]);
    }
    for key in ["pat.pub.pem", "quinn.pub.pem"] {
        draw_up.extend(["--publisher-key", key]);
    }
    draw_up.extend(["--revoker-key", "rita.pub.pem"]);
    story::text(&mut machines.outside(DESK, &draw_up)?)?;
    signed_by(machines, "root", &["alice"])?;
    ensure!(!machines.file(DESK, "trust/root.json").exists(), "one of three root keys made a root");
    signed_by(machines, "root", &["carol"])?;
    ensure!(machines.file(DESK, "trust/root.json").exists(), "two of three root keys made no root");
    Ok(())
}

/// The request for a root goes to each of these keyholders, and their signatures come back into the draft.
fn signed_by(machines: &Machines, root: &str, people: &[&str]) -> Result<()> {
    let request = format!("trust/{root}.request.json");
    for person in people {
        machines.carry_as(&request, DESK, person, "request.json")?;
        answered_by(machines, person, &format!("{person}.signature.json"))?;
        let draft = format!("trust/{root}.draft.json");
        let add = ["trust", "sign", &draft, "--add", &format!("{person}.signature.json")];
        story::text(&mut machines.outside(DESK, &add)?)?;
    }
    Ok(())
}

/// A keyholder answers `request.json`, and the answer goes to the desk.
fn answered_by(machines: &Machines, person: &str, answer: &str) -> Result<()> {
    let key = format!("{person}.pem");
    let sign = ["trust", "sign", "request.json", "--key", &key, "--to", answer, "--yes"];
    story::text(&mut machines.outside(person, &sign)?)?;
    machines.carry(answer, person, DESK)
}

/// Locks and builds at the desk; `person` signs elsewhere. Answers the bundle's name.
fn bundle_by(machines: &Machines, sequence: u64, person: &str) -> Result<String> {
    let (bundle, request) = (format!("plant-{sequence}.tar"), format!("plant-{sequence}.request.json"));
    story::text(&mut machines.outside(DESK, &["lock"])?)?;
    story::text(&mut machines.outside(DESK, &["build", "--export-request", &request])?)?;
    machines.carry_as(&request, DESK, person, "request.json")?;
    let answer = format!("{bundle}.{person}.signature.json");
    answered_by(machines, person, &answer)?;
    story::text(&mut machines.outside(DESK, &["trust", "sign", &bundle, "--add", &answer])?)?;
    Ok(bundle)
}

fn first_bundle(machines: &Machines) -> Result<()> {
    for name in ["sealock.yaml", "manifests"] {
        story::copy(&machines.scenario.join(name), &machines.file(DESK, name))?;
    }
    bundle_by(machines, 1, "pat").map(drop)
}

fn says(machines: &Machines, machine: &str, text: &str) -> Result<()> {
    let manifest = fs::read_to_string(machines.scenario.join("manifests/notice.yaml"))?;
    Ok(fs::write(machines.file(machine, "manifests/notice.yaml"), manifest.replace("the first bundle", text))?)
}

/// A station believes the first root, by the fingerprint on paper, and imports the first bundle.
fn open_station(machines: &Machines, site: &str) -> Result<()> {
    story::text(&mut machines.inside(site, &["version"])?)?;
    let spec = fs::read_to_string(machines.scenario.join("site.yaml"))?.replace("plant-7", site);
    fs::write(machines.file(site, "site.yaml"), spec)?;
    machines.carry_as("trust/root.json", DESK, site, "root.json")?;
    machines.carry("plant-1.tar", DESK, site)?;
    let fingerprint = story::outside::fingerprint_of(&fs::read(machines.file(DESK, "trust/root.json"))?);
    for args in [
        &["site", "init", "--unencrypted-keys"][..],
        &["trust", "enroll", "root.json", "--stream", "base", "--fingerprint", &fingerprint],
        &["import", "plant-1.tar"],
    ] {
        story::text(&mut machines.inside(site, args)?)?;
    }
    Ok(())
}

/// Somebody has Pat's key, and all that is public. What they sign is believed, for now: plant-8, which hears of nothing, lets
/// it in. That is what the drill is about.
fn theft(machines: &Machines) -> Result<()> {
    for name in ["sealock.yaml", "sealock.lock", "sealock.built", "sealock.manifests", "manifests", "trust"] {
        machines.carry(name, DESK, "thief")?;
    }
    machines.carry("pat.pem", "pat", "thief")?;
    forge(machines, "evil-2.tar")?;
    story::text(&mut machines.inside("plant-8", &["import", "evil-2.tar"])?)?;
    let shown = told(machines, "plant-8", &["trust", "show", "-o", "json"])?;
    ensure!(shown["accepted"][0]["signers"][0] == key_id(machines, "pat")?, "nobody can see who signed it: {shown}");
    Ok(())
}

/// The thief locks and builds a bundle of their own, and gets it to both sites.
fn forge(machines: &Machines, name: &str) -> Result<()> {
    says(machines, "thief", &format!("{name} by the thief"))?;
    story::text(&mut machines.outside("thief", &["lock"])?)?;
    story::text(&mut machines.outside("thief", &["build", "--to", name, "--key", "pat.pem"])?)?;
    SITES.iter().try_for_each(|site| machines.carry(name, "thief", site))
}

fn key_id(machines: &Machines, person: &str) -> Result<String> {
    let export = ["trust", "export", &format!("{person}.pem"), "-o", "json"];
    let exported: Value = serde_json::from_str(&story::text(&mut machines.outside(person, &export)?)?)?;
    exported["keyid"].as_str().map(str::to_owned).with_context(|| format!("`trust export` names no key: {exported}"))
}

/// Rita takes Pat's key out at once; the list reaches plant-7, and not plant-8.
fn revoke(machines: &Machines) -> Result<()> {
    machines.carry_as("trust/root.json", DESK, "rita", "root.json")?;
    let pat = key_id(machines, "pat")?;
    let revoke = ["trust", "revoke", "--list", "revocations.json", "--root", "root.json", "--key", "rita.pem"];
    let what = ["--key-id", &pat, "--reason", "stolen out of Pat's car"];
    story::text(&mut machines.outside("rita", &[&revoke[..], &what].concat())?)?;
    machines.carry("revocations.json", "rita", "plant-7")?;
    story::text(&mut machines.inside("plant-7", &["import", "revocations.json"])?)?;
    expect(&mut machines.inside("plant-7", &["import", "evil-2.tar"])?, 3, &["error[REVOKED]"]).map(drop)
}

/// Sam takes Pat's place, under the threshold of root 1 and of root 2. Bob and Carol sign; Alice is on holiday.
fn rotate(machines: &Machines) -> Result<()> {
    let quinn = key_id(machines, "quinn")?;
    let rotate = ["trust", "rotate", "--publisher-key", &quinn, "--publisher-key", "sam.pub.pem"];
    story::text(&mut machines.outside(DESK, &rotate)?)?;
    signed_by(machines, "2.root", &["bob"])?;
    ensure!(!machines.file(DESK, "trust/2.root.json").exists(), "one of three root keys rotated the root");
    signed_by(machines, "2.root", &["carol"])?;
    let pat = key_id(machines, "pat")?;
    let shown = story::text(&mut machines.outside(DESK, &["trust", "show", "trust/root.json", "trust/2.root.json"])?)?;
    let gone: String = shown.lines().filter(|line| line.trim_start().starts_with("- ")).collect();
    let digits: String = gone.chars().filter(char::is_ascii_hexdigit).collect();
    ensure!(digits.contains(&pat), "the new root does not show that Pat's key is gone:\n{shown}");
    Ok(())
}

/// What a command says at a station, as JSON.
fn told(machines: &Machines, site: &str, args: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&story::text(&mut machines.inside(site, args)?)?)?)
}

/// The next bundle, signed by Sam, walks both sites from root 1 to root 2. The thief's bundle 2 stands in no way at plant-8: of
/// those who signed it nobody is left.
fn next_bundle(machines: &Machines) -> Result<()> {
    says(machines, DESK, "the second bundle")?;
    let bundle = bundle_by(machines, 2, "sam")?;
    for site in SITES {
        machines.carry(&bundle, DESK, site)?;
        story::text(&mut machines.inside(site, &["import", &bundle])?)?;
        let shown = told(machines, site, &["trust", "show", "-o", "json"])?;
        ensure!(shown["accepted"][0]["root_version"] == 2, "{site} does not believe root 2: {shown}");
    }
    // An auditor with nothing but the first root.
    machines.carry(&bundle, DESK, "auditor")?;
    machines.carry_as("trust/root.json", DESK, "auditor", "root.json")?;
    let verify = ["verify", &bundle, "--root", "root.json", "--site", "plant-7"];
    expect(&mut machines.outside("auditor", &verify)?, 0, &[]).map(drop)
}

/// What the thief signs now is refused, at the site that heard of the theft and at the one that only saw the new root.
fn aftermath(machines: &Machines) -> Result<()> {
    // The thief goes on from the honest bundle 2, under the root that Pat's key counts in.
    for name in ["sealock.lock", "sealock.built", "sealock.manifests"] {
        machines.carry(name, DESK, "thief")?;
    }
    forge(machines, "evil-3.tar")?;
    for (site, releases) in [("plant-7", 2), ("plant-8", 3)] {
        for evil in ["evil-2.tar", "evil-3.tar"] {
            expect(&mut machines.inside(site, &["import", evil])?, 3, &["error[THRESHOLD]"])?;
        }
        let listed = told(machines, site, &["release", "list", "-o", "json"])?;
        ensure!(listed.as_array().map(Vec::len) == Some(releases), "{site} has other releases: {listed}");
        let shown = told(machines, site, &["trust", "show", "-o", "json"])?;
        ensure!(
            shown["accepted"][0]["signers"][0] == key_id(machines, "sam")?,
            "{site} serves something else: {shown}"
        );
    }
    Ok(())
}
