//! `cargo xtask fuzz`: runs the fuzz targets, each for a while.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{repo, tools};

/// Target, and the files below `crates/` whose content seeds it.
const TARGETS: &[(&str, &[&str])] = &[
    ("json", &["trust/testdata"]),
    ("tuf", &[]),
    ("root", &["trust/testdata"]),
    ("dsse", &["trust/testdata"]),
    ("public_key", &["trust/testdata"]),
    ("key_uri", &[]),
    ("token_key", &[]),
    ("header", &["bundle/testdata"]),
    ("manifest", &["bundle/testdata"]),
    ("lock", &["bundle/testdata"]),
    ("spec", &["cli/src/commands/init"]),
    ("reference", &[]),
    ("journal", &[]),
];

/// Larger files teach a fuzzer nothing that smaller ones do not.
const LARGEST_SEED: u64 = 64 << 10;

/// What to fuzz, and for how long.
#[derive(Debug, clap::Args)]
pub struct FuzzArgs {
    /// Targets; all where none is named
    targets: Vec<String>,
    /// How long each runs, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Runs the selected targets one after the other; the first crash ends it.
pub fn command(args: &FuzzArgs) -> Result<()> {
    let root = repo::root()?;
    let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = args.targets.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no target {unknown:?}: {}", known.join(", "));
    }
    let cargo_fuzz = tools::cargo_fuzz(&root)?;
    for (name, seeds) in
        TARGETS.iter().filter(|(name, _)| args.targets.is_empty() || args.targets.iter().any(|t| t == name))
    {
        lay_out_seeds(&root, name, seeds)?;
        println!("==> {name}: {} s", args.seconds);
        let status = Command::new(&cargo_fuzz)
            // As cargo calls its subcommands.
            .args(["fuzz", "run", "--target", "x86_64-unknown-linux-gnu", name, "--"])
            .args([format!("-max_total_time={}", args.seconds), "-rss_limit_mb=2048".into(), "-timeout=20".into()])
            .args(["-print_final_stats=1", "-verbosity=0"])
            .current_dir(&root)
            .env("RUSTUP_TOOLCHAIN", "nightly")
            // The house builds static; a sanitizer's runtime is not.
            .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=-crt-static")
            .status()
            .context(
                "cargo fuzz cannot be started: it needs a nightly toolchain (`rustup toolchain install nightly`)",
            )?;
        ensure!(status.success(), "{name}: see fuzz/artifacts/{name}");
    }
    Ok(())
}

fn lay_out_seeds(root: &Path, target: &str, sources: &[&str]) -> Result<()> {
    let corpus = root.join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let mut seeds: Vec<Vec<u8>> = match target {
        "tuf" => metadata_sets(&root.join("crates/trust/testdata/attacks"))?,
        "reference" => {
            ["registry.k8s.io/pause:3.10", "localhost:5000/a/b@sha256:00", "ubuntu"].map(Into::into).to_vec()
        }
        "key_uri" => ["pkcs11:token=a;serial=1;slot-id=7;object=b;id=%01?module-path=/c&pin-source=file:/d"]
            .map(Into::into)
            .to_vec(),
        _ => Vec::new(),
    };
    for source in sources {
        collect(&root.join("crates").join(source), &mut seeds)?;
    }
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(corpus.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}

/// The metadata of every attack as the target `tuf` reads it: roots 1 to 3 and the three others, zero bytes between them.
fn metadata_sets(attacks: &Path) -> Result<Vec<Vec<u8>>> {
    let mut sets = Vec::new();
    for entry in fs::read_dir(attacks).with_context(|| format!("cannot list {}", attacks.display()))? {
        let folder = entry?.path().join("metadata");
        let names = ["1.root.json", "2.root.json", "3.root.json", "snapshot.json", "targets.json", "timestamp.json"];
        let files: Vec<Vec<u8>> = names.iter().map(|name| fs::read(folder.join(name)).unwrap_or_default()).collect();
        sets.push(files.join(&0));
    }
    Ok(sets)
}

fn collect(path: &Path, seeds: &mut Vec<Vec<u8>>) -> Result<()> {
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            collect(&path, seeds)?;
        } else if fs::metadata(&path)?.len() <= LARGEST_SEED {
            seeds.push(fs::read(&path)?);
        }
    }
    Ok(())
}
