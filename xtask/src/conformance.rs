//! `cargo xtask conformance`: the official suite of the OCI distribution specification, with everything switched on.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::registries::{Build, Kind, Login, Options, Registry};
use crate::{repo, tools};

/// Versions of the specification that the suite knows: the released one, and what is to come.
const PROFILES: &[&str] = &["1.1", "dev"];

/// Every switch of the suite (its `config.go`, `configAPI` and `configData`), whatever a profile leaves off.
const SWITCHES: &[&str] = &[
    "OCI_API_PING",
    "OCI_API_PULL",
    "OCI_API_PUSH",
    "OCI_API_BLOBS_ATOMIC",
    "OCI_API_BLOBS_DELETE",
    "OCI_API_BLOBS_DIGEST_HEADER",
    "OCI_API_BLOBS_MOUNT_ANONYMOUS",
    "OCI_API_BLOBS_UPLOAD_CANCEL",
    "OCI_API_MANIFESTS_ATOMIC",
    "OCI_API_MANIFESTS_DELETE",
    "OCI_API_MANIFESTS_DIGEST_HEADER",
    "OCI_API_MANIFESTS_TAG_PARAM",
    "OCI_API_TAGS_ATOMIC",
    "OCI_API_TAGS_DELETE",
    "OCI_API_TAGS_LIST",
    "OCI_API_REFERRER",
    "OCI_DATA_IMAGE",
    "OCI_DATA_INDEX",
    "OCI_DATA_INDEX_LIST",
    "OCI_DATA_SPARSE",
    "OCI_DATA_ARTIFACT",
    "OCI_DATA_SUBJECT",
    "OCI_DATA_SUBJECT_MISSING",
    "OCI_DATA_ARTIFACT_LIST",
    "OCI_DATA_SUBJECT_LIST",
    "OCI_DATA_DATA_FIELD",
    "OCI_DATA_NONDISTRIBUTABLE",
    "OCI_DATA_CUSTOM_FIELDS",
    "OCI_DATA_NO_LAYERS",
    "OCI_DATA_EMPTY_BLOB",
    "OCI_DATA_SHA512",
];

/// The test that runs what goes for a registry without pushes.
const PULL_ONLY: &str = "conformance::the_official_suite_finds_nothing";

/// How the suite is run.
#[derive(Debug, Default, clap::Args)]
pub struct ConformanceArgs {
    /// Ask distribution 3 instead, which is known to fail: shows that the suite finds faults
    #[arg(long)]
    peer: bool,
    /// Leave each switch as its profile has it, to compare with figures that others publish
    #[arg(long)]
    defaults: bool,
}

/// What the suite counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    pass: u64,
    fail: u64,
    skip: u64,
    /// Errors of the suite itself.
    error: u64,
    /// What a switch left out.
    disabled: u64,
}

/// Runs both profiles, each against a registry that holds nothing yet, and prints what they count.
///
/// # Errors
/// Anything but passes; where the peer was asked, only that the suite could not be run, or found no fault.
pub fn command(args: &ConformanceArgs) -> Result<()> {
    let root = repo::root()?;
    let suite = tools::part(&root, "conformance")?.join("conformance");
    let kind = if args.peer {
        Kind::Distribution
    } else {
        Kind::Sealock { program: Build::Debug.program(&root)?, state: None }
    };
    let results = root.join("target/conformance");
    println!("profile   pass   fail   skip   error   disabled");
    let mut bad = Vec::new();
    for profile in PROFILES {
        let folder = results.join(profile);
        let options = Options { tls: true, login: true, ..Options::default() };
        let registry = Registry::start(&root, kind.clone(), &folder.join("registry"), options)?;
        let totals = run(&suite, profile, args.defaults, &registry, &folder)?;
        let Totals { pass, fail, skip, error, disabled } = totals;
        println!("{profile:<7} {pass:>6} {fail:>6} {skip:>6} {error:>7} {disabled:>10}");
        ensure!(pass + fail + skip + error > 0, "the suite counted nothing: see {}", folder.display());
        if !totals.conforms(args.defaults) {
            bad.push(*profile);
        }
    }
    judge(args, &bad, &results)?;
    if args.peer || args.defaults { Ok(()) } else { pull_only(&root, &suite) }
}

