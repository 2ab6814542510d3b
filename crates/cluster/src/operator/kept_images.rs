//! The images of before an upgrade, as hosts keep them: what is waited for on the way back. What a release has for that version of
//! Kubernetes may be others, and of a cluster that was taken over they are.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Operator;
use super::rollback::Begun;
use crate::execute::Connection;
use crate::spec::Host;

/// What of the cluster is kept on the host that speaks for it, and what each host keeps of itself (docs/formats/journal.md).
const OBJECTS: &str = "/var/lib/sealock/node/kept-objects.json";
const NODE: &str = "/var/lib/sealock/node/kept.json";
const ETCD: &str = "/etc/kubernetes/manifests/etcd.yaml";

#[derive(Deserialize)]
struct Objects {
    since: String,
    objects: Vec<Value>,
}

#[derive(Deserialize)]
struct Node {
    since: String,
    files: BTreeMap<String, Option<File>>,
}

#[derive(Deserialize)]
struct File {
    content: String,
}

impl Operator<'_> {
    /// Those of kube-proxy and CoreDNS where the host that spoke for the cluster keeps them, and that of etcd where `plane` does.
    pub(super) async fn kept_images(&self, begun: &Begun, plane: Option<&Host>) -> Vec<String> {
        let of = |name: &str| begun.connections.iter().find(|connection| connection.host() == name);
        let mut images = Vec::new();
        if let Some(text) = read(of(&begun.open.speaker).map(AsRef::as_ref), OBJECTS).await {
            images.extend(of_objects(&text, &begun.since));
        }
        let plane = plane.and_then(|plane| of(plane.name.as_str()));
        if let Some(text) = read(plane.map(AsRef::as_ref), NODE).await {
            images.extend(of_etcd(&text, &begun.since));
        }
        images
    }
}

/// Nothing where it is not there, or the host does not answer.
async fn read(host: Option<&Connection>, path: &str) -> Option<Vec<u8>> {
    host?.read_root_file(path).await.ok()
}

fn of_objects(text: &[u8], since: &str) -> Vec<String> {
    let kept = serde_json::from_slice::<Objects>(text).ok().filter(|kept| kept.since == since);
    let objects = kept.map(|kept| kept.objects).unwrap_or_default();
    let image = |object: &Value| {
        let image = object.pointer("/spec/template/spec/containers/0/image")?.as_str()?;
        Some(image.to_owned())
    };
    objects.iter().filter_map(image).collect()
}

fn of_etcd(text: &[u8], since: &str) -> Option<String> {
    let mut kept = serde_json::from_slice::<Node>(text).ok().filter(|kept| kept.since == since)?;
    let manifest = kept.files.remove(ETCD)??.content;
    let image = manifest.lines().find_map(|line| line.trim_start().strip_prefix("image: "))?;
    Some(image.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SINCE: &str = "v1.36.3 of release 1, plan 3f2a91c0d4e7";

    /// As of a cluster that was taken over, whose images have another registry's name.
    #[test]
    fn what_is_waited_for_is_what_was_kept() {
        let pods = |image: &str| json!({"template": {"spec": {"containers": [{"name": "x", "image": image}]}}});
        let objects = json!({"format": "node-kept-objects/1.0", "since": SINCE, "objects": [
            {"kind": "ConfigMap", "metadata": {"name": "kube-proxy"}},
            {"kind": "DaemonSet", "metadata": {"name": "kube-proxy"}, "spec": pods("harbor.plant-7/k8s/kube-proxy:v1.36.3")},
            {"kind": "Deployment", "metadata": {"name": "coredns"}, "spec": pods("harbor.plant-7/k8s/coredns:v1.14.0")},
        ]});
        let objects = objects.to_string();
        let images = of_objects(objects.as_bytes(), SINCE);
        assert_eq!(images, ["harbor.plant-7/k8s/kube-proxy:v1.36.3", "harbor.plant-7/k8s/coredns:v1.14.0"]);
        assert!(of_objects(objects.as_bytes(), "another one").is_empty() && of_objects(b"[]", SINCE).is_empty());
    }

    #[test]
    fn etcd_of_before_is_that_of_its_manifest() {
        let manifest = "spec:\n  containers:\n  - command:\n    - etcd\n    image: harbor.plant-7/etcd:3.5.26-0\n";
        let kept = |files: Value| {
            json!({"format": "node-kept/1.0", "since": SINCE, "files": files, "links": {}, "marks": {}}).to_string()
        };
        let plane = kept(json!({ETCD: {"mode": "0600", "content": manifest}, "/etc/x": null}));
        assert_eq!(of_etcd(plane.as_bytes(), SINCE).as_deref(), Some("harbor.plant-7/etcd:3.5.26-0"));
        assert_eq!(of_etcd(kept(json!({ETCD: null})).as_bytes(), SINCE), None);
        assert_eq!(of_etcd(plane.as_bytes(), "another one"), None);
    }
}
