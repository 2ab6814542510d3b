//! containerd's configuration: what is in force, and what would be in its place.
//!
//! The containerd that runs is asked what it makes of its own configuration, and of Sealock's. Both answers are whole, with all that
//! nobody wrote, so that nothing becomes something else without having been told: what differs is refused by name, but for what Sealock
//! sets on every node.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::told::HostTold;
use super::{Change, Mismatch, mismatch};

/// Where containerd looks where nobody says.
const CONFIG: &str = "/etc/containerd/config.toml";
/// What Sealock sets on every node: where images come from, the image of sandboxes, and its own runc, in the version that is in use.
const SEALOCKS: [&str; 3] = [
    "plugins.io.containerd.cri.v1.images.registry.config_path",
    "plugins.io.containerd.cri.v1.images.pinned_images.sandbox",
    "plugins.io.containerd.cri.v1.runtime.containerd.runtimes.runc.options.BinaryName",
];
/// What containerd knows of registries.
const REGISTRY: [&str; 3] = ["plugins", "io.containerd.cri.v1.images", "registry"];
/// How and where it is written, and nothing of what it says.
const WRITING: [&str; 2] = ["version", "imports"];
/// Starts are told in whole seconds since the machine's own start, which is one of them, too.
const ROUNDED: u64 = 2;

/// One setting that is not the same on both sides.
struct Difference {
    path: Vec<String>,
    is: Option<Value>,
    ours: Option<Value>,
}

impl Difference {
    fn name(&self) -> String {
        self.path.join(".")
    }

    /// Who is asked for images, and with which credentials. They are told to nobody.
    fn is_registry(&self) -> bool {
        self.path.iter().map(String::as_str).take(REGISTRY.len()).eq(REGISTRY)
    }

    fn is_sealocks(&self) -> bool {
        SEALOCKS.contains(&self.name().as_str())
    }
}

/// The file that the containerd that was called by these words reads.
pub(crate) fn config_of(command: &str) -> String {
    let (config, _) = split(command);
    config.unwrap_or_else(|| CONFIG.to_owned())
}

/// Files that belong to the configuration `dump`: patterns of a shell.
pub(crate) fn imports_of(dump: &str) -> Vec<String> {
    let imports = read(dump).and_then(|dump| dump.get("imports")?.as_array().cloned()).unwrap_or_default();
    imports.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The runc that pods get by the configuration `dump`: of the handler whose runc becomes Sealock's, or of the default one where there is
/// none of that name. A name alone is looked for where containerd looks.
pub(crate) fn runc_of(dump: &str) -> String {
    let named = read(dump).and_then(|dump| {
        let runtime = dump.pointer("/plugins/io.containerd.cri.v1.runtime/containerd")?;
        let handlers = runtime.get("runtimes")?;
        let default = || handlers.get(runtime.get("default_runtime_name")?.as_str()?);
        let handler = handlers.get("runc").or_else(default)?;
        Some(handler.get("options")?.get("BinaryName")?.as_str()?.to_owned())
    });
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| "runc".to_owned())
}

/// What containerd has in use has to be what it finds when it is started anew, or pods would be lost to it.
pub(super) fn compare(name: &str, told: &HostTold) -> Vec<Mismatch> {
    if told.containerd.trim().is_empty() {
        let wanted = "it has to run as containerd.service";
        return vec![mismatch(name, "containerd", wanted, "not there under that name")];
    }
    let Some(differences) = differences(told) else {
        return vec![mismatch(name, "containerd's configuration", "it has to be understood", "no TOML")];
    };
    let wanted = "only its unit says so: write it into its configuration";
    let mut all: Vec<Mismatch> = split(&told.containerd_command)
        .1
        .into_iter()
        .map(|word| mismatch(name, "a flag of containerd", wanted, word))
        .collect();
    all.extend(written_since(&told.containerd_files).map(|path| {
        let wanted = "nobody knows what is in force: start containerd anew first";
        mismatch(name, "containerd's configuration", wanted, format_args!("written after its start ({path})"))
    }));
    let others = differences.iter().filter(|one| !one.is_sealocks());
    all.extend(others.map(|one| {
        let wanted = match &one.ours {
            _ if one.is_registry() => "nodes pull from the site's registry alone: take it out first".to_owned(),
            Some(ours) => format!("Sealock would write {}: see `overrides.containerd`", said(Some(ours))),
            None => "Sealock would write none of that name: see `overrides.containerd`".to_owned(),
        };
        mismatch(name, &format!("containerd's {}", one.name()), wanted, said(one.is.as_ref()))
    }));
    all
}

/// What becomes something else on this host, and is no obstacle.
pub(super) fn changes(told: &HostTold) -> Vec<Change> {
    let differences = differences(told).unwrap_or_default();
    let ours = differences.iter().filter(|one| one.is_sealocks());
    ours.map(|one| Change {
        field: format!("containerd's {}", one.name()),
        was: said(one.is.as_ref()),
        becomes: said(one.ours.as_ref()),
        hosts: Vec::new(),
    })
    .collect()
}

