//! What the station brings to every plan.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use sealock_node::request::Registry;
use sealock_store::Published;

use super::{Operator, OperatorError};
use crate::inventory::Inventory;
use crate::plan::{Intent, Plan};
use crate::spec::Cluster;

/// What a plan is made from beside the spec and the hosts; an [`Intent`] borrows it.
pub(super) struct Ground<'a> {
    release: &'a Published,
    registry: Registry,
    images: Vec<String>,
    pod_ranges: BTreeMap<String, Ipv4Net>,
    program: String,
}

impl Ground<'_> {
    /// What is to become of `cluster`; `speaker` spoke for it in a plan that is still open, and is empty where there is none.
    pub(super) fn intent<'a>(&'a self, cluster: &'a Cluster, speaker: &'a str) -> Intent<'a> {
        Intent {
            cluster,
            release: self.release,
            registry: &self.registry,
            kubernetes_images: &self.images,
            earlier_pod_ranges: &self.pod_ranges,
            earlier_speaker: speaker,
            program: &self.program,
            etcd_client: None,
            supplied: None,
            signed: None,
        }
    }
}

impl<'a> Operator<'a> {
    /// With the images that kubeadm asks for, where the plan brings any.
    pub(super) fn ground(&self, images: Vec<String>) -> Result<Ground<'a>, OperatorError> {
        Ok(Ground {
            release: self.release,
            registry: self.registry(),
            images,
            pod_ranges: self.earlier_pod_ranges()?,
            program: self.binary.path_there(),
        })
    }

    /// `fresh`, or the plan that was begun and differs from it in nothing but what the hosts were like; and which of the two it is.
    pub(super) fn taken_up(&self, fresh: Plan, inventory: &Inventory) -> Result<(Plan, bool), OperatorError> {
        match self.unfinished(&fresh)? {
            Some(open) => {
                open.check_resumable(inventory)?;
                Ok((open, true))
            }
            None => Ok((fresh, false)),
        }
    }
}
