//! `cargo xtask bench`: build, import, volumes and repair beside the peers, in one run, on a corpus of
//! real layers; the plan for a thousand hosts, and what it takes to reach them; then the registry beside its peers.
//!
//! Ratios count, not seconds: machines differ and are shared. Processor seconds and bytes written come first.

mod by_hand;
mod cluster;
mod corpus;
mod deltas;
mod fan_out;
mod inspect;
mod load;
mod measure;
mod peers;
mod planner;
mod registry;
mod sealock;
mod volumes;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use self::corpus::Corpus;
use self::measure::Cost;
pub use self::measure::field;
use self::sealock::Sealock;
use crate::registries::{Kind, Options, Registry};
use crate::{repo, tools};

struct Row {
    job: &'static str,
    tool: &'static str,
    cost: Cost,
}

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Only the registry's rows
    #[arg(long)]
    registry: bool,
    /// Only the plan for a thousand hosts
    #[arg(long, conflicts_with = "registry")]
    planner: bool,
    /// Only the station's way to many hosts over SSH; needs root, as the lab does
    #[arg(long, conflicts_with_all = ["registry", "planner"])]
    fan_out: bool,
    /// To how many hosts
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(3..=10_000), requires = "fan_out")]
    hosts: u16,
    /// Only a cluster that is made and upgraded, beside kubeadm by hand; needs root, as the lab does
    #[arg(long, conflicts_with_all = ["registry", "planner", "fan_out"])]
    cluster: bool,
    /// How often
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..), requires = "cluster")]
    times: u8,
    #[command(flatten)]
    rows: registry::Rows,
}

/// Runs every row and prints the table.
pub fn command(args: &BenchArgs) -> Result<()> {
    let root = repo::root()?;
    if args.planner {
        return planner::run(&root);
    }
    if args.fan_out {
        return fan_out::run(&root, args.hosts);
    }
    if args.cluster {
        return cluster::run(args.times);
    }
    if !args.registry {
        archives(&root)?;
        planner::run(&root)?;
        fan_out::apart()?;
        cluster::apart()?;
    }
    registry::run(&root, &tools::cache()?, &args.rows)
}

/// Runs the rows behind `flag` in a process of their own.
fn apart(flag: &str) -> Result<()> {
    let this_program = std::env::current_exe().context("the path of this program")?;
    let status = Command::new(this_program).args(["bench", flag]).status().context("cannot run this program")?;
    ensure!(status.success(), "`bench {flag}` ended with {status}");
    Ok(())
}

fn archives(root: &Path) -> Result<()> {
    let cache = tools::cache()?;
    let corpus = corpus::ensure(&cache)?;
    println!("corpus: {} images, {:.2} GB", corpus.tags.len(), corpus.bytes as f64 / 1e9);
    let folder = cache.join("bench/run");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let rows = rows(root, &folder, &corpus);
    fs::remove_dir_all(&folder)?;
    print(&rows?, &corpus);
    deltas::run(root, &cache)
}

fn rows(root: &Path, folder: &Path, corpus: &Corpus) -> Result<Vec<Row>> {
    let crane = tools::part(root, "crane")?.join("crane");
    let start = |kind, name| Registry::start(root, kind, &folder.join(name), Options::default());
    let upstream = start(Kind::Distribution, "upstream")?;
    peers::skopeo_to_registry(&corpus.layout, corpus, &upstream)?;
    let ours = Sealock::new(root, folder)?;
    ours.prepare(&upstream.endpoint.address, &corpus.tags)?;
    let mut rows = Vec::new();
    let mut row = |job, tool, cost| rows.push(Row { job, tool, cost });
    row("build", "sealock build", ours.build()?);
    row("build", "skopeo copy to an OCI layout", peers::skopeo_to_layout(&upstream, corpus, &folder.join("layout"))?);
    drop(upstream);
    row("import", "sealock import", ours.import()?);
    row("import", "sealock import --in-place", ours.import_in_place()?);
    let target = start(Kind::Distribution, "distribution-skopeo")?;
    row("import", "skopeo copy to distribution 3", peers::skopeo_to_registry(&corpus.layout, corpus, &target)?);
    let target = start(Kind::Distribution, "distribution-crane")?;
    row("import", "crane push to distribution 3", peers::crane_to_registry(&crane, &corpus.layout, &target)?);
    let target = start(Kind::DockerRegistry, "docker-registry")?;
    row("import", "crane push to docker-registry", peers::crane_to_registry(&crane, &corpus.layout, &target)?);
    for (tool, cost) in inspect::ours(&ours)? {
        row("inspect", tool, cost);
    }
    row("inspect", "tar -t, the bundle as it is", inspect::tar(&ours.bundle())?);
    row("inspect", "skopeo inspect, the bundle as it is", inspect::skopeo(&ours.bundle())?);
    let (media, par2) = (folder.join("media"), folder.join("par2"));
    row("send", "sealock send, 10 % parity", volumes::send(&ours, &media)?);
    row("repair", "sealock repair, a volume lost", volumes::repair(&ours, &media)?);
    fs::create_dir_all(&par2)?;
    let bundle = par2.join("bench.tar");
    fs::rename(ours.bundle(), &bundle)?;
    row("send", "par2 create, 10 % parity", volumes::par2_create(&bundle)?);
    row("repair", "par2 repair, 20 blocks spoilt", volumes::par2_repair(&bundle)?);
    Ok(rows)
}

fn print(rows: &[Row], corpus: &Corpus) {
    println!(
        "\n{:<8} {:<32} {:>8} {:>8} {:>12} {:>10} {:>9}",
        "job", "tool", "CPU s", "wall s", "written/content", "read GB", "peak MiB"
    );
    for row in rows {
        let Cost { wall, cpu, read, written, peak } = row.cost;
        println!(
            "{:<8} {:<32} {cpu:>8.2} {wall:>8.2} {:>15.3} {:>10.2} {:>9}",
            row.job,
            row.tool,
            written as f64 / corpus.bytes as f64,
            read as f64 / 1e9,
            peak >> 20,
        );
    }
}