/// What of the suite goes for a registry without pushes, against a release: a test of `server` has its contents.
fn pull_only(root: &Path, suite: &Path) -> Result<()> {
    let test = ["test", "--quiet", "-p", "sealock-server", "--test", "it", "--", "--ignored", "--exact", PULL_ONLY];
    let mut command = Command::new("cargo");
    let output = command.args(test).current_dir(root).env("SEALOCK_CONFORMANCE", suite).output();
    let output = output.context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    // A test of another name would be no failure.
    ensure!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("without pushes: no test failed");
    Ok(())
}

fn judge(args: &ConformanceArgs, bad: &[&str], results: &Path) -> Result<()> {
    let report = format!("each test stands in {}/PROFILE/{{output,report.html}}", results.display());
    match (args.peer, bad) {
        (false, []) => Ok(()),
        (false, bad) => bail!("not everything passes with {}: {report}", bad.join(" and ")),
        (true, []) => bail!("the suite finds no fault with distribution 3, which has some: the harness is broken"),
        (true, _) => {
            println!("distribution 3 fails, as it is known to; {report}");
            Ok(())
        }
    }
}

impl Totals {
    /// Whether everything was asked and passed.
    fn conforms(&self, defaults: bool) -> bool {
        self.pass > 0 && self.fail + self.skip + self.error == 0 && (defaults || self.disabled == 0)
    }

    /// Reads the summary at the end of what the suite prints.
    fn parse(output: &str) -> Result<Self> {
        let summary = output.split_once("OCI Conformance Result:").context("the suite prints no result")?.1;
        let count = |name: &str| {
            let line = summary.lines().find(|line| line.trim_start().starts_with(&format!("{name}..")));
            let number = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
            number.with_context(|| format!("the suite does not count `{name}`"))
        };
        Ok(Self {
            pass: count("Pass")?,
            fail: count("FAIL")?,
            skip: count("Skip")?,
            error: count("Error")?,
            disabled: count("Disabled")?,
        })
    }
}

fn run(suite: &Path, profile: &str, defaults: bool, registry: &Registry, folder: &Path) -> Result<Totals> {
    let endpoint = &registry.endpoint;
    let login = endpoint.login.clone().unwrap_or_else(Login::of_the_tasks);
    let mut command = Command::new(suite);
    command.current_dir(folder).env("OCI_VERSION", profile).env("OCI_RESULTS_DIR", folder);
    command.env("OCI_REGISTRY", &endpoint.address).env("OCI_USERNAME", login.user).env("OCI_PASSWORD", login.password);
    match &endpoint.ca {
        Some(ca) => command.env("OCI_TLS", "enabled").env("SSL_CERT_FILE", ca),
        None => command.env("OCI_TLS", "disabled"),
    };
    if !defaults {
        command.envs(SWITCHES.iter().map(|switch| (*switch, "true")));
    }
    // Its exit code tells of failures, which the totals tell better.
    let output = command.output().with_context(|| format!("cannot run {}", suite.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    fs::write(folder.join("output"), &text)?;
    Totals::parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str = "\nOCI Conformance Result: FAIL\n  Disabled......................:          0\n  \
        Skip..........................:         16\n  Pass..........................:        738\n  \
        FAIL..........................:         94\n  Error.........................:          1\n  \
        Total.........................:        848\n\nAPI conformance:\n  Ping....: Pass\n";

    #[test]
    fn the_summary_is_read_and_anything_but_a_pass_counts() {
        let totals = Totals::parse(SUMMARY).unwrap();
        assert_eq!(totals, Totals { pass: 738, fail: 94, skip: 16, error: 1, disabled: 0 });
        assert!(!totals.conforms(true));
        assert!(Totals { pass: 858, ..Totals::default() }.conforms(false));
        for bad in [
            Totals { pass: 858, skip: 1, ..Totals::default() },
            Totals { pass: 858, error: 1, ..Totals::default() },
            Totals { pass: 858, disabled: 1, ..Totals::default() },
            Totals::default(),
        ] {
            assert!(!bad.conforms(false), "{bad:?}");
        }
        Totals::parse("failed to load config").unwrap_err();
    }
}
