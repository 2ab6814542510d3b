//! A real ansible-core drives the station: hosts out of its inventory, import, plan, apply and app, each in check mode first and once more
//! afterwards.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::expect::expect;
use super::{Case, Scenario};
use crate::lab::Upstream;
use crate::story::{self, Desk, STEPS};
use crate::{repo, tools};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "ansible",
    upstream: Upstream::One,
    is_long: true,
    nodes: &["cp1", "w1"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "ansible: every module is documented", run: documented },
    Case { name: "ansible: a password in the inventory is refused, and shown nowhere", run: password },
    Case { name: "ansible: the inventory becomes the hosts of the spec", run: hosts },
    Case { name: "ansible: what Sealock refuses, Ansible says in its words", run: damaged_bundle },
    Case { name: "ansible: import", run: import },
    Case { name: "ansible: plan", run: plan },
    Case { name: "ansible: apply", run: apply },
    Case { name: "ansible: a plan that is stale", run: stale_plan },
    Case { name: "ansible: app", run: app },
    Case { name: "ansible: what somebody changed on the cluster is seen", run: drift },
    Case { name: "ansible: the playbook has nothing to do", run: playbook },
];

const SITE: &str = "/root/site";
const COLLECTION: &str = "/root/collection";
const PASSWORD: &str = "correct-horse";
const MODULES: [&str; 4] = ["bundle_import", "cluster_plan", "cluster_apply", "app_apply"];
const OF_THE_INVENTORY: [&str; 8] = [
    "cluster",
    "hosts",
    "--short-names",
    "--known-hosts=known_hosts",
    "--control-plane=masters",
    "--worker=apps",
    "--from-ansible",
    "hosts.ini",
];

/// Everything of the main job before the bundle comes in, with Ansible and its collection at the station.
fn begin(desk: &Desk) -> Result<()> {
    for name in ["init", "lock", "build", "carry", "site init", "enroll"] {
        step(desk, name)?;
    }
    let root = repo::root()?;
    bring_ansible(desk, &root)?;
    desk.carry(&root.join("integrations/ansible"), "station", COLLECTION)?;
    println!("--- ansible: its collection is built and installed at the station");
    story::text(&mut ansible(desk, "ansible-galaxy", &["collection", "build", COLLECTION, "--output-path", "/root"]))?;
    let archive = "/root/sealock-sealock-0.1.0.tar.gz";
    story::text(&mut ansible(desk, "ansible-galaxy", &["collection", "install", archive, "--offline"]))?;
    story::outside::cluster_spec(desk, "hosts.ini")
}

fn step(desk: &Desk, name: &str) -> Result<()> {
    let step = STEPS.iter().find(|step| step.name == name).with_context(|| format!("the story has no {name}"))?;
    println!("--- {}: {}", step.name, step.what);
    (step.run)(desk)
}

fn bring_ansible(desk: &Desk, root: &Path) -> Result<()> {
    let part = tools::part(root, "ansible")?.with_file_name("");
    let mut unpack = Command::new("tar");
    unpack.arg("-C").arg(desk.lab.root_of("station")).arg("-xf").arg(part.join("python.tar"));
    story::text(&mut unpack)?;
    let to = desk.lab.root_of("station").join("opt/ansible");
    // With their modes: the programs are to be run.
    story::text(Command::new("cp").arg("-r").arg(part.join("ansible")).arg(to)).map(drop)
}

/// A program of Ansible at the station, in the operator's folder.
fn ansible(desk: &Desk, program: &str, args: &[&str]) -> Command {
    desk.lab.exec("station", &[&surroundings()[..], &[program], args].concat())
}

fn surroundings() -> [&'static str; 7] {
    let path = "PATH=/opt/ansible/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    ["env", "-C", SITE, path, "PYTHONPATH=/opt/ansible", "LC_ALL=C.UTF-8", "HOME=/root"]
}

/// Runs one module at the station, and answers its result.
fn task(desk: &Desk, module: &str, options: &Value, more: &[&str]) -> Result<Value> {
    let mut options = options.clone();
    options["chdir"] = json!(SITE);
    let (module, options) = (format!("sealock.sealock.{module}"), options.to_string());
    let args = ["station", "-i", "hosts.ini", "-m", &module, "-a", &options];
    let output = story::output(&mut ansible(desk, "ansible", &[&args[..], more].concat()))?;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // As in `station | FAILED! => {…}`.
    let (head, result) = said.rsplit_once(" => {").unwrap_or_default();
    let result = serde_json::from_str(&format!("{{{result}"));
    let mut result: Value = result.with_context(|| format!("{module} answers no result:\n{said}{errors}"))?;
    result["failed"] = json!(head.ends_with("FAILED!"));
    Ok(result)
}

/// Runs one module, which must say whether it changed something.
fn changes(desk: &Desk, module: &str, options: &Value, (more, changed): (&[&str], bool)) -> Result<Value> {
    let result = task(desk, module, options, more)?;
    ensure!(result["failed"] != true && result["changed"] == changed, "{module} {more:?} is not {changed}: {result:#}");
    Ok(result)
}

/// Asked first, done, asked again, done again.
fn once(desk: &Desk, module: &str, options: &Value) -> Result<Value> {
    changes(desk, module, options, (&["--check"], true))?;
    let result = changes(desk, module, options, (&[], true))?;
    changes(desk, module, options, (&["--check"], false))?;
    changes(desk, module, options, (&[], false))?;
    Ok(result)
}

