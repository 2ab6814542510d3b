//! `cargo xtask fuzz`: runs the fuzz targets, each for a while.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::{repo, tools};

/// Target, and the files below `crates/` whose content seeds it.
const TARGETS: &[(&str, &[&str])] = &[
    ("json", &["trust/testdata"]),
    ("tuf", &[]),
    ("root", &["trust/testdata"]),
    ("request", &["trust/testdata/vectors"]),
    ("certificate_request", &["node/testdata/requests"]),
    ("dsse", &["trust/testdata"]),
    ("public_key", &["trust/testdata"]),
    ("key_uri", &[]),
    ("token_key", &[]),
    ("header", &["bundle/testdata"]),
    ("manifest", &["bundle/testdata"]),
    ("lock", &["bundle/testdata"]),
    ("spec", &["cli/src/commands/init"]),
    ("parameters", &[]),
    ("volumes", &["bundle/testdata"]),
    ("revocations", &["trust/testdata/vectors"]),
    ("want_list", &[]),
    ("receipt", &["trust/testdata/vectors"]),
    ("break_glass", &["trust/testdata/vectors"]),
    ("trust_state", &["trust/testdata/vectors"]),
    ("convert", &["bundle/tests/fixtures/convert"]),
    ("os_packages", &[]),
    ("sbom", &["fetch/testdata"]),
    ("chart", &["bundle/testdata"]),
    ("reference", &[]),
    ("journal", &[]),
    ("scope", &[]),
    ("token", &[]),
    ("request_line", &[]),
    ("layer_patch", &["bundle/testdata/vectors/layer-patch"]),
    ("ansible", &[]),
    ("time", &[]),
];

/// The files that the target `tuf` reads, in its order.
const METADATA: [&str; 7] =
    ["1.root.json", "2.root.json", "3.root.json", "snapshot.json", "targets.json", "timestamp.json", "acme.json"];

const WANT_LIST: &str = concat!(
    r#"{"blobs":[{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","#,
    r#""media-type":"application/octet-stream","needed-by":["quay.io/team/app:v1"],"role":"layer","size":1}],"#,
    r#""format":"want-list/1.0","#,
    r#""manifest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","#,
    r#""sequence":2,"site":"plant-7","stream":"base"}"#,
);

const TIME: [&str; 3] = [
    "confdir /etc/chrony/conf.d\npool 2.debian.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp\n#sealock# server a\nmakestep 1 3\n",
    "^,*,10.77.0.2,10,6,17,15,0.000002602,0.000004175,0.000006746\n^,?,ntp.plant.internal,0,6,0,4294967295,0.0,0.0,0.0\n",
    "SystemNTPServers=10.77.0.2 ntp.plant.internal\nServerName=10.77.0.2\nNTPMessage={ Leap=0, Stratum=2, Ignored=no, PacketCount=1 }\n",
];

const ANSIBLE: &str = r#"{"_meta":{"hostvars":{"cp1":{"ansible_host":"10.77.0.11","ansible_user":"ops","sealock_host_key":"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"w1":{"ansible_host":"10.77.0.21","ansible_port":22,"ansible_user":"ops","ansible_become_password":"hunter2","sealock_labels":{"a":"b"}}}},"all":{"children":["control","workers"]},"control":{"hosts":["cp1"]},"workers":{"hosts":["w1"]}}"#;

const TRUST_STATE: &str = concat!(
    r#"{"enrolments":[{"fingerprint":"sha256:0000000000000000000000000000000000000000000000000000000000000000","#,
    r#""prefix":"*"}],"floor":"2026-11-23T12:00:00Z","format":"trust-state/1.0","generation":1,"#,
    r#""roots":{"sha256:0000000000000000000000000000000000000000000000000000000000000000":{"digest":"#,
    r#""sha256:0000000000000000000000000000000000000000000000000000000000000000","version":1}},"streams":[]}"#,
);

const PACKAGES: &str = "Package: hello\nVersion: 1:2.10-3+deb12u1\nArchitecture: amd64\nPre-Depends: dpkg (>= 1.17) | base\nDepends: libc6 (>= 2.34),\n words:any\nProvides: greeting (= 2.0)\nDescription: says hello\n in more words\nFilename: pool/main/h/hello/hello_2.10-3+deb12u1_amd64.deb\nSize: 53080\nSHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\n";

const RELEASE: &str = "Origin: Debian\nSuite: stable\nCodename: bookworm\nDate: Sat, 07 Nov 2026 09:12:03 UTC\nValid-Until: Sat, 14 Nov 2026 09:12:03 UTC\nAcquire-By-Hash: yes\nArchitectures: all amd64\nComponents: main\nSHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/binary-amd64/Packages.xz\n";

