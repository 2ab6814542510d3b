//! What the units of others say beside what Sealock's say in their place.
//!
//! Limits, shares of the machine and order are kept, in a drop-in of the same words. What starts programs or hands over an environment is
//! not carried over unseen: it is named, and whoever made the unit decides.

use std::collections::BTreeMap;

use super::told::HostTold;
use super::words::words;
use super::{Mismatch, mismatch};
use crate::render::units;

const CONTAINERD: &str = "containerd.service";
const KUBELET: &str = "kubelet.service";
/// By these a service is what Sealock's unit makes of it.
const SEALOCKS: &[&str] = &[
    "Delegate",
    "ExecReload",
    "ExecStart",
    "KillMode",
    "NotifyAccess",
    "Restart",
    "RestartSec",
    "StartLimitBurst",
    "StartLimitInterval",
    "TimeoutSec",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "Type",
];
/// By these a unit is shown, and kept from starting too often.
const SHOWN: &[&str] =
    &["Description", "Documentation", "SourcePath", "StartLimitBurst", "StartLimitInterval", "StartLimitIntervalSec"];
/// What a unit waits for, and goes with.
const ORDER: &[&str] =
    &["After", "Before", "BindsTo", "Conflicts", "PartOf", "Requires", "RequiresMountsFor", "Requisite", "Wants"];
/// Limits and shares, by how their names begin.
const LIMITS: &[&str] =
    &["CPU", "IO", "Limit", "Memory", "NUMA", "Nice", "OOM", "Slice", "StartupCPU", "Tasks", "UMask"];
/// Variables by which kubelet gets its flags, which are compared with those it runs with.
const FLAGS: [&str; 4] =
    ["KUBELET_KUBECONFIG_ARGS", "KUBELET_CONFIG_ARGS", "KUBELET_KUBEADM_ARGS", "KUBELET_EXTRA_ARGS"];
/// Where kubelet's variables come from. The last one is another place for the same, and Sealock's unit does not read it.
const FILES: [&str; 3] = ["/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet"];

/// One line of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Directive {
    section: String,
    key: String,
    value: String,
}

/// What becomes of a line when Sealock's unit takes the place of another.
enum Fate {
    /// Sealock's unit says what there is to say.
    Settled,
    /// It stays, in a drop-in.
    Kept,
    /// It would be lost: these words.
    Lost(Vec<String>),
}

/// Drop-ins by which what the units of `told` say goes on to hold, by unit.
pub(super) fn kept(told: &HostTold) -> BTreeMap<String, String> {
    units(told)
        .into_iter()
        .filter_map(|(unit, theirs, ours)| Some((unit.to_owned(), drop_in(unit, theirs, &ours)?)))
        .collect()
}

/// What would be lost.
pub(super) fn compare(name: &str, told: &HostTold) -> Vec<Mismatch> {
    let mut all = Vec::new();
    for (unit, theirs, ours) in units(told) {
        let wanted = match unit {
            KUBELET => "only its unit says so: take it out first; a variable goes into /etc/default/kubelet",
            _ => "only its unit says so: take it out first",
        };
        for directive in directives(theirs) {
            if let Fate::Lost(words) = fate(unit, &directive, &ours) {
                let field = format!("{} of {unit}", directive.key);
                all.extend(words.iter().map(|word| mismatch(name, &field, wanted, word)));
            }
        }
    }
    let variables = told.kubelet_variables.split_whitespace().filter(|variable| !FLAGS.contains(variable));
    all.extend(variables.map(|variable| {
        mismatch(name, "a variable of kubelet in /etc/sysconfig/kubelet", "put it into /etc/default/kubelet", variable)
    }));
    all
}

