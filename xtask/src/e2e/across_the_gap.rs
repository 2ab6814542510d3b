//! The main job, and what bad input gets: one control plane, one worker.

use anyhow::Result;

use super::cases::{access, app, bundle, cluster, gap, import, node, outside, running_site, serve};
use super::{Case, Scenario};
use crate::lab::Upstream;
use crate::story::{Desk, STEPS};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "across-the-gap",
    upstream: Upstream::One,
    is_long: false,
    nodes: &["cp1", "w1"],
    story: run_story,
    cases: CASES,
};

/// In this order: what only looks comes before what takes the cluster away.
const CASES: &[Case] = &[
    Case { name: "lock: unknown field", run: outside::unknown_field },
    Case { name: "lock: missing upstream image", run: outside::missing_upstream_image },
    Case { name: "lock: chart does not render", run: outside::chart_does_not_render },
    Case { name: "lock: full disk", run: outside::lock_on_a_full_disk },
    Case { name: "build: reproducible", run: outside::reproducible },
    Case { name: "build: killed and run again", run: outside::killed },
    Case { name: "build: full disk", run: outside::build_on_a_full_disk },
    Case { name: "bundle: read by tar and skopeo", run: bundle::read_by_others },
    Case { name: "bundle: truncated", run: bundle::truncated },
    Case { name: "bundle: a byte of the header flipped", run: bundle::flipped_in_the_header },
    Case { name: "bundle: a byte of the manifest flipped", run: bundle::flipped_in_the_manifest },
    Case { name: "bundle: a byte of a blob flipped", run: bundle::flipped_in_a_blob },
    Case { name: "bundle: trailing bytes", run: bundle::trailing_bytes },
    Case { name: "import: twice", run: import::twice },
    Case { name: "import: killed and run again", run: import::killed },
    Case { name: "import: full disk", run: import::disk_full },
    Case { name: "import: another site's", run: import::another_site },
    Case { name: "import: unknown key", run: import::unknown_key },
    Case { name: "import: nobody enrolled", run: import::nobody_enrolled },
    Case { name: "serve: port in use", run: serve::port_in_use },
    Case { name: "serve: stop and start", run: serve::stop_and_start },
    Case { name: "serve: metrics and access log", run: serve::observed },
    Case { name: "cluster: apply again", run: cluster::apply_again },
    Case { name: "cluster: drift is found, and repaired on request", run: cluster::drift },
    Case { name: "cluster: wrong host key", run: cluster::wrong_host_key },
    Case { name: "cluster: no sudo", run: cluster::no_sudo },
    Case { name: "cluster: unreachable host", run: cluster::unreachable },
    Case { name: "cluster: existing cluster", run: cluster::existing_cluster },
    Case { name: "cluster: drain", run: cluster::drain },
    Case { name: "serve: as a pod", run: serve::as_a_pod },
    Case { name: "registry: pods by their own accounts", run: access::by_service_account },
    Case { name: "app: image not in the release", run: app::image_not_in_the_release },
    Case { name: "app: not ready", run: app::not_ready },
    Case { name: "app: diff", run: app::diff },
    Case { name: "app: changed and rolled back", run: app::rollback },
    Case { name: "app: hooks", run: app::hooks },
    Case { name: "app: removed", run: app::removed },
    Case { name: "app: registry down while pods start", run: app::registry_down },
    Case { name: "station: a newer Sealock from a bundle", run: running_site::newer_sealock },
    Case { name: "trust: revoked on a live cluster", run: running_site::revoked },
    Case { name: "trust: a restored disk is told by a node", run: running_site::restored_disk },
    Case { name: "gap: a hole is seen", run: gap::hole },
    Case { name: "cluster: reset", run: cluster::reset },
    Case { name: "node: a machine by itself, from a stick", run: node::from_a_stick },
    Case { name: "cluster: swap on, small disk", run: cluster::unfit_hosts },
    Case { name: "cluster: apply interrupted and run again", run: cluster::interrupted_apply },
];

fn run_story(desk: &Desk) -> Result<()> {
    for step in STEPS {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    Ok(())
}
