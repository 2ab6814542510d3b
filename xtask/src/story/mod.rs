//! The main job, step by step: from a spec outside to a running application inside.
//!
//! The demo tells it; the end-to-end scenarios run it and then break things.

mod binaries;
mod desk;
pub mod inside;
pub mod outside;
pub mod proof;
mod teller;

pub use binaries::{Binaries, executable};
pub use desk::{Desk, copy};
pub use proof::report;
pub use teller::Teller;

use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use crate::lab::{Lab, become_root};
use crate::repo;

/// One step of the story.
pub struct Step {
    /// The command's name, or what it amounts to.
    pub name: &'static str,
    /// What it does, for a reader.
    pub what: &'static str,
    /// Does it.
    pub run: fn(&Desk) -> Result<()>,
}

/// The way from nothing to an application that runs.
pub const STEPS: &[Step] = &[
    Step { name: "init", what: "keys, trust root and a starter spec, outside", run: outside::init },
    Step {
        name: "lock",
        what: "every name becomes a digest; charts are rendered to find their images",
        run: outside::lock,
    },
    Step { name: "build", what: "each blob is pulled once, into one signed file", run: outside::build },
    Step { name: "carry", what: "the site kit and the bundle are carried to the station", run: outside::carry },
    Step { name: "site init", what: "the site gets its id, keys and registry certificate", run: inside::site_init },
    Step { name: "enroll", what: "the publisher's root is believed, by its fingerprint", run: inside::enroll },
    Step { name: "import", what: "verified while it streams, published by one rename", run: inside::import },
    Step { name: "serve", what: "the release becomes the site's registry", run: inside::serve },
    Step { name: "cluster plan", what: "what would be done to which host", run: inside::plan },
    Step {
        name: "cluster apply",
        what: "kubeadm, kubelet, containerd and etcd, from the release alone",
        run: inside::apply,
    },
    Step { name: "app apply", what: "a Helm chart and plain manifests, pinned to the release", run: inside::app },
    Step { name: "gap check", what: "every node and a pod try to get out", run: proof::gap },
    Step {
        name: "proof",
        what: "the application answers; every image came from the site registry",
        run: proof::images,
    },
];

/// All steps but the proofs at the end.
pub fn up_to_the_application(desk: &Desk) -> Result<()> {
    for step in STEPS.iter().filter(|step| step.name != "gap check" && step.name != "proof") {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    Ok(())
}

/// Builds all there is to build as the person who called, and goes on as root.
pub fn prepare(lab: &Lab) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        lab.build_parts()?;
        binaries::Binaries::build(&repo::root()?)?;
    }
    become_root()
}

/// Runs a command with its output on this terminal; its failure is ours.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    println!("      $ {shown}");
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}

/// Runs a command and keeps what it prints, whatever it ends with.
pub fn output(command: &mut Command) -> Result<Output> {
    let shown = shown(command);
    command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {shown}"))
}

/// Runs a command that must succeed, and returns its standard output.
pub fn text(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", shown(command), output.status, stderr.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The command as one would type it: without the words that only bring it into a machine.
pub fn shown(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    // A machine is entered with a clean environment, whose last word is the terminal's type.
    let entered = words.iter().rposition(|word| word.starts_with("TERM=")).map_or(0, |last| last + 1);
    let words = &words[entered..];
    let own = words.iter().position(|word| word.ends_with("/sealock") || word == "sealock").unwrap_or_default();
    let mut words = words[own..].to_vec();
    if words.first().is_some_and(|word| word.ends_with("/sealock")) {
        words[0] = "sealock".into();
    }
    words.join(" ")
}
