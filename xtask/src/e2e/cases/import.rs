//! Imports that happen twice, are cut off, run out of disk, or are meant for somebody else.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::bundle::store;
use crate::e2e::expect::expect;
use crate::story::{self, Desk};

/// A second import of the same bundle changes nothing.
pub fn twice(desk: &Desk) -> Result<()> {
    let state = "/var/lib/sealock";
    let before = store(desk, state)?;
    expect(&mut desk.station(&["import", "plant-7.tar"]), 0, &["already"])?;
    ensure!(store(desk, state)? == before, "the second import changed the store");
    Ok(())
}

/// An import that is killed again and again ends up whole.
pub fn killed(desk: &Desk) -> Result<()> {
    let state = fresh_site(desk, "killed", "plant-7", None)?;
    for blobs in [1, 8, 16] {
        let mut import = desk.station(&["--state-dir", &state, "import", "plant-7.tar"]);
        let mut import = import.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn()?;
        wait_for_blobs(desk, &state, blobs, &mut import)?;
        let kill =
            format!("for p in $(pgrep -xf 'sealock --state-dir {state} import plant-7.tar'); do kill -KILL $p; done");
        story::text(&mut desk.lab.exec("station", &["sh", "-c", &kill]))?;
        import.wait()?;
    }
    expect(&mut desk.station(&["--state-dir", &state, "import", "plant-7.tar"]), 0, &[])?;
    expect(&mut desk.station(&["--state-dir", &state, "release", "list"]), 0, &["1"])?;
    let compare = format!("diff -r /var/lib/sealock/store/blobs {state}/store/blobs && rm -rf {state}");
    story::text(&mut desk.lab.exec("station", &["sh", "-c", &compare])).map(drop)
}

/// Waits until the import has staged some blobs, or is over.
fn wait_for_blobs(desk: &Desk, state: &str, blobs: usize, import: &mut std::process::Child) -> Result<()> {
    let staging = desk.lab.root_of("station").join(state.trim_start_matches('/')).join("store/staging");
    let deadline = Instant::now() + Duration::from_secs(120);
    while import.try_wait()?.is_none() && count_files(&staging) < blobs {
        if Instant::now() > deadline {
            bail!("the import staged no {blobs} blobs in 120 s");
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
    Ok(())
}

fn count_files(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |entry: std::fs::DirEntry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 };
    entries.flatten().map(count).sum()
}

/// A full disk stops the import, says so, and leaves no release; with room the same command finishes.
pub fn disk_full(desk: &Desk) -> Result<()> {
    let state = fresh_site(desk, "full", "plant-7", Some("60m"))?;
    let outcome = expect(&mut desk.station(&["--state-dir", &state, "import", "plant-7.tar"]), 4, &["has room for"])
        .and_then(|_| expect(&mut desk.station(&["--state-dir", &state, "release", "list", "-o", "json"]), 0, &["[]"]))
        .and_then(|_| {
            story::text(&mut desk.lab.exec("station", &["mount", "-o", "remount,size=2g", &state]))?;
            expect(&mut desk.station(&["--state-dir", &state, "import", "plant-7.tar"]), 0, &[])
        });
    story::text(&mut desk.lab.exec("station", &["umount", &state]))?;
    outcome.map(drop)
}

/// A site that the bundle does not name refuses it.
pub fn another_site(desk: &Desk) -> Result<()> {
    let state = fresh_site(desk, "elsewhere", "plant-8", None)?;
    expect(&mut desk.station(&["--state-dir", &state, "import", "plant-7.tar"]), 3, &["error[AUDIENCE]", "plant-8"])?;
    remove(desk, &state)
}

/// A site that believes another publisher refuses it.
pub fn unknown_key(desk: &Desk) -> Result<()> {
    let other = desk.outside.join("other");
    std::fs::create_dir_all(&other)?;
    story::text(
        desk.packager(&["init", "other", "--site", "plant-7", "--unencrypted-keys"]).current_dir(&desk.outside),
    )?;
    desk.carry(&other.join("trust/root.json"), "station", "/root/site/other-root.json")?;
    let state = site(desk, "stranger", "plant-7", None)?;
    let root = std::fs::read(other.join("trust/root.json"))?;
    let fingerprint = story::outside::fingerprint_of(&root);
    let enroll = ["--state-dir", &state, "trust", "enroll", "other-root.json", "--fingerprint", &fingerprint];
    story::text(&mut desk.station(&enroll))?;
    expect(&mut desk.station(&["--state-dir", &state, "import", "plant-7.tar"]), 3, &["error["])?;
    remove(desk, &state)
}

/// A site that enrolled nobody refuses everything.
pub fn nobody_enrolled(desk: &Desk) -> Result<()> {
    let state = site(desk, "nobody", "plant-7", None)?;
    expect(&mut desk.station(&["--state-dir", &state, "import", "plant-7.tar"]), 3, &["error[NOT_ENROLLED]"])?;
    remove(desk, &state)
}

/// Another site's state beside the station's own, with the publisher enrolled.
pub fn fresh_site(desk: &Desk, name: &str, id: &str, size: Option<&str>) -> Result<String> {
    let state = site(desk, name, id, size)?;
    let fingerprint = story::outside::fingerprint(desk)?;
    let enroll =
        ["--state-dir", &state, "trust", "enroll", "root.json", "--stream", "base", "--fingerprint", &fingerprint];
    story::text(&mut desk.station(&enroll))?;
    Ok(state)
}

fn site(desk: &Desk, name: &str, id: &str, size: Option<&str>) -> Result<String> {
    let state = format!("/root/{name}");
    story::text(&mut desk.lab.exec("station", &["mkdir", "-p", &state]))?;
    if let Some(size) = size {
        story::text(
            &mut desk.lab.exec("station", &["mount", "-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", &state]),
        )?;
    }
    let spec = std::fs::read_to_string(desk.written("site.yaml"))?.replace("plant-7", id);
    std::fs::write(desk.lab.root_of("station").join(format!("root/site/{name}.yaml")), spec)?;
    let file = format!("{name}.yaml");
    story::text(&mut desk.station(&["--state-dir", &state, "site", "init", "-f", &file, "--unencrypted-keys"]))?;
    Ok(state)
}

pub fn remove(desk: &Desk, state: &str) -> Result<()> {
    story::text(&mut desk.lab.exec("station", &["rm", "-rf", state])).map(drop)
}
