//! Carries plans out over SSH. The only async part beside [`crate::apps`].
//!
//! SSH carries the binary, the node's part of the plan, the site root and the signed release. The steps run in a
//! transient systemd unit that writes what happens to a file; the operator follows that file, and follows it again after
//! a lost connection. Nothing on the node depends on the connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

mod backup;
mod connection;
mod deliver;
mod error;
mod etcd;
mod events;
mod gap;
mod host_key;
#[cfg(test)]
mod local;
mod mint;
mod observe;
mod os_packages;
mod pool;
mod remote;
mod restart;
mod run;
mod running;
mod schedule;
mod spare;

pub use connection::Connection;
pub(crate) use connection::last_words;
pub use deliver::Binary;
pub(crate) use deliver::{forget_backups, leave_mirror, take_back, take_back_unclaimed};
pub use error::ExecuteError;
pub(crate) use etcd::{EtcdMember, EtcdMembers};
pub use gap::gap;
pub use observe::{assess, observe};
pub(crate) use os_packages::look_at_os_packages;
pub use remote::Kit;
pub(crate) use run::generation;
pub use run::{Execution, Progress, execute};
pub(crate) use running::tell;

use crate::spec::Host;

/// With how many hosts the station is busy at a time. Each costs it a process and three pipes while something is asked or carried out
/// there, and the registry its share: a thousand at once would end at the limit of open files.
const HOSTS_AT_ONCE: usize = 64;

/// How the station talks to hosts.
#[derive(Clone, Debug)]
pub struct SshSettings {
    /// Where sockets and known-hosts files are made: a short path, since a socket's is limited to about 100 characters.
    pub runtime_dir: PathBuf,
    /// The private key where the spec names none; else what ssh itself would take.
    pub identity_file: Option<PathBuf>,
    /// How long to try to connect.
    pub connect_timeout: Duration,
    /// How long to try again after a connection was lost.
    pub reconnect_timeout: Duration,
}

impl SshSettings {
    /// 10 seconds to connect, five minutes to connect again.
    pub fn new(runtime_dir: PathBuf) -> Self {
        Self {
            runtime_dir,
            identity_file: None,
            connect_timeout: Duration::from_secs(10),
            reconnect_timeout: Duration::from_secs(300),
        }
    }
}

/// What `asked` come to, in their order; so many at a time as the station bears. The first failure ends it.
pub(crate) async fn of_all<T, E>(
    asked: impl IntoIterator<Item = impl Future<Output = Result<T, E>>>,
) -> Result<Vec<T>, E> {
    stream::iter(asked).buffered(HOSTS_AT_ONCE).try_collect().await
}

/// As [`of_all`], where a failure is an answer like another.
pub(crate) async fn of_each<T>(asked: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    stream::iter(asked).buffered(HOSTS_AT_ONCE).collect().await
}

/// One connection to each of `hosts`, made at the same time.
///
/// # Errors
/// The first host that cannot be reached, with the reason.
pub async fn connect<'a>(
    hosts: impl IntoIterator<Item = &'a Host>,
    settings: &SshSettings,
) -> Result<Vec<Arc<Connection>>, ExecuteError> {
    let opened = hosts.into_iter().map(async |host| Connection::open(host, settings).await.map(Arc::new));
    of_all(opened).await
}

/// As [`connect`], with hosts that do not answer yet tried again, as long as a lost connection is: their machines may be coming up.
///
/// # Errors
/// The first host that cannot be reached in that time, with the reason.
pub(crate) async fn connect_patiently<'a>(
    hosts: impl IntoIterator<Item = &'a Host>,
    settings: &SshSettings,
) -> Result<Vec<Arc<Connection>>, ExecuteError> {
    let opened = hosts
        .into_iter()
        .map(async |host| Connection::open_within(host, settings, settings.reconnect_timeout).await.map(Arc::new));
    of_all(opened).await
}