/// A patch of Sealock's configuration after which it is what is in force.
pub(super) fn patch(told: &HostTold) -> Value {
    let mut patch = json!({});
    let differences = differences(told).unwrap_or_default().into_iter();
    for one in differences.filter(|one| !one.is_sealocks() && !one.is_registry()) {
        set(&mut patch, &one.path, one.is.unwrap_or(Value::Null));
    }
    patch
}

/// Puts `value` where `path` leads in `tree`, and what is needed on the way.
fn set(tree: &mut Value, path: &[String], value: Value) {
    let mut place = tree;
    for name in path {
        place = &mut place[name];
    }
    *place = value;
}

fn differences(told: &HostTold) -> Option<Vec<Difference>> {
    let (is, ours) = (read(&told.containerd)?, read(&told.containerd_ours)?);
    let mut all = Vec::new();
    compare_trees(&mut Vec::new(), (&is, &ours), &mut all);
    all.retain(|one| !WRITING.contains(&one.name().as_str()));
    Some(all)
}

fn compare_trees(path: &mut Vec<String>, (is, ours): (&Value, &Value), all: &mut Vec<Difference>) {
    let (Value::Object(one), Value::Object(other)) = (is, ours) else {
        if is != ours {
            all.push(Difference { path: path.clone(), is: Some(is.clone()), ours: Some(ours.clone()) });
        }
        return;
    };
    let names: BTreeMap<&String, ()> = one.keys().chain(other.keys()).map(|name| (name, ())).collect();
    for name in names.into_keys() {
        path.push(name.clone());
        match (one.get(name), other.get(name)) {
            (Some(is), Some(ours)) => compare_trees(path, (is, ours), all),
            (is, ours) => all.push(Difference { path: path.clone(), is: is.cloned(), ours: ours.cloned() }),
        }
        path.pop();
    }
}

fn read(dump: &str) -> Option<Value> {
    toml::from_str(dump).ok()
}

/// A setting in a message.
fn said(value: Option<&Value>) -> String {
    match value {
        Some(Value::Object(_)) => "there".to_owned(),
        Some(value) => value.to_string(),
        None => "not set".to_owned(),
    }
}

/// The configuration that the words of a command name, and all else that they say.
fn split(command: &str) -> (Option<String>, Vec<String>) {
    let (mut config, mut others) = (None, Vec::new());
    let mut words = command.lines().skip(1).filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some(("--config" | "-config" | "-c" | "--c", path)) => config = Some(path.to_owned()),
            None if matches!(word, "--config" | "-config" | "-c" | "--c") => config = words.next().map(str::to_owned),
            _ => match others.last_mut().filter(|_| !word.starts_with('-')) {
                Some(flag) => *flag = format!("{flag} {word}"),
                None => others.push(word.to_owned()),
            },
        }
    }
    (config, others)
}

/// Files that were written after containerd was started.
fn written_since(files: &str) -> impl Iterator<Item = &str> {
    let lines = || files.lines().filter_map(|line| line.split_once(' '));
    let second = |text: &str| text.parse::<u64>().ok();
    let started = lines().find(|(what, _)| *what == "started").and_then(|(_, at)| second(at.trim()));
    lines().filter_map(move |(at, path)| (second(at)? > started? + ROUNDED).then_some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_containerd_is_what_it_was_called_with() {
        for (command, file) in [
            ("/usr/bin/containerd", CONFIG),
            ("/usr/bin/containerd\n--config\n/etc/c.toml\n--log-level\nwarn", "/etc/c.toml"),
            ("/usr/bin/containerd\n-c=/etc/c.toml", "/etc/c.toml"),
        ] {
            assert_eq!(config_of(command), file);
        }
        assert_eq!(split("containerd\n-c\n/etc/c.toml\n--root\n/data").1, ["--root /data"]);
    }

    #[test]
    fn the_runc_that_runs_is_the_one_of_the_handler_in_force() {
        let handler = |name: &str, runc: &str| {
            format!(
                "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{name}.options]\nBinaryName = '{runc}'\n"
            )
        };
        let default =
            "[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = 'hardened'\n".to_owned();
        let hardened = default + &handler("hardened", "/opt/hardened/runc");
        assert_eq!(runc_of(&hardened), "/opt/hardened/runc");
        assert_eq!(runc_of(&(hardened.clone() + &handler("runc", "/opt/runc/bin/runc"))), "/opt/runc/bin/runc");
        assert_eq!(runc_of(&(hardened + &handler("runc", ""))), "runc");
        assert_eq!(runc_of("version = 3\n"), "runc");
        assert_eq!(imports_of("imports = ['/etc/containerd/conf.d/*.toml']\n"), ["/etc/containerd/conf.d/*.toml"]);
    }

    #[test]
    fn a_file_that_was_written_after_the_start_is_named() {
        let files =
            "started 1000\n900 /etc/containerd/config.toml\n1002 /etc/a b.toml\n1003 /etc/containerd/conf.d/x.toml\n";
        assert_eq!(written_since(files).collect::<Vec<_>>(), ["/etc/containerd/conf.d/x.toml"]);
    }
}