/// The name of each unit, what it says, and what Sealock's says in its place.
fn units(told: &HostTold) -> [(&'static str, &str, Vec<Directive>); 2] {
    let kubelet = format!("{}\n{}", units::KUBELET, units::KUBEADM_DROP_IN);
    [
        (CONTAINERD, &told.containerd_unit, directives(units::CONTAINERD)),
        (KUBELET, &told.kubelet_unit, directives(&kubelet)),
    ]
}

fn drop_in(unit: &str, theirs: &str, ours: &[Directive]) -> Option<String> {
    let kept: Vec<Directive> =
        directives(theirs).into_iter().filter(|one| matches!(fate(unit, one, ours), Fate::Kept)).collect();
    let mut text = "# What this unit said before, and goes on to say.\n".to_owned();
    for section in ["Unit", "Service"] {
        let lines: Vec<String> = kept
            .iter()
            .filter(|one| one.section == section)
            .map(|Directive { key, value, .. }| format!("{key}={value}\n"))
            .collect();
        if !lines.is_empty() {
            text.push_str(&format!("[{section}]\n{}", lines.concat()));
        }
    }
    (!kept.is_empty()).then_some(text)
}

fn fate(unit: &str, directive: &Directive, ours: &[Directive]) -> Fate {
    let (key, value) = (directive.key.as_str(), directive.value.as_str());
    match directive.section.as_str() {
        _ if ours.contains(directive) => Fate::Settled,
        "Unit" if SHOWN.contains(&key) => Fate::Settled,
        "Unit" if ORDER.contains(&key) => Fate::Kept,
        "Service" if SEALOCKS.contains(&key) => Fate::Settled,
        "Service" if LIMITS.iter().any(|part| key.starts_with(part)) => Fate::Kept,
        // A step of the plan loads it.
        "Service" if key == "ExecStartPre" && value.ends_with("modprobe overlay") => Fate::Settled,
        "Service" if key == "Environment" => environment(unit, value),
        "Service" if key == "EnvironmentFile" && unit == KUBELET && FILES.contains(&value.trim_start_matches('-')) => {
            Fate::Settled
        }
        "Unit" | "Service" if !value.is_empty() => Fate::Lost(vec![value.to_owned()]),
        // What is installed, by which name, and what systemd does not read.
        _ => Fate::Settled,
    }
}

/// Variables are named without their values, which may be secrets.
fn environment(unit: &str, value: &str) -> Fate {
    let names = words(value).into_iter().map(|word| word.split('=').next().unwrap_or_default().to_owned());
    let lost: Vec<String> = names.filter(|name| unit != KUBELET || !FLAGS.contains(&name.as_str())).collect();
    if lost.is_empty() { Fate::Settled } else { Fate::Lost(lost) }
}

/// The lines of a unit with its drop-ins, in their order, as `systemctl cat` writes them.
fn directives(text: &str) -> Vec<Directive> {
    let (mut all, mut section, mut begun) = (Vec::new(), String::new(), String::new());
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(part) = line.strip_suffix('\\') {
            begun.push_str(part);
            begun.push(' ');
            continue;
        }
        let line = std::mem::take(&mut begun) + line;
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = line.split_once('=') {
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            all.push(Directive { section: section.clone(), key, value });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_A_DISTRIBUTION: &str = "# /usr/lib/systemd/system/containerd.service\n[Unit]\nDescription=containerd\n\
        After=network.target local-fs.target\nRequiresMountsFor=/data\n\n[Service]\nExecStartPre=-/sbin/modprobe overlay\n\
        ExecStart=/usr/bin/containerd\nType=notify\nDelegate=yes\nKillMode=process\nLimitNPROC=infinity\nLimitCORE=infinity\n\
        TasksMax=infinity\nOOMScoreAdjust=-999\n\n[Install]\nWantedBy=multi-user.target\n";

    #[test]
    fn limits_and_order_are_kept_in_the_same_words() {
        let told = HostTold { containerd_unit: OF_A_DISTRIBUTION.into(), ..HostTold::default() };
        assert!(compare("w1", &told).is_empty());
        let kept = kept(&told);
        assert_eq!(
            kept["containerd.service"],
            "# What this unit said before, and goes on to say.\n[Unit]\nRequiresMountsFor=/data\n[Service]\n\
             LimitNPROC=infinity\nLimitCORE=infinity\nOOMScoreAdjust=-999\n"
        );
        // Looked at once more, when Sealock's unit and the drop-in stand there.
        let unit = format!("{}{}", units::CONTAINERD, kept["containerd.service"]);
        assert_eq!(super::kept(&HostTold { containerd_unit: unit, ..told }), kept);
    }

    #[test]
    fn what_starts_programs_or_hands_over_variables_is_named_without_values() {
        let unit = OF_A_DISTRIBUTION.to_owned()
            + "[Service]\nEnvironment=\"TOKEN=secret word\" \\\n  HTTP_PROXY=http://proxy:3128\nExecStartPost=/usr/bin/tell\n";
        let kubelet = "[Service]\nEnvironment=\"KUBELET_EXTRA_ARGS=--v=2\"\nEnvironmentFile=-/etc/sysconfig/kubelet\n\
            Environment=GODEBUG=x\nEnvironmentFile=/etc/kubelet.env\nCPUAccounting=true\n";
        let told = HostTold {
            containerd_unit: unit,
            kubelet_unit: kubelet.into(),
            kubelet_variables: "KUBELET_EXTRA_ARGS\nGOGC\n".into(),
            ..HostTold::default()
        };
        let found: Vec<String> =
            compare("w1", &told).iter().map(|one| format!("{} {}", one.field, one.found)).collect();
        assert_eq!(
            found,
            [
                "Environment of containerd.service TOKEN",
                "Environment of containerd.service HTTP_PROXY",
                "ExecStartPost of containerd.service /usr/bin/tell",
                "Environment of kubelet.service GODEBUG",
                "EnvironmentFile of kubelet.service /etc/kubelet.env",
                "a variable of kubelet in /etc/sysconfig/kubelet GOGC",
            ]
        );
        assert!(kept(&told)["kubelet.service"].ends_with("[Service]\nCPUAccounting=true\n"));
    }
}
