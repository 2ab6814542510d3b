//! `cargo xtask soak`: push × mount × HEAD × delete × pull, while garbage is collected again and again.
//!
//! Each worker owns its repositories and so knows what they must hold; the blobs are few and all workers use the same ones, so
//! that what one lets go another takes up in the same moment. What is checked: a blob that was promised by a 200 or a 201 is
//! there until its manifest is; every byte of every pull; memory and descriptors of the server.

mod watch;
mod worker;
mod world;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::task::JoinSet;

use self::watch::Watch;
use self::worker::{Counts, Worker};
use self::world::World;
use crate::registries::client::{Connector, blocking};
use crate::registries::{Build, Kind, Options, Registry, upload};
use crate::repo;

/// Between the end of one collection and the next.
const PAUSE: Duration = Duration::from_millis(500);

/// For how long our server promises what it answers for: so short that collections delete while the soak runs, and longer
/// than a worker waits between an answer and what relies on it, but where the machine is very slow.
const LEASE: Duration = Duration::from_secs(10);

/// How long, how many, and against what.
#[derive(Debug, clap::Args)]
pub struct SoakArgs {
    /// How long; parts of minutes are taken
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Repeats the decisions of a run that printed it
    #[arg(long)]
    seed: Option<u64>,
    /// Workers, each with a connection and repositories of its own
    #[arg(long, default_value_t = 16)]
    workers: usize,
    /// Against distribution 3, whose collector is known to take what a push was promised: shows that the soak finds it
    #[arg(long)]
    peer: bool,
    /// No collector, which distribution 3 survives: shows that the soak blames nobody without cause
    #[arg(long)]
    no_gc: bool,
}

impl SoakArgs {
    /// Half a minute with few workers: whether it works at all.
    pub fn short() -> Self {
        Self { minutes: 0.5, seed: None, workers: 4, peer: false, no_gc: false }
    }
}

/// Runs the soak, and tells what was done and what was wrong.
///
/// # Errors
/// A broken promise, torn content, an unexpected answer, too much memory or too many descriptors. Where the peer's collector
/// runs, that nothing was wrong.
pub fn command(args: &SoakArgs) -> Result<()> {
    let outcome = soak(args);
    if !args.peer || args.no_gc {
        return outcome;
    }
    match outcome {
        Ok(()) => bail!("nothing was wrong with distribution 3, whose collector races with pushes: run it longer"),
        Err(found) => {
            println!("found, as it was to be:\n{found:#}");
            Ok(())
        }
    }
}

fn soak(args: &SoakArgs) -> Result<()> {
    let root = repo::root()?;
    let kind = if args.peer {
        Kind::Distribution
    } else {
        Kind::Sealock { program: Build::Debug.program(&root)?, state: None }
    };
    let seed = args.seed.unwrap_or_else(|| u64::from(std::process::id()) ^ now());
    println!("seed {seed}: `--seed {seed} --workers {}` repeats what each worker decides", args.workers);
    // Nobody asks who it is: hashing a password at each request would be what soaks.
    let options = Options { tls: true, lease: Some(LEASE), ..Options::default() };
    let registry = Registry::start(&root, kind, &root.join("target/soak"), options)?;
    ensure_pushes(&registry)?;
    let world = Arc::new(World::new(args.workers, Duration::from_secs_f64(args.minutes * 60.0)));
    let collector = (!args.no_gc).then(|| collect(&registry, world.clone())).transpose()?;
    let watch = Watch::start(registry.pid(), args.workers, world.clone());
    let outcome = blocking(work(&registry, &world, seed));
    world.stop();
    let collections = collector.map(|thread| thread.join().map_err(|_| anyhow!("the collector's thread panicked")));
    let collections = collections.transpose()?.transpose()?;
    let seen = watch.join()?;
    let counts = outcome.with_context(|| format!("seed {seed}: broken after {:.0} s", world.age().as_secs_f64()))?;
    println!("{counts}");
    println!("{}; collected {} times", seen?, collections.unwrap_or_default());
    ensure!(args.no_gc || collections > Some(0), "the collector never ended a run: nothing was shown");
    Ok(())
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn ensure_pushes(registry: &Registry) -> Result<()> {
    let takes =
        blocking(async { upload::takes_pushes(&mut Connector::new(&registry.endpoint)?.connect().await?).await })?;
    ensure!(takes, "this registry takes no pushes: there is nothing to soak");
    Ok(())
}

/// All workers, until the time is over or one of them finds something.
async fn work(registry: &Registry, world: &Arc<World>, seed: u64) -> Result<Counts> {
    let connector = Connector::new(&registry.endpoint)?;
    let mut workers = JoinSet::new();
    for number in 0..world.workers() {
        let worker = Worker::new(number, seed, world.clone(), connector.connect().await?);
        workers.spawn(worker.run());
    }
    let mut counts = Counts::default();
    let mut wrong = Vec::new();
    while let Some(ended) = workers.join_next().await {
        match ended? {
            Ok(done) => counts.add(&done),
            Err(error) => {
                world.stop();
                wrong.push(format!("{error:#}"));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(counts)
}

/// Runs the registry's collector again and again; answers how often.
fn collect(registry: &Registry, world: Arc<World>) -> Result<thread::JoinHandle<Result<u64>>> {
    let mut command: Command =
        registry.garbage_collector().context("this registry has no collector; --no-gc does without")?;
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok(thread::spawn(move || {
        let mut runs = 0;
        while !world.is_over() {
            let output = command.output().context("cannot run the collector")?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "the collector ended with {}: {said}", output.status);
            runs += 1;
            let until = Instant::now() + PAUSE;
            while Instant::now() < until && !world.is_over() {
                thread::park_timeout(Duration::from_millis(20));
            }
        }
        Ok(runs)
    }))
}
