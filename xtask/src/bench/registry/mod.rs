//! The registry beside its peers: the same content, the same requests, one run.
//!
//! Every server has one core, the load generator the other. Each row is measured several times, forwards and backwards through
//! the servers, so that what slows the machine down slows all of them.

mod content;
mod rows;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use self::content::{Image, TAG};
use self::rows::{Extent, Needs, Row};
use self::table::Table;
use super::load::{self, Load, Measured, SERVER_CORE};
use super::measure;
use super::sealock::Sealock;
use crate::registries::client::{Connector, blocking};
use crate::registries::{Kind, Options, Registry, upload};

/// Until a registry with 100,000 blobs answers after a kill.
const RESTART: Duration = Duration::from_secs(600);

/// How much is measured.
#[derive(Debug, clap::Args)]
pub struct Rows {
    /// Measure each row of the registry this often
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Only rows of the registry whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// A short look that proves nothing: one round, short rows, few tags, repositories and blobs
    #[arg(long)]
    quick: bool,
    /// How many blobs are pushed before the kill -9
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    blobs: usize,
}

impl Rows {
    fn extent(&self) -> Extent {
        if self.quick {
            Extent { tags: 100, repositories: 20, time: Duration::from_millis(200), push: 64_000_000 }
        } else {
            Extent { tags: 10_000, repositories: 5_000, time: Duration::from_secs(1), push: 160_000_000 }
        }
    }

    fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.max(1) }
    }

    fn blobs(&self) -> usize {
        if self.quick { self.blobs.min(500) } else { self.blobs }
    }
}

/// One server of the run.
struct Contestant {
    name: String,
    registry: Registry,
    pushes: bool,
    /// Resident bytes before anybody asked anything.
    idle: u64,
}

/// Measures every row, and prints the table.
pub fn run(root: &Path, cache: &Path, args: &Rows) -> Result<()> {
    if cfg!(debug_assertions) {
        return again_in_release(root);
    }
    let folder = cache.join("bench/registry");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let outcome = measure_all(root, &folder, args);
    std::fs::remove_dir_all(&folder)?;
    outcome
}

/// A load generator without optimisation would be what is measured.
fn again_in_release(root: &Path) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--release", "--package", "xtask", "--", "bench", "--registry"]);
    let words = std::env::args().skip_while(|word| word != "bench").skip(1).filter(|word| word != "--registry");
    let status = cargo.args(words).current_dir(root).status().context("cannot run cargo")?;
    ensure!(status.success(), "the bench ended with {status}");
    Ok(())
}

fn measure_all(root: &Path, folder: &Path, args: &Rows) -> Result<()> {
    let image = Image::make()?;
    let mut contestants = contestants(root, folder, &image)?;
    let extent = args.extent();
    for contestant in &contestants {
        fill(contestant, &image)?;
    }
    let mut table = Table::default();
    let mut filled = false;
    for row in rows::rows(&image, extent) {
        if args.only.as_ref().is_some_and(|text| !row.name.contains(text)) {
            continue;
        }
        if row.needs == Needs::Many && !filled {
            for contestant in &contestants {
                fill_with_many(contestant, extent)?;
            }
            filled = true;
        }
        measure_row(&row, &contestants, args.rounds(), &mut table)?;
    }
    if args.only.is_none() {
        beside_collectors(&contestants, &image, extent, &mut table)?;
        memory(&contestants, &mut table)?;
        restarts(&mut contestants, args.blobs(), &mut table)?;
    }
    table.print_notes();
    Ok(())
}

/// Everybody who serves, over TLS as we do; and those who can, without, beside.
fn contestants(root: &Path, folder: &Path, image: &Image) -> Result<Vec<Contestant>> {
    let files = folder.join("files");
    image.write(&files)?;
    let nginx = || Kind::Nginx { files: files.clone() };
    let site = site(root, folder, image)?;
    let ours = Kind::Sealock { program: site.program().to_path_buf(), state: Some(site.state()) };
    let kinds = [
        ("sealock, TLS", ours, true),
        ("distribution 3, TLS", Kind::Distribution, true),
        ("docker-registry, TLS", Kind::DockerRegistry, true),
        ("nginx files, TLS", nginx(), true),
        ("distribution 3, plain", Kind::Distribution, false),
        ("nginx files, plain", nginx(), false),
    ];
    let mut contestants = Vec::new();
    for (name, kind, tls) in kinds {
        let place: PathBuf = folder.join(name.replace([' ', ','], "-"));
        let options = Options { tls, core: Some(SERVER_CORE), ..Options::default() };
        let registry = Registry::start(root, kind, &place, options)?;
        let pushes =
            blocking(async { upload::takes_pushes(&mut Connector::new(&registry.endpoint)?.connect().await?).await })?;
        let idle = resident(registry.pid(), "VmRSS:")?;
        contestants.push(Contestant { name: name.to_owned(), registry, pushes, idle });
    }
    Ok(contestants)
}

/// A site that has imported the image, as sites get theirs.
fn site(root: &Path, folder: &Path, image: &Image) -> Result<Sealock> {
    let upstream = Registry::start(root, Kind::Distribution, &folder.join("upstream"), Options::default())?;
    blocking(async { image.push(&mut Connector::new(&upstream.endpoint)?.connect().await?, content::UPSTREAM).await })?;
    let site = Sealock::new(root, folder)?;
    site.prepare(&upstream.endpoint.address, &[TAG.to_owned()])?;
    site.build()?;
    site.import()?;
    Ok(site)
}

