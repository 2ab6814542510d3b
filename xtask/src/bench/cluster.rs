//! A cluster made, and brought to the next version: by `sealock cluster`, and by hand with kubeadm alone, as its documentation says.
//!
//! Both begin on the same machines of a lab, with the same configuration, the same programs and the same images lying there, and end when
//! nodes and the control plane's pods are Ready. What brings all that is not counted, and neither is what takes a cluster away again.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::by_hand;
use crate::e2e::expect;
use crate::lab::{Lab, Upstream, become_root};
use crate::repo;
use crate::story::{self, Binaries, Desk, STEPS};

const LAB: &str = "bench";
const NODES: [&str; 3] = ["cp1", "w1", "w2"];
pub(super) const NOW: &str = "v1.36.3";
pub(super) const NEXT: &str = "v1.37.2";
const UPGRADE: [&str; 6] = ["cluster", "upgrade", "--yes", "--to", NEXT, "--delete-emptydir-data"];

/// What one way of doing something has taken.
struct Row {
    job: &'static str,
    way: &'static str,
    wall: f64,
    /// Processor time of the station and the nodes, all that runs in the cluster included.
    cpu: f64,
}

/// In a process of its own, for it becomes root, and the other rows do not.
pub(super) fn apart() -> Result<()> {
    super::apart("--cluster")
}

pub(super) fn run(rounds: u8) -> Result<()> {
    let lab = Lab::open(LAB)?.with_upstream(Upstream::WithNext);
    Binaries::optimised(&repo::root()?)?;
    story::prepare(&lab)?;
    become_root()?;
    lab.down()?;
    let outcome = measure(&lab, rounds);
    lab.down()?;
    print(&outcome?);
    Ok(())
}

fn measure(lab: &Lab, rounds: u8) -> Result<Vec<Row>> {
    lab.up(&NODES)?;
    let binaries = Binaries::optimised(&repo::root()?)?;
    let desk = Desk::laid_out(lab.clone(), "upgrade", &NODES, binaries)?;
    site(&desk)?;
    let mut rows = Vec::new();
    for _ in 0..rounds {
        rows.push(made(&desk)?);
        staged(&desk)?;
        rows.push(spent(&desk, ("upgrade", "sealock"), |desk| {
            story::run(&mut desk.station(&UPGRADE)).and_then(|()| run_as(desk, NEXT))
        })?);
        given_back(&desk)?;

        let configurations = prepared(&desk)?;
        rows.push(spent(&desk, ("make", "by hand"), |desk| by_hand::made(desk, &configurations))?);
        run_as(&desk, NOW)?;
        given_back(&desk)?;

        rows.push(made(&desk)?);
        staged(&desk)?;
        rows.push(spent(&desk, ("upgrade", "by hand"), by_hand::upgraded)?);
        run_as(&desk, NEXT)?;
        given_back(&desk)?;
    }
    Ok(rows)
}

/// A site that serves a release with both versions.
fn site(desk: &Desk) -> Result<()> {
    for step in STEPS.iter().take_while(|step| step.name != "cluster plan") {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
        if step.name == "init" {
            let spec = desk.outside.join("sealock.yaml");
            let text = fs::read_to_string(&spec)?;
            let both = text.replace(&format!("versions: [{NOW}]"), &format!("versions: [{NOW}, {NEXT}]"));
            ensure!(both != text, "the spec names no {NOW}");
            fs::write(spec, both)?;
        }
    }
    Ok(())
}

/// Hosts with all that kubeadm needs, and what each of them tells kubeadm.
fn prepared(desk: &Desk) -> Result<Vec<(String, String)>> {
    expect(&mut desk.station(&["cluster", "apply", "--phase", "prepare", "--yes"]), 0, &["are prepared"])?;
    let plan: Value = serde_json::from_str(&story::text(&mut desk.station(&["cluster", "plan", "-o", "json"]))?)?;
    let tasks = plan["tasks"].as_array().context("a plan without tasks")?;
    let of = |task: &Value| {
        let configuration = task["steps"].as_array()?.iter().find_map(|step| step["action"]["config"].as_str())?;
        Some((task["host"].as_str()?.to_owned(), configuration.to_owned()))
    };
    let all: Vec<_> = tasks.iter().filter_map(of).collect();
    ensure!(all.len() == NODES.len(), "the plan has {} configurations for kubeadm, not one for each host", all.len());
    Ok(all)
}

fn made(desk: &Desk) -> Result<Row> {
    prepared(desk)?;
    let row = spent(desk, ("make", "sealock"), |desk| story::run(&mut desk.station(&["cluster", "apply", "--yes"])))?;
    run_as(desk, NOW)?;
    Ok(row)
}

/// A cluster with an application, and on its hosts all that the next version needs.
fn staged(desk: &Desk) -> Result<()> {
    story::run(&mut desk.station(&["app", "apply"]))?;
    let stage = [&UPGRADE[..], &["--phase", "stage"]].concat();
    expect(&mut desk.station(&stage), 0, &["have what the upgrade"]).map(drop)
}

fn given_back(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["cluster", "reset", "--yes"]), 0, &[]).map(drop)
}

/// Every node is Ready and of this version.
fn run_as(desk: &Desk, version: &str) -> Result<()> {
    let look = r#"-o=jsonpath={range .items[*]}{.status.nodeInfo.kubeletVersion}={.status.conditions[?(@.type=="Ready")].status} {end}"#;
    let found = story::text(&mut desk.kubectl(&["get", "nodes", look]))?;
    ensure!(found.trim() == vec![format!("{version}=True"); NODES.len()].join(" "), "not all run {version}: {found}");
    Ok(())
}

fn spent(desk: &Desk, (job, way): (&'static str, &'static str), what: impl FnOnce(&Desk) -> Result<()>) -> Result<Row> {
    let used = || NODES.iter().chain(&["station"]).map(|machine| desk.lab.cpu_of(machine)).sum::<Result<f64>>();
    println!("--- {job}: {way}");
    let (begun, before) = (Instant::now(), used()?);
    what(desk)?;
    let row = Row { job, way, wall: begun.elapsed().as_secs_f64(), cpu: used()? - before };
    println!("      {:.1} s of processor time, in {:.1} s", row.cpu, row.wall);
    Ok(row)
}

fn print(rows: &[Row]) {
    println!("\na cluster of {} nodes, images and programs there before", NODES.len());
    println!("{:<8} {:<10} {:>8} {:>8}", "job", "way", "CPU s", "wall s");
    for Row { job, way, wall, cpu } in rows {
        println!("{job:<8} {way:<10} {cpu:>8.1} {wall:>8.1}");
    }
    for job in ["make", "upgrade"] {
        let mean = |way: &str, value: fn(&Row) -> f64| {
            let values: Vec<f64> = rows.iter().filter(|row| (row.job, row.way) == (job, way)).map(value).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let more = |value: fn(&Row) -> f64| (mean("sealock", value) / mean("by hand", value) - 1.0) * 100.0;
        println!("{job}: {:+.0} % processor time, {:+.0} % time", more(|row| row.cpu), more(|row| row.wall));
    }
}
