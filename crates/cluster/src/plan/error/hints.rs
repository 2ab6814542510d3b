//! What to do where there is no plan.

use std::collections::BTreeSet;

use super::PlanError;
use crate::plan::GateFailure;
use crate::spec::KubernetesVersion;

impl PlanError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Authorities(error) => error.hint(),
            Self::External(error) => error.hint(),
            Self::Custody(error) => error.hint(),
            Self::Member(error) => error.hint(),
            Self::NotInRelease(_) => {
                "import a bundle that carries it: outside, add it to sealock.yaml, lock, build, and carry the bundle in".into()
            }
            Self::Foreign { .. } => {
                "nothing of others is changed by an apply. A whole cluster that kubeadm made is taken over by `sealock cluster adopt`; else choose another host, or remove that cluster by its own means".into()
            }
            Self::NotAdoptable { begun: true, .. } | Self::AdoptionStuck { .. } => {
                "what was taken over before stays so, and nothing more was changed. Put right what is named, and run `sealock cluster adopt` again: with the spec and the release that it was begun with it goes on where it was. Or give those hosts back with `sealock cluster reset`".into()
            }
            Self::NotAdoptable { .. } => {
                "nothing was changed on any host. Write into the spec what the cluster is; what Sealock cannot take over, change in the cluster first, or bring a bundle that has it".into()
            }
            Self::NameTaken { is_this_one: true, .. } => {
                "it is Sealock's already: `sealock cluster apply` brings further hosts, and mends those that are not what they were".into()
            }
            Self::NameTaken { .. } => "give the hosts of that cluster back first (`sealock cluster reset`), or choose another name".into(),
            Self::Revoked(_) => {
                "no step was carried out. Import the publisher's newest bundle, and plan again with what takes its place; `sealock release show` marks what is revoked".into()
            }
            Self::Stale { .. } => "run `cluster plan` again and review what has changed".into(),
            Self::StillMember { host } => format!("take it out first: `sealock cluster remove {host} --lost`, and apply again"),
            Self::EtcdUnwell => "bring the members back that are down, or take out what is lost: `sealock cluster remove HOST --lost`".into(),
            Self::TwoMembers => "add a third control plane first, or take one out".into(),
            Self::OtherVersion { found, wanted, .. } => match (found.parse::<KubernetesVersion>(), wanted.parse()) {
                (Ok(runs), Ok(wanted)) if runs > wanted => format!("write `version: {runs}` into the spec"),
                _ => format!("`sealock cluster upgrade` leads to {wanted}, step by step"),
            },
            Self::AdoptionOpen => "finish it: `sealock cluster adopt`, or give the hosts that are taken over back with `sealock cluster reset`".into(),
            Self::RestoreOpen => "finish it: `sealock cluster restore`, or give the hosts back with `sealock cluster reset`".into(),
            Self::Occupied { .. } => {
                "give its hosts back first (`sealock cluster reset`), or write other hosts into the spec; workers that were in the cluster may stay".into()
            }
            Self::OtherBackup { what: "Kubernetes", found, .. } => format!("restore with `version: {found}` in the spec, and upgrade afterwards"),
            Self::OtherBackup { .. } => "use the backup of this cluster, or its own spec".into(),
            Self::UpgradeOpen { .. } => "finish it: `sealock cluster upgrade`; or take it back: `sealock cluster rollback`".into(),
            Self::NotOnlyAdded { .. } => {
                "take what else was changed out of the spec, or name those hosts, too; or carry all of it out: `sealock cluster apply`".into()
            }
            Self::WholeBegun => "finish it first: the same command without `--phase`".into(),
            Self::ComponentsOpen => {
                "finish it: `sealock cluster upgrade --components`; or take it back: `sealock cluster rollback`".into()
            }
            Self::OsPackagesOpen => {
                "finish it: `sealock cluster patch-os`. dpkg keeps nothing of what was there before, so there is no way back".into()
            }
            Self::OsPackagesAlone { wanted, .. } => {
                format!("`sealock cluster upgrade` leads to {wanted}; bring OS packages before it or after it")
            }
            Self::NoOsPackages { .. } => {
                "import a bundle that carries a set called after the system of the hosts, like `debian-12` or `ubuntu-24-04`: outside, name it in `spec.osPackages`".into()
            }
            Self::NoSuchPackage { .. } => {
                "outside, run `sealock lock` again with the list of what is installed on the hosts, and carry the bundle in".into()
            }
            Self::IndexLost { .. } => "`sealock store check` tells what else is missing; import the bundle again".into(),
            Self::AptRefuses { .. } => {
                "nothing was changed. Where packages would have to go for others, `--allow-removals` lets them; where apt lacks a dependency, outside, run `sealock lock` again with the list of what is installed on the hosts".into()
            }
            Self::DpkgRuns { .. } => "wait until it has ended, and run the command again".into(),
            Self::DpkgInterrupted { .. } => "finish it there: `dpkg --configure -a`, and plan again".into(),
            Self::NothingToTakeBack { .. } => {
                "two ways are left: forward, to a patch that mends it (`sealock cluster upgrade`; for components `release rollback` and `cluster upgrade --components`); or back to a backup from before, which loses all that was written since (`sealock cluster reset`, then `sealock cluster restore`)"
                    .into()
            }
            Self::NothingKept => {
                "finish it: `sealock cluster upgrade`, with `--components` where components were being brought".into()
            }
            Self::ObjectsLost { .. } => {
                "two ways are left: forward (`sealock cluster upgrade` goes on with the others); or back to a backup from before, which loses all that was written since (`sealock cluster reset`, then `sealock cluster restore`)"
                    .into()
            }
            Self::EtcdRaised { .. } => {
                "two ways are left: forward (mend what failed, and `sealock cluster upgrade`); or back to a backup from before, which loses all that was written since. etcd's own way back, which `sealock etcd downgrade` begins, is not part of a rollback"
                    .into()
            }
            Self::ComponentsAlone { runs, wanted } => format!(
                "write `version: {runs}` into the spec; or, where no components were begun, go to {wanted} by `sealock cluster upgrade` without `--components`: those of the release come along"
            ),
            Self::Downgrade { .. } => "write the version that runs into the spec".into(),
            Self::NotANode { .. } | Self::OtherSpec => {
                "take what else was changed out of the spec, finish the upgrade, and apply it then; or, where none was begun, apply it first with the version that runs".into()
            }
            Self::NothingEnded { .. } => "`sealock cluster renew` makes them anew before they end, and `cluster status` tells what else is wrong".into(),
            Self::NoCertificates { .. } => "run `sealock cluster apply` first".into(),
            Self::LastControlPlane { .. } => {
                "add another one first, or give all hosts back with `sealock cluster reset`".into()
            }
            Self::Gates(failures) => remedies(failures)?,
            _ => return None,
        })
    }
}

/// Each remedy once, in the order in which it is needed first.
fn remedies(failures: &[GateFailure]) -> Option<String> {
    let mut seen = BTreeSet::new();
    let remedies = failures.iter().map(|failure| failure.remedy.as_str()).filter(|remedy| seen.insert(*remedy));
    let remedies: Vec<&str> = remedies.collect();
    (!remedies.is_empty()).then(|| remedies.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Gate;

    #[test]
    fn every_remedy_is_told_and_none_twice() {
        let failure = |host: &str, gate, remedy: &str| GateFailure {
            host: host.into(),
            gate,
            problem: "it is not so".into(),
            remedy: remedy.into(),
        };
        let failures = vec![
            failure("cp1", Gate::Swap, "turn swap off"),
            failure("cp1", Gate::Disk, "make room"),
            failure("w1", Gate::Swap, "turn swap off"),
        ];
        assert_eq!(PlanError::Gates(failures).hint().as_deref(), Some("turn swap off; make room"));
        assert_eq!(PlanError::Gates(Vec::new()).hint(), None);
    }
}
