//! How kubelet is called on a host, and by which configuration.

use super::told::HostTold;
use super::words::{variable, words};
use super::{Mismatch, mismatch};

/// How kubelet is called on every node of kubeadm.
const CALLED: [&str; 3] = [
    "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
    "--kubeconfig=/etc/kubernetes/kubelet.conf",
    "--config=/var/lib/kubelet/config.yaml",
];

/// A flag that nothing says but a unit of others would be lost; one that came to be written since kubelet was started would come into force.
pub(super) fn compare(name: &str, told: &HostTold) -> Vec<Mismatch> {
    if told.kubelet.trim().is_empty() {
        return vec![mismatch(name, "kubelet", "it has to run as kubelet.service", "not there under that name")];
    }
    let stay = ["KUBELET_KUBEADM_ARGS", "KUBELET_EXTRA_ARGS"];
    let stay = stay.iter().filter_map(|name| variable(&told.kubelet_flags, name));
    let mut stay: Vec<String> = stay.flat_map(|value| words(&value)).collect();
    let mut lost = Vec::new();
    for word in told.kubelet.lines().map(str::trim).skip(1).filter(|word| !word.is_empty()) {
        match stay.iter().position(|one| one == word) {
            Some(at) => drop(stay.remove(at)),
            None if CALLED.contains(&word) => {}
            None => lost.push(word),
        }
    }
    let wanted = "only its unit says so: put it into KUBELET_EXTRA_ARGS in /etc/default/kubelet";
    let mut all: Vec<Mismatch> = lost.iter().map(|word| mismatch(name, "a flag of kubelet", wanted, word)).collect();
    let wanted = "kubelet runs without it, and would get it: start it anew first, or take it out";
    all.extend(stay.iter().map(|word| mismatch(name, "a flag that is written for kubelet", wanted, word)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(runs: &str, written: &str) -> Vec<String> {
        let (kubelet, kubelet_flags) = (format!("/usr/bin/kubelet\n{runs}"), written.to_owned());
        let told = HostTold { kubelet, kubelet_flags, ..HostTold::default() };
        compare("w1", &told).iter().map(|one| format!("{}: {}", one.field, one.found)).collect()
    }

    /// Part of another flag is not that flag.
    #[test]
    fn a_flag_stays_only_where_the_very_flag_is_written() {
        let written = "KUBELET_KUBEADM_ARGS=\"--node-ip=10.77.0.11 --max-pods=2500\"\nOTHER=--v=4\n";
        assert_eq!(found("--node-ip=10.77.0.11\n--max-pods=2500\n", written), [""; 0]);
        assert_eq!(
            found("--node-ip=10.77.0.1\n--max-pods=250\n--v=4\n", written),
            [
                "a flag of kubelet: --node-ip=10.77.0.1",
                "a flag of kubelet: --max-pods=250",
                "a flag of kubelet: --v=4",
                "a flag that is written for kubelet: --node-ip=10.77.0.11",
                "a flag that is written for kubelet: --max-pods=2500",
            ]
        );
    }

    #[test]
    fn flags_of_both_files_stay() {
        let written =
            "KUBELET_KUBEADM_ARGS=--a\nKUBELET_EXTRA_ARGS=\"--b='c d' --config=/var/lib/kubelet/config.yaml\"\n";
        let config = "--config=/var/lib/kubelet/config.yaml";
        assert_eq!(found(&format!("{config}\n--a\n--b=c d\n{config}\n"), written), [""; 0]);
    }
}
