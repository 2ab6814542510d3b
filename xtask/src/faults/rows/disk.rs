//! Disks that are full: where the journal stands, and where programs go.

use anyhow::{Result, ensure};

use super::{JOINER, again, shell, without_the_joiner};
use crate::e2e::cases::cluster::is_bare;
use crate::faults::applying::Applying;
use crate::faults::journal::{At, Since};
use crate::story::{Desk, output};

const FULL: &str = "No space left on device";

/// Puts what Sealock knows of the node onto a disk of its own that has no page left: dd ends with an error, as it is to.
const FILL: &str = "set -e
mkdir -p /var/lib/.kept && cp -a /var/lib/sealock/. /var/lib/.kept/
mount -t tmpfs -o size=1M,mode=0755 small /var/lib/sealock
cp -a /var/lib/.kept/. /var/lib/sealock/
dd if=/dev/zero of=/var/lib/sealock/fill bs=4k status=none 2>/dev/null || true";

/// Puts it back onto the disk it came from, as it is now.
const GIVE_BACK: &str = "set -e
if mountpoint -q /var/lib/sealock; then
  rm -f /var/lib/sealock/fill
  rm -rf /var/lib/.kept && mkdir /var/lib/.kept && cp -a /var/lib/sealock/. /var/lib/.kept/
  umount /var/lib/sealock
  rm -rf /var/lib/sealock && mv /var/lib/.kept /var/lib/sealock
fi";

/// No page is left for the fence, and then a few more each time: what cannot be written down is not begun.
pub(in crate::faults) fn journal(desk: &Desk) -> Result<()> {
    without_the_joiner(desk)?;
    shell(desk, JOINER, FILL)?;
    let outcome = page_by_page(desk);
    give_back_state(desk)?;
    outcome?;
    again(desk)
}

fn page_by_page(desk: &Desk) -> Result<()> {
    let since = Since::now_as_seen_in(desk, JOINER)?;
    Applying::begin(desk)?.fails(&["w1", FULL])?;
    is_bare(desk, JOINER)?;
    ensure!(since.records()?.is_empty(), "something was written where nothing fits");
    let mut stopped = Vec::new();
    for pages in [1, 2, 4] {
        shell(desk, JOINER, &format!("truncate -s -{} /var/lib/sealock/fill", 4096 * pages))?;
        let (code, said) = Applying::begin(desk)?.end()?;
        ensure!(code == 0 || said.contains(FULL), "apply ended with {code}, and does not say {FULL:?}:\n{said}");
        stopped.push(since.last()?);
        if code == 0 {
            break;
        }
        let begun = since.has(At::Intent("containerd/unit"))?;
        let runs = output(&mut desk.lab.exec(JOINER, &["systemctl", "is-active", "--quiet", "containerd.service"]))?;
        ensure!(begun || !runs.status.success(), "containerd runs, and the journal does not intend it");
    }
    println!("      with 1, 3 and 7 pages more it came to: {}", stopped.join(", "));
    Ok(())
}

/// What a row leaves if it fails in the middle is given back, too.
pub(in crate::faults) fn give_back_state(desk: &Desk) -> Result<()> {
    shell(desk, JOINER, GIVE_BACK).map(drop)
}

/// There is room for Sealock itself and the first programs, and not for the next.
pub(in crate::faults) fn programs(desk: &Desk) -> Result<()> {
    without_the_joiner(desk)?;
    let own = desk.lab.root_of("station").join("usr/local/bin/sealock").metadata()?.len();
    let room = own + (24 << 20);
    shell(desk, JOINER, &format!("mkdir -p /opt/sealock && mount -t tmpfs -o size={room} small /opt/sealock"))?;
    let told = Applying::begin(desk)?.fails(&["w1", "/opt/sealock/", FULL]);
    let links = shell(
        desk,
        JOINER,
        "find /usr/local/bin /usr/bin /opt/cni -lname '/opt/sealock/*' ! -exec test -e {} \\; -print 2>/dev/null; true",
    );
    shell(desk, JOINER, "umount /opt/sealock")?;
    told?;
    let dangling = links?;
    ensure!(dangling.trim().is_empty(), "links to programs that are not there:\n{dangling}");
    again(desk)
}
