//! Integration tests of the node crate: real files below a temporary root, a real TLS registry on loopback, and a small
//! systemd, sysctl and ip in the place of the host's own.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod authorities;
mod backup;
mod clock;
mod component;
mod drained;
mod etcd;
mod external;
mod files;
mod formats;
mod keeps_running;
mod kubeadm;
mod kubelet_certificate;
mod local_proxy;
mod machine;
mod member;
mod node_ready;
mod os_packages;
mod plan_text;
mod pull;
mod registry;
mod renewal;
mod requests;
mod reset;
mod run;
mod stick;
mod supplied;
mod taken_back;
mod time_servers;
mod unit;
