//! Locking and building where something is wrong, or is cut off.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::e2e::expect::expect;
use crate::story::{self, Desk};

/// The same lock makes the same payload, and `lock --check` agrees with the lock.
pub fn reproducible(desk: &Desk) -> Result<()> {
    expect(&mut desk.packager(&["lock", "--check"]), 0, &[])?;
    build(desk, "again.tar")?;
    let same = manifest(desk, "again.tar")? == manifest(desk, "plant-7.tar")?;
    fs::remove_file(desk.outside.join("again.tar"))?;
    ensure!(same, "two builds from one lock have different manifests");
    Ok(())
}

/// A build that is killed goes on where it stopped.
pub fn killed(desk: &Desk) -> Result<()> {
    let mut build_command = desk.packager(&["build", "--to", "killed.tar", "--passphrase-file", "passphrase"]);
    let mut child = build_command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    wait_for_bytes(&desk.outside, "killed.tar.partial", 20_000_000, &mut child)?;
    child.kill()?;
    child.wait()?;
    ensure!(!desk.outside.join("killed.tar").exists(), "a killed build left something that looks finished");
    build(desk, "killed.tar")?;
    let same = manifest(desk, "killed.tar")? == manifest(desk, "plant-7.tar")?;
    fs::remove_file(desk.outside.join("killed.tar"))?;
    ensure!(same, "a resumed build has another manifest");
    Ok(())
}

fn wait_for_bytes(folder: &Path, prefix: &str, bytes: u64, child: &mut std::process::Child) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    while allocated(folder, prefix)? < bytes {
        ensure!(child.try_wait()?.is_none(), "the build was over before it could be killed");
        if Instant::now() > deadline {
            bail!("the build wrote no {bytes} bytes in 120 s");
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
    Ok(())
}

/// Bytes on disk of the files whose name starts with `prefix`: the partial bundle is sparse.
fn allocated(folder: &Path, prefix: &str) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            sum += entry.metadata().map_or(0, |metadata| metadata.blocks() * 512);
        }
    }
    Ok(sum)
}

/// A full disk stops the build with a sentence, and leaves nothing that looks finished.
pub fn build_on_a_full_disk(desk: &Desk) -> Result<()> {
    on_a_small_disk(desk, "30m", |disk| {
        let to = disk.join("full.tar");
        let to_text = to.to_string_lossy().into_owned();
        expect(&mut desk.packager(&["build", "--to", &to_text, "--passphrase-file", "passphrase"]), 4, &["space"])?;
        ensure!(!to.exists(), "a failed build left {}", to.display());
        Ok(())
    })
}

/// A full disk stops the lock with a sentence, and leaves no lock.
pub fn lock_on_a_full_disk(desk: &Desk) -> Result<()> {
    on_a_small_disk(desk, "20m", |disk| {
        let (lock, cache) = (disk.join("full.lock"), disk.join("cache"));
        let (lock_text, cache) = (lock.to_string_lossy().into_owned(), cache.to_string_lossy().into_owned());
        expect(&mut desk.packager(&["lock", "--lock", &lock_text, "--cache", &cache]), 4, &["space"])?;
        ensure!(!lock.exists(), "a failed lock left {}", lock.display());
        Ok(())
    })
}

fn on_a_small_disk(desk: &Desk, size: &str, run: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let disk = desk.outside.join("small-disk");
    fs::create_dir_all(&disk)?;
    let mount = ["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"];
    story::text(Command::new("mount").args(mount).arg(&disk))?;
    let outcome = run(&disk);
    story::text(Command::new("umount").arg(&disk))?;
    fs::remove_dir(&disk)?;
    outcome
}

/// A chart that does not render stops the lock, by its name and with helm's reason.
pub fn chart_does_not_render(desk: &Desk) -> Result<()> {
    changed_spec(desk, "values/podinfo.yaml", "values/broken.yaml", |desk, spec| {
        fs::write(
            desk.outside.join("values/broken.yaml"),
            "service: {type: [not, a, string]}\nreplicaCount: {a: b}\nui: 7\n",
        )?;
        expect(&mut desk.packager(&["lock", "-f", spec, "--lock", "broken.lock"]), 3, &["podinfo"])?;
        ensure!(!desk.outside.join("broken.lock").exists(), "a failed lock left a lock");
        Ok(())
    })
}

/// A misspelt field is answered with its place and the nearest name.
pub fn unknown_field(desk: &Desk) -> Result<()> {
    changed_spec(desk, "platforms:", "platfroms:", |desk, spec| {
        expect(
            &mut desk.packager(&["lock", "-f", spec, "--lock", "broken.lock"]),
            3,
            &["platfroms", "platforms", "line"],
        )
        .map(drop)
    })
}

/// An image that no upstream has stops the lock, and says where it was asked for.
pub fn missing_upstream_image(desk: &Desk) -> Result<()> {
    changed_spec(desk, "docker.io/library/debian-tools:12", "docker.io/library/debian-tools:99", |desk, spec| {
        expect(&mut desk.packager(&["lock", "-f", spec, "--lock", "broken.lock"]), 3, &["debian-tools:99"]).map(drop)
    })
}

fn changed_spec(desk: &Desk, from: &str, to: &str, run: impl FnOnce(&Desk, &str) -> Result<()>) -> Result<()> {
    let text = fs::read_to_string(desk.outside.join("sealock.yaml"))?;
    ensure!(text.contains(from), "the scenario's spec does not say {from:?}");
    let path: PathBuf = desk.outside.join("changed.yaml");
    fs::write(&path, text.replace(from, to))?;
    let outcome = run(desk, "changed.yaml");
    fs::remove_file(path)?;
    outcome
}

fn build(desk: &Desk, to: &str) -> Result<()> {
    story::text(&mut desk.packager(&["build", "--to", to, "--passphrase-file", "passphrase"])).map(drop)
}

fn manifest(desk: &Desk, bundle: &str) -> Result<String> {
    let inspected: Value = serde_json::from_str(&story::text(&mut desk.packager(&["inspect", bundle, "-o", "json"]))?)?;
    inspected["manifest"]["digest"]
        .as_str()
        .or_else(|| inspected["digest"].as_str())
        .map(str::to_owned)
        .ok_or_else(|| anyhow::anyhow!("inspect names no manifest digest: {inspected}"))
}
