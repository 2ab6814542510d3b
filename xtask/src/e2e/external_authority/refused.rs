//! What is not laid down, and what is not written.

use std::fs;

use anyhow::{Result, ensure};

use super::office::{entry, requests, sign};
use super::{APPLY, Signing};
use crate::e2e::expect;
use crate::story::{self, Desk};

/// Where a worker keeps what it asks for, and the key.
const ASKED: &str = "var/lib/sealock/node/requests/kubelet.conf.csr";
const KUBECONFIG: &str = "var/lib/sealock/node/requests/kubelet.conf";

/// Told by file, before a host is touched.
pub(super) fn signed_wrongly(desk: &Desk) -> Result<()> {
    super::sign_all(desk)?;
    let wrongly = |request: &str, signing: &Signing<'_>, said: &str| -> Result<()> {
        let one = entry(desk, request)?;
        sign(desk, &one, signing)?;
        let file = request.replace(".csr", ".crt");
        expect(&mut desk.station(APPLY), 3, &["error[SPEC]", &file, said])?;
        sign(desk, &one, &Signing::default())
    };
    let other = Signing { authority: "etcd", ..Signing::default() };
    wrongly("cp1/pki/apiserver.csr", &other, "Plant 7 kubernetes")?;
    wrongly("cp1/pki/apiserver.csr", &Signing { names: false, ..Signing::default() }, "subjectAltName")?;
    wrongly("cp1/pki/etcd/peer.csr", &Signing { usages: "serverAuth", ..Signing::default() }, "clientAuth")?;
    wrongly("w1/kubelet.conf.csr", &Signing { constraints: "CA:TRUE", ..Signing::default() }, "it may issue others")?;
    let ended = ["-days", "-1"];
    wrongly("cp1/admin.conf.csr", &Signing { dates: &ended, ..Signing::default() }, "it holds from")?;
    let (own, another) = (requests(desk).join("cp1/scheduler.conf.crt"), requests(desk).join("cp1/admin.conf.crt"));
    fs::copy(another, own)?;
    expect(&mut desk.station(APPLY), 3, &["error[SPEC]", "cp1/scheduler.conf.crt", "another key"])?;
    let look = "ls -d /etc/kubernetes/pki /etc/kubernetes/*.conf 2>/dev/null; true";
    let left = story::text(&mut desk.lab.exec("cp1", &["sh", "-c", look]))?;
    ensure!(left.trim().is_empty(), "something was laid down:\n{left}");
    Ok(())
}

/// Somebody on the worker wants to be an administrator.
pub(super) fn forged(desk: &Desk) -> Result<()> {
    let w1 = ["cluster", "certificates", "request", "--host", "w1", "--yes"];
    expect(&mut desk.station(&w1), 0, &["CN=system:node:w1"])?;
    let written = requests(desk).join("w1/kubelet.conf.csr");
    let before = fs::read(&written)?;
    // With the key that waits there, under the name that is its own: what it asks for beside that is seen by the station alone.
    let forge = format!(
        "cd /root && sed -n 's/.*client-key-data: //p' /{KUBECONFIG} | base64 -d > own.key && \
         openssl req -new -key own.key -subj '/O=system:masters/CN=system:node:w1' -out /{ASKED}"
    );
    story::text(&mut desk.lab.exec("w1", &["sh", "-c", &forge]))?;
    expect(&mut desk.station(&w1), 3, &["error[REQUEST]", "host w1 asks for", "system:masters"])?;
    ensure!(fs::read(&written)? == before, "what was forged was written");
    fs::remove_file(desk.lab.root_of("w1").join(ASKED))?;
    expect(&mut desk.station(&w1), 0, &["CN=system:node:w1"]).map(drop)
}

pub(super) fn replaced(desk: &Desk) -> Result<()> {
    let trust = ["cluster", "renew", "--authorities", "trust", "--yes"];
    expect(&mut desk.station(&trust), 3, &["error[SPEC]", "stay with your PKI"]).map(drop)
}
