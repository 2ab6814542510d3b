//! The containers of the cluster's own pods, as containerd knows them.

use serde_json::Value;

use crate::error::StepError;
use crate::host::{Command, Host};

/// The ids of the running containers called `name`, of pods in `kube-system`.
pub(crate) fn running(host: &dyn Host, name: &str) -> Result<Vec<String>, StepError> {
    let filter =
        format!("labels.\"io.kubernetes.container.name\"=={name},labels.\"io.kubernetes.pod.namespace\"==kube-system");
    let containers = ctr(["containers", "ls", "-q", &filter]).must(host)?;
    let tasks = ctr(["tasks", "ls"]).must(host)?;
    let is_running = |id: &&str| {
        tasks.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(id) && words.last() == Some("RUNNING")
        })
    };
    Ok(containers.split_whitespace().filter(is_running).map(ToOwned::to_owned).collect())
}

/// The image of a container, by the name that its pod gives it; nothing where it is gone.
pub(crate) fn image_of(host: &dyn Host, id: &str) -> Result<Option<String>, StepError> {
    let output = host.run(&ctr(["containers", "info", id]))?;
    let info: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
    Ok(info["Spec"]["annotations"]["io.kubernetes.cri.image-name"].as_str().map(ToOwned::to_owned))
}

/// `ctr` in the namespace of Kubernetes.
pub(crate) fn ctr<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    Command::new("ctr", ["--namespace", "k8s.io"].into_iter().chain(arguments))
}
