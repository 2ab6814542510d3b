//! Nodes that a restored cluster remembers, and that are no more.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::StepError;
use crate::host::Host;
use crate::step::kubeadm::{kubectl, unlimited_kubectl};
use crate::step::{Act, Probe};

const LIST: &str = r#"jsonpath={range .items[*]}{.metadata.name}{" "}{.metadata.creationTimestamp}{"\n"}{end}"#;
const TAKES: Duration = Duration::from_secs(120);

/// Takes out of the cluster what it remembers of nodes that went with the old machines: their pods are started elsewhere, and whoever
/// takes such a name may join. Runs on a control plane host.
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
        let output = host.run(&kubectl(["get", "nodes", "-o", LIST]))?;
        if output.status != 0 {
            return Ok(Probe::not_done(format!("the cluster does not say which nodes it has: {}", output.complaint())));
        }
        match self.stale(&output.stdout).first() {
            Some(node) => Ok(Probe::not_done(format!("{node} is no more, and the cluster remembers it"))),
            None => Ok(Probe::Done),
        }
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        let listed = kubectl(["get", "nodes", "-o", LIST]).must(host)?;
        for node in self.stale(&listed) {
            (context.progress)(&format!("forgetting node {node}"));
            unlimited_kubectl(["delete", "node", "--ignore-not-found", "--", &node]).timeout(TAKES).must(host)?;
        }
        Ok(())
    }

    /// A node comes back by joining.
    fn undo(&self, _: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        Ok(())
    }
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
}
