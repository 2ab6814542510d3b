//! `sealock etcd`: one file per command. Machines are mount namespaces with an `/etc`, `/opt`, `/usr/local/bin` and `/var/lib` of
//! their own, and etcd is the real one.

mod defrag;
mod info;
mod init;
mod join;
mod machine;
mod move_leader;
mod remove;
mod reset;
mod restore;
mod snapshot;
mod status;
