//! Programs that change on the disk after they were verified, and before they are used.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::{JOINER, again, joining};
use crate::faults::journal::At::Intent;
use crate::faults::journal::Since;
use crate::story::Desk;

/// A bit flips in one program, another one is cut short: whoever goes on finds both by their digests, and fetches them again.
pub(in crate::faults) fn programs(desk: &Desk) -> Result<()> {
    let (mut apply, since) = joining(desk)?;
    apply.kill_runner(desk, JOINER, &since, Intent("images"))?;
    apply.fails(&["ended without a result"])?;
    flip(&program(desk, "kubeadm")?)?;
    let kubelet = program(desk, "kubelet")?;
    let half = kubelet.metadata()?.len() / 2;
    OpenOptions::new().write(true).open(&kubelet)?.set_len(half)?;
    let since = Since::now(desk, JOINER)?;
    again(desk)?;
    for step in ["component/kubeadm", "component/kubelet"] {
        ensure!(since.has(Intent(step))?, "{step} was not done again, though its program was damaged");
    }
    ensure!(!since.has(Intent("component/runc"))?, "what was whole was done again");
    Ok(())
}

/// The file itself, on the joiner's disk.
fn program(desk: &Desk, name: &str) -> Result<PathBuf> {
    let folder = desk.lab.root_of(JOINER).join("opt/sealock").join(name);
    let mut versions = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    Ok(versions.next().with_context(|| format!("{} is empty", folder.display()))??.path().join(name))
}

pub(super) fn flip(path: &std::path::Path) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let middle = file.metadata()?.len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle)?;
    file.write_all_at(&[byte[0] ^ 1], middle).with_context(|| format!("cannot write {}", path.display()))
}
