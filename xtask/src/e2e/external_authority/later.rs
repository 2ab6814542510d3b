//! What comes after a while: another version, certificates that have ended.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::office::{for_seconds, sign_all, sign_all_until};
use super::{APPLY, REQUEST, is_nowhere, is_ready, nothing_is_left, serials};
use crate::e2e::upgrade::{NEXT, NOW, UPGRADE, next_bundle, versions, write_version};
use crate::e2e::{expect, until};
use crate::story::{self, Desk, proof};

const RENEW: &[&str] = &["cluster", "renew", "--yes"];
const RESCUE: &[&str] = &["cluster", "rescue", "--yes"];
/// Long enough for a renewal, with all looks at it.
const SHORT: Duration = Duration::from_secs(600);

/// kubeadm renews what it upgrades, where it has the keys. Here it goes on with what was signed. With one control plane: two are not upgraded.
pub(super) fn upgraded(desk: &Desk) -> Result<()> {
    next_bundle(desk)?;
    write_version(desk, NOW, NEXT)?;
    let before = serials(desk)?;
    expect(&mut desk.station(&UPGRADE), 0, &["cluster plant-7 runs Kubernetes v1.37.2"])?;
    ensure!(versions(desk)? == [NEXT; 2].join(" "), "not all are new: {}", versions(desk)?);
    ensure!(serials(desk)? == before, "a certificate is another one");
    is_nowhere(desk)?;
    nothing_is_left(desk)?;
    // The second control plane is to come yet.
    ["cp1", "w1"].iter().try_for_each(|node| proof::answers_on(desk, "cp1", node))
}

/// The machines were without power until all had ended: what to do is said, and the PKI signs once more.
pub(super) fn rescued(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(REQUEST), 0, &["cp1/pki/apiserver.csr"])?;
    let signed = Instant::now();
    sign_all_until(desk, &for_seconds(SHORT.as_secs())?)?;
    expect(&mut desk.station(RENEW), 0, &["serves new certificates"])?;
    for node in desk.nodes {
        desk.lab.kill_machine(node)?;
    }
    let rest = SHORT.saturating_sub(signed.elapsed()).as_secs();
    println!("      without power for {rest} s");
    until_ended(desk)?;
    for node in desk.nodes {
        desk.lab.boot_machine(node)?;
    }
    until("the hosts answer", || {
        Ok(expect(&mut desk.station(&["cluster", "certificates"]), 1, &["have ended"]).is_ok())
    })?;
    expect(&mut desk.station(RESCUE), 1, &["cluster certificates request"])?;
    expect(&mut desk.station(REQUEST), 0, &["cp1/pki/apiserver.csr", "cp2/pki/apiserver.csr", "w1/kubelet.conf.csr"])?;
    sign_all(desk)?;
    expect(&mut desk.station(RESCUE), 0, &["cluster plant-7 is back"])?;
    for node in desk.nodes {
        until("every node reports", || is_ready(desk, node))?;
    }
    is_nowhere(desk)?;
    nothing_is_left(desk)?;
    expect(&mut desk.station(APPLY), 0, &["nothing to do"])?;
    until("the application answers", || Ok(proof::application_answers(desk).is_ok()))
}

/// All were signed until the same moment; every machine here has the computer's clock.
fn until_ended(desk: &Desk) -> Result<()> {
    let file = desk.lab.root_of("cp1").join("etc/kubernetes/pki/apiserver.crt").display().to_string();
    let deadline = Instant::now() + SHORT + Duration::from_secs(60);
    loop {
        let mut look = Command::new("openssl");
        look.args(["x509", "-checkend", "0", "-noout", "-in", &file]);
        if !story::output(&mut look)?.status.success() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{file} still holds");
        std::thread::park_timeout(Duration::from_secs(5));
    }
}