/// One module must fail for a reason of Sealock's, in its words.
fn fails(desk: &Desk, module: &str, options: &Value, (reason, said): (&str, &str)) -> Result<()> {
    let result = task(desk, module, options, &[])?;
    let message = result["msg"].as_str().unwrap_or_default();
    let is_so = result["failed"] == true && result["reason"] == reason && message.contains(said);
    ensure!(is_so, "{module} does not fail for {reason} with {said:?}: {result:#}");
    Ok(())
}

fn documented(desk: &Desk) -> Result<()> {
    for module in MODULES {
        let name = format!("sealock.sealock.{module}");
        let said = expect(&mut ansible(desk, "ansible-doc", &["-t", "module", &name]), 0, &["OPTIONS", "EXAMPLES"])?;
        ensure!(said.contains("RETURN VALUES") && said.contains("check_mode"), "{name}: {said}");
    }
    Ok(())
}

fn hosts(desk: &Desk) -> Result<()> {
    // As whoever has logged in to the node before; Debian hashes the names.
    let scan = format!("ssh-keyscan -H 10.77.0.21 > {SITE}/known_hosts");
    story::text(&mut desk.lab.exec("station", &["sh", "-c", &scan]))?;
    let said = ["left out, hosts in none of the groups: station.plant-7.internal", "ansible_become, ntp_server"];
    expect(&mut ansible(desk, "sealock", &OF_THE_INVENTORY), 0, &said)?;
    let block = story::text(&mut ansible(desk, "sealock", &OF_THE_INVENTORY))?;
    // Without Ansible at hand, what it prints elsewhere does.
    let listed = format!("ansible-inventory -i hosts.ini --list | sealock {} -", OF_THE_INVENTORY[..7].join(" "));
    let same = story::text(&mut ansible(desk, "sh", &["-c", &listed]))?;
    ensure!(block == same, "the inventory's JSON comes to other hosts:\n{same}");
    let spec = desk.lab.root_of("station").join("root/site/cluster.yaml");
    let text = fs::read_to_string(&spec)? + &block;
    fs::write(&spec, text)?;
    Ok(())
}

fn password(desk: &Desk) -> Result<()> {
    let inventory = desk.lab.root_of("station").join("root/site/hosts.ini");
    let text = fs::read_to_string(&inventory)?;
    fs::write(&inventory, format!("{text}ansible_become_password={PASSWORD}\n"))?;
    let said = ["error[SPEC]", "cp1.plant-7.internal: ansible_become_password:", "--leave-out"];
    let refused = expect(&mut ansible(desk, "sealock", &OF_THE_INVENTORY), 3, &said);
    fs::write(&inventory, text)?;
    ensure!(!refused?.contains(PASSWORD), "the password was shown");
    Ok(())
}

fn damaged_bundle(desk: &Desk) -> Result<()> {
    let damage = "cp plant-7.tar damaged.tar && size=$(stat -c %s damaged.tar) && \
                  printf damage | dd of=damaged.tar bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null";
    story::text(&mut ansible(desk, "sh", &["-c", damage]))?;
    let said = ("DIGEST", "error[DIGEST]: damaged.tar was not imported\n  Caused by: content promised as");
    fails(desk, "bundle_import", &json!({"bundle": ["damaged.tar"]}), said)
}

fn import(desk: &Desk) -> Result<()> {
    let result = once(desk, "bundle_import", &json!({"bundle": ["plant-7.tar"]}))?;
    ensure!(result["release"] == 1 && result["stream"] == "base", "{result:#}");
    step(desk, "serve")
}

fn plan(desk: &Desk) -> Result<()> {
    changes(desk, "cluster_plan", &json!({"save": "plan.json"}), (&["--check"], false))?;
    let result = changes(desk, "cluster_plan", &json!({"save": "plan.json"}), (&[], true))?;
    ensure!(result["to_do"] == result["steps"] && result["hosts"] == 2, "{result:#}");
    changes(desk, "cluster_plan", &json!({"save": "plan.json"}), (&[], false)).map(drop)
}

fn apply(desk: &Desk) -> Result<()> {
    let result = once(desk, "cluster_apply", &json!({}))?;
    ensure!(result["steps_changed"].as_u64().is_some_and(|steps| steps > 0), "{result:#}");
    expect(&mut desk.station(&["cluster", "status"]), 0, &["cp1", "w1"]).map(drop)
}

fn stale_plan(desk: &Desk) -> Result<()> {
    fails(desk, "cluster_apply", &json!({"plan": "plan.json"}), ("STALE_PLAN", "error[STALE_PLAN]"))
}

fn app(desk: &Desk) -> Result<()> {
    let missing = task(desk, "app_apply", &json!({"spec": "missing.yaml"}), &[])?;
    let said = missing["msg"].as_str().unwrap_or_default();
    ensure!(said.starts_with("error: reading missing.yaml") && missing["kind"] == "failed", "{missing:#}");
    once(desk, "app_apply", &json!({})).map(drop)
}

fn drift(desk: &Desk) -> Result<()> {
    story::text(&mut desk.kubectl(&["scale", "-n", "demo", "deployment/podinfo", "--replicas=3"]))?;
    once(desk, "app_apply", &json!({})).map(drop)
}

/// The example that comes with the collection, after all that: in check mode, and done.
fn playbook(desk: &Desk) -> Result<()> {
    for more in [&["--check"][..], &[]] {
        let args = [&["-i", "hosts.ini", "sealock.sealock.site"], more].concat();
        expect(&mut ansible(desk, "ansible-playbook", &args), 0, &["ok=3", "changed=0", "failed=0"])?;
    }
    Ok(())
}
