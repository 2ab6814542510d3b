//! Nodes that a restored cluster remembers, and that are no more.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::Context;
use crate::error::StepError;
use crate::host::{Command, Host};
use crate::step::kubeadm::{OWN_API, kubectl, unlimited_kubectl};
use crate::step::{Act, Probe};
use crate::wait;

const LIST: &str = r#"jsonpath={range .items[*]}{.metadata.name}{" "}{.metadata.creationTimestamp}{"\n"}{end}"#;
/// kubectl itself says no revision of a list.
const NODES: &str = "/api/v1/nodes?limit=1";
const TAKES: Duration = Duration::from_secs(120);
/// Which API servers there are, each by a name of its own since it started.
const SERVERS: [&str; 8] = [
    "get",
    "leases",
    "-n",
    "kube-system",
    "-l",
    "apiserver.kubernetes.io/identity=kube-apiserver",
    "-o",
    r#"jsonpath={range .items[*]}{.spec.holderIdentity}{"\n"}{end}"#,
];
/// A load balancer may lead here and elsewhere by turns.
const IN_A_ROW: usize = 3;
/// Until a load balancer has found this API server.
const FOUND: Duration = Duration::from_secs(240);

/// Takes out of the cluster what it remembers of nodes that went with the old machines: their pods are started elsewhere, and whoever
/// takes such a name may join. Runs on a control plane host, and speaks to that host's own API server: the endpoint may still lead to a
/// control plane that was thought to be lost. Then nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StaleNodes {
    /// Only nodes from before this time are meant: what joins later stays.
    pub before: Timestamp,
    /// Nodes whose machines are still there.
    pub stay: Vec<String>,
}

impl fmt::Display for StaleNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "forget the nodes from before {} that are no more", self.before)
    }
}

impl Act for StaleNodes {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        let output = host.run(&own(["get", "nodes", "-o", LIST]))?;
        if output.status != 0 {
            return Ok(Probe::not_done(format!("the cluster does not say which nodes it has: {}", output.complaint())));
        }
        match self.stale(&output.stdout).first() {
            Some(node) => Ok(Probe::not_done(format!("{node} is no more, and the cluster remembers it"))),
            None => Ok(strays(host)?.map_or(Probe::Done, |said| Probe::not_done(format!("the endpoint: {said}")))),
        }
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        check_endpoint(host, context)?;
        let listed = own(["get", "nodes", "-o", LIST]).must(host)?;
        for node in self.stale(&listed) {
            (context.progress)(&format!("forgetting node {node}"));
            let delete = ["delete", "node", "--ignore-not-found", "--", &node];
            unlimited_kubectl(OWN_API.into_iter().chain(delete)).timeout(TAKES).must(host)?;
        }
        Ok(())
    }

    /// A node comes back by joining.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
}

fn own<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    kubectl(OWN_API.into_iter().chain(args))
}

/// Waits until the endpoint leads to this control plane, and not to one of before that was thought to be lost.
fn check_endpoint(host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
    (context.progress)("looking whether the endpoint leads here");
    let (mut in_a_row, mut said) = (0, String::new());
    let found = wait::until(FOUND, Duration::from_secs(1), || {
        match strays(host)? {
            None => in_a_row += 1,
            Some(where_to) => (in_a_row, said) = (0, where_to),
        }
        Ok::<_, StepError>((in_a_row == IN_A_ROW).then_some(()))
    })?;
    let because = || format!("the endpoint does not lead to this control plane, but perhaps to one of before: {said}");
    found.ok_or_else(|| StepError::NotHeld { because: because() })
}

/// Where the endpoint leads instead of here. A restore raises the revision by far more than the cluster of before has ever come to, and
/// each API server that starts takes a name that no other had.
fn strays(host: &dyn Host) -> Result<Option<String>, StepError> {
    let here = revision(&own(["get", "--raw", NODES]).must(host)?);
    let names = own(SERVERS).must(host)?;
    let output = host.run(&kubectl(["get", "--raw", NODES]))?;
    if output.status != 0 {
        return Ok(Some(output.complaint()));
    }
    let there = revision(&output.stdout);
    if here == 0 || there < here {
        return Ok(Some(format!("it is at revision {there}, and this one at {here}")));
    }
    let output = host.run(&kubectl(SERVERS))?;
    let is_same = output.status == 0 && output.stdout == names;
    Ok((!is_same).then(|| "other API servers answer there".to_owned()))
}

/// etcd's revision, as a list of the API server names it; 0 where it names none.
fn revision(list: &str) -> u64 {
    let list: Value = serde_json::from_str(list).unwrap_or_default();
    list["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

impl StaleNodes {
    fn stale(&self, listed: &str) -> Vec<String> {
        let parse = |line: &str| {
            let (name, created) = line.split_once(' ')?;
            Some((name.to_owned(), created.trim().parse::<Timestamp>().ok()?))
        };
        let all = listed.lines().filter_map(parse);
        all.filter(|(name, created)| *created <= self.before && !self.stay.contains(name))
            .map(|(name, _)| name)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_joined_since_or_stayed_is_not_stale() {
        let step = StaleNodes { before: "2026-11-26T10:00:00Z".parse().unwrap(), stay: vec!["w1".into()] };
        let listed = "cp1 2026-11-20T10:00:00Z\nw1 2026-11-20T10:05:00Z\nw2 2026-11-26T10:00:00Z\nw3 2026-11-26T10:00:01Z\n\nodd\n";
        assert_eq!(step.stale(listed), ["cp1", "w2"]);
    }

    #[test]
    fn a_list_says_how_far_its_etcd_has_come() {
        assert_eq!(
            revision(r#"{"kind":"NodeList","metadata":{"resourceVersion":"1000000042","continue":"x"},"items":[]}"#),
            1_000_000_042
        );
        assert_eq!(revision("Unable to connect to the server"), 0);
    }
}