/// Gives the peers the image. Ours has it already.
fn fill(contestant: &Contestant, image: &Image) -> Result<()> {
    if !contestant.pushes || matches!(contestant.registry.kind, Kind::Sealock { .. }) {
        return Ok(());
    }
    blocking(async {
        let mut connection = Connector::new(&contestant.registry.endpoint)?.connect().await?;
        image.push(&mut connection, content::REPOSITORY).await
    })
    .with_context(|| format!("filling {}", contestant.name))
}

/// Gives everybody who takes pushes the many tags and repositories.
fn fill_with_many(contestant: &Contestant, extent: Extent) -> Result<()> {
    if !contestant.pushes {
        return Ok(());
    }
    blocking(async {
        let mut connection = Connector::new(&contestant.registry.endpoint)?.connect().await?;
        let tags: Vec<String> = (0..extent.tags).map(|number| format!("t{number}")).collect();
        content::push_small(&mut connection, content::TAGGED, &tags).await?;
        for number in 0..extent.repositories {
            content::push_small(&mut connection, &rows::repository(number), &[TAG.to_owned()]).await?;
        }
        Ok(())
    })
    .with_context(|| format!("filling {} with many", contestant.name))
}

/// The contestants that can do a row.
fn able<'a>(row: &Row, contestants: &'a [Contestant]) -> Vec<&'a Contestant> {
    contestants.iter().filter(|contestant| contestant.pushes || row.needs == Needs::Image).collect()
}

/// Forwards and backwards in turn: A B C, C B A, A B C, ...
fn measure_row(row: &Row, contestants: &[Contestant], rounds: usize, table: &mut Table) -> Result<()> {
    let able = able(row, contestants);
    let mut measured: Vec<Vec<Measured>> = able.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..able.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let outcome = load::measure(&able[index].registry, &row.load);
            measured[index].push(outcome.with_context(|| format!("{}: {}", able[index].name, row.name))?);
        }
    }
    table.row(row, &able.iter().map(|contestant| contestant.name.as_str()).collect::<Vec<_>>(), &measured);
    Ok(())
}

/// The tail of a pull while garbage is collected, and while blobs are read to find rotten ones.
fn beside_collectors(contestants: &[Contestant], image: &Image, extent: Extent, table: &mut Table) -> Result<()> {
    let all = rows::rows(image, extent);
    let pull = all.iter().find(|row| row.name.contains("GET by digest, c=16")).context("no row to measure")?;
    for contestant in contestants {
        let registry = &contestant.registry;
        for (what, command) in [("gc", registry.garbage_collector()), ("scrub", registry.scrubber())] {
            let Some(mut command) = command else {
                table.note(format!("{}: has no {what} that runs beside it", contestant.name));
                continue;
            };
            let idle = load::measure(registry, &pull.load)?;
            let busy = beside(registry, &pull.load, &mut command)?;
            table.beside(&contestant.name, what, &idle, &busy);
        }
    }
    Ok(())
}

/// Measures a load while `command` runs, again and again, on the server's core.
fn beside(registry: &Registry, load: &Load, command: &mut Command) -> Result<Measured> {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", &SERVER_CORE.to_string()]).arg(command.get_program()).args(command.get_args());
    pinned.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    pinned.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (done, stop) = std::sync::mpsc::channel::<()>();
    let collector = std::thread::spawn(move || -> Result<u64> {
        let mut runs = 0;
        // Ends when the other side is gone.
        while stop.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            let mut child: Child = pinned.spawn().context("cannot run the collector")?;
            let status = child.wait()?;
            ensure!(status.success(), "{pinned:?} ended with {status}");
            runs += 1;
        }
        Ok(runs)
    });
    let measured = load::measure(registry, load);
    drop(done);
    let runs = collector.join().map_err(|_| anyhow::anyhow!("the collector's thread panicked"))??;
    ensure!(runs > 0, "the collector never ran");
    measured
}

fn memory(contestants: &[Contestant], table: &mut Table) -> Result<()> {
    for contestant in contestants {
        let pid = contestant.registry.pid();
        table.memory(&contestant.name, contestant.idle, resident(pid, "VmHWM:")?, resident(pid, "VmRSS:")?);
    }
    Ok(())
}

/// Bytes of resident memory, by one of the lines of `/proc/PID/status`.
fn resident(pid: u32, line: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(measure::field(&status, line) * 1024)
}

/// How long until a server answers again after a kill: ours with many blobs in its log, the others, which read nothing at
/// their start, with what they have.
fn restarts(contestants: &mut [Contestant], blobs: usize, table: &mut Table) -> Result<()> {
    for contestant in contestants {
        let ours = matches!(contestant.registry.kind, Kind::Sealock { .. });
        let mut held = "what the rows left".to_owned();
        if ours && contestant.pushes {
            push_many(&contestant.registry, blobs)?;
            held = format!("{blobs} more blobs");
        }
        let took = contestant.registry.kill_and_restart(RESTART)?;
        table.restart(&contestant.name, &held, took);
    }
    Ok(())
}

fn push_many(registry: &Registry, blobs: usize) -> Result<()> {
    let job = load::Job::Push {
        repository: "bench.example/restart".to_owned(),
        form: upload::Form::Monolithic,
        piece: bytes::Bytes::new(),
        times: 0,
    };
    let load = Load { job, connections: 64, until: load::Until::Times(blobs as u64) };
    load::measure(registry, &load).map(drop)
}