const SPDX: &str = r#"{"spdxVersion":"SPDX-2.3","packages":[{"name":"zlib","versionInfo":"1.3","licenseConcluded":"Zlib","externalRefs":[]}]}"#;

const CYCLONEDX: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"zlib","version":"1.3","licenses":[{"license":{"id":"Zlib"}}],"components":[]}]}"#;

/// Scopes, a form, names, and a pattern with a name.
const SCOPES: [&str; 5] = [
    "repository:team/app:pull,push registry:catalog:*",
    "grant_type=password&service=r&scope=repository%3Aa%3Apull&username=robot%2Bci&password=x",
    "service-account/plant-7/shop/*",
    "oidc/corp/anna@corp",
    "team/**/a*\nteam/b/ab",
];

/// Paths with their queries, and ranges.
const LINES: [&str; 4] = [
    "team/app/manifests/v1?ns=docker.io\nbytes=0-9",
    "team/app/blobs/uploads/?mount=sha256:00&from=a%2Fb\n0-9",
    "a/blobs/uploads/1f?digest=sha512:00\nbytes 5-9/10",
    "a/referrers/sha256:00?artifactType=a%2Fb&n=7&last=x\nbytes=-3",
];

/// A token, a key set and two kinds of credentials.
const TOKENS: [&str; 4] = [
    "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.eyJpc3MiOiJhIiwiYXVkIjpbImIiXSwiZXhwIjo5fQ.AAAA",
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
    "Basic cm9ib3QrY2k6eA==",
    "Bearer a.b.c",
];

const NIGHTLY: &str = "cargo fuzz cannot be started: it needs a nightly toolchain (`rustup toolchain install nightly`)";

/// Larger files teach a fuzzer nothing that smaller ones do not.
const LARGEST_SEED: u64 = 64 << 10;

/// What to fuzz, and for how long.
#[derive(Debug, clap::Args)]
pub struct FuzzArgs {
    /// Targets; all where none is named
    targets: Vec<String>,
    /// How long each runs, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Go on, in slices of so many seconds, until each has had this much of a processor, all runs together
    #[arg(long, value_name = "SECONDS")]
    processor_seconds: Option<u64>,
}

/// Runs the selected targets one after the other; the first crash ends it.
pub fn command(args: &FuzzArgs) -> Result<()> {
    let root = repo::root()?;
    let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = args.targets.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no target {unknown:?}: {}", known.join(", "));
    }
    let desk = Desk { cargo_fuzz: tools::cargo_fuzz(&root)?, corpora: tools::cache()?.join("fuzz"), root };
    let is_wanted = |name: &str| args.targets.is_empty() || args.targets.iter().any(|target| target == name);
    let wanted: Vec<_> = TARGETS.iter().filter(|(name, _)| is_wanted(name)).collect();
    desk.build()?;
    for (name, seeds) in &wanted {
        desk.lay_out_seeds(name, seeds)?;
        if args.processor_seconds.is_none() {
            desk.run(name, args.seconds)?;
        }
    }
    let Some(enough) = args.processor_seconds else { return Ok(()) };
    // A slice for each in turn: whoever stops early has run them all a little.
    while let Some((name, _)) = wanted.iter().min_by_key(|(name, _)| desk.spent(name)) {
        if desk.spent(name) >= enough {
            break;
        }
        desk.run(name, args.seconds)?;
    }
    for (name, _) in &wanted {
        println!("{name:<14} {:>5} s of a processor", desk.spent(name));
    }
    Ok(())
}

/// Where targets run. What they find, and how long they ran, outlives a clone.
struct Desk {
    cargo_fuzz: PathBuf,
    corpora: PathBuf,
    root: PathBuf,
}

impl Desk {
    fn lay_out_seeds(&self, target: &str, sources: &[&str]) -> Result<()> {
        let (root, corpus) = (&self.root, self.corpus(target));
        fs::create_dir_all(&corpus)?;
        let mut seeds: Vec<Vec<u8>> = match target {
            "tuf" => metadata_sets(&root.join("crates/trust/testdata/attacks"))?,
            "reference" => {
                ["registry.k8s.io/pause:3.10", "localhost:5000/a/b@sha256:00", "ubuntu"].map(Into::into).to_vec()
            }
            "want_list" => vec![WANT_LIST.into()],
            "trust_state" => vec![TRUST_STATE.into()],
            "ansible" => vec![ANSIBLE.into()],
            "time" => TIME.map(Into::into).to_vec(),
            "os_packages" => [PACKAGES, RELEASE].map(Into::into).to_vec(),
            "sbom" => [SPDX, CYCLONEDX].map(Into::into).to_vec(),
            "chart" => vec![chart()?],
            "key_uri" => ["pkcs11:token=a;serial=1;slot-id=7;object=b;id=%01?module-path=/c&pin-source=file:/d"]
                .map(Into::into)
                .to_vec(),
            "scope" => SCOPES.map(Into::into).to_vec(),
            "token" => TOKENS.map(Into::into).to_vec(),
            "request_line" => LINES.map(Into::into).to_vec(),
            _ => Vec::new(),
        };
        for source in sources {
            collect(&root.join("crates").join(source), &mut seeds)?;
        }
        let payloads: Vec<Vec<u8>> = seeds.iter().filter_map(|seed| payload(seed)).collect();
        seeds.extend(payloads);
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(corpus.join(format!("seed-{number}")), seed)?;
        }
        Ok(())
    }

    fn corpus(&self, target: &str) -> PathBuf {
        self.corpora.join(target)
    }

    /// Builds all of them: what that takes of a processor is no fuzzing.
    fn build(&self) -> Result<()> {
        let status = self.cargo_fuzz("build").status().context(NIGHTLY)?;
        ensure!(status.success(), "the fuzz targets do not build");
        Ok(())
    }

    /// Runs one target for a while, and adds what it took of a processor.
    fn run(&self, target: &str, seconds: u32) -> Result<()> {
        println!("==> {target}: {seconds} s");
        let before = children_seconds()?;
        let status = self
            .cargo_fuzz("run")
            .arg(target)
            .arg(self.corpus(target))
            .args(["--", &format!("-max_total_time={seconds}"), "-rss_limit_mb=2048", "-timeout=20"])
            .args(["-print_final_stats=1", "-verbosity=0"])
            .status()
            .context(NIGHTLY)?;
        ensure!(status.success(), "{target}: see fuzz/artifacts/{target}");
        let spent = self.spent(target) + children_seconds()? - before;
        fs::write(self.spent_file(target), format!("{spent}\n")).context("cannot keep how long a target ran")
    }

    fn cargo_fuzz(&self, what: &str) -> Command {
        let mut command = Command::new(&self.cargo_fuzz);
        command
            // As cargo calls its subcommands.
            .args(["fuzz", what, "--target", "x86_64-unknown-linux-gnu"])
            .current_dir(&self.root)
            .env("RUSTUP_TOOLCHAIN", "nightly")
            // The house builds static; a sanitizer's runtime is not.
            .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=-crt-static");
        command
    }

    fn spent_file(&self, target: &str) -> PathBuf {
        self.corpora.join(format!("{target}.seconds"))
    }

    /// Seconds of a processor that a target has had so far.
    fn spent(&self, target: &str) -> u64 {
        let text = fs::read_to_string(self.spent_file(target)).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    }
}

/// Seconds of a processor that programs we started, and their children, took (proc_pid_stat(5): `cutime`, `cstime`).
fn children_seconds() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name of the program stands in parentheses, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).context("no times in /proc");
    Ok((ticks(13)? + ticks(14)?) / rustix::param::clock_ticks_per_second())
}

/// What is in an envelope: targets that read envelopes take the payload alone too.
fn payload(seed: &[u8]) -> Option<Vec<u8>> {
    let envelope: Value = serde_json::from_slice(seed).ok()?;
    STANDARD.decode(envelope["payload"].as_str()?).ok()
}

/// A chart of two files, packed by tar.
fn chart() -> Result<Vec<u8>> {
    let script = "d=$(mktemp -d) && mkdir $d/app && echo 'name: app' > $d/app/Chart.yaml && \
        echo 'replicas: 1' > $d/app/values.yaml && tar --format=ustar -C $d -cz app; rm -r $d";
    let output = Command::new("sh").args(["-c", script]).output().context("cannot run sh")?;
    ensure!(output.status.success() && !output.stdout.is_empty(), "tar packs no chart");
    Ok(output.stdout)
}

/// The metadata of every attack as the target `tuf` reads it: roots 1 to 3, the three others and a vendor's, zero bytes between
/// them.
fn metadata_sets(attacks: &Path) -> Result<Vec<Vec<u8>>> {
    let mut sets = Vec::new();
    for entry in fs::read_dir(attacks).with_context(|| format!("cannot list {}", attacks.display()))? {
        let folder = entry?.path().join("metadata");
        let files: Vec<Vec<u8>> = METADATA.iter().map(|name| fs::read(folder.join(name)).unwrap_or_default()).collect();
        sets.push(files.join(&0));
    }
    Ok(sets)
}

fn collect(path: &Path, seeds: &mut Vec<Vec<u8>>) -> Result<()> {
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            collect(&path, seeds)?;
        } else if fs::metadata(&path)?.len() <= LARGEST_SEED {
            seeds.push(fs::read(&path)?);
        }
    }
    Ok(())
}
