//! A cluster whose authorities the site's own PKI has made: what is refused, what is laid down, what takes its place, and where keys are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cases::cluster::is_bare;
use super::expect::expect;
use super::{Case, Scenario, until};
use crate::lab::Upstream;
use crate::story::{self, Desk, proof};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "custody",
    upstream: Upstream::One,
    is_long: true,
    nodes: &["cp1", "w1"],
    story: begin,
    cases: CASES,
};

/// In this order: each goes on from where the one before it ended.
const CASES: &[Case] = &[
    Case { name: "custody: the cluster issues with the authorities of the spec", run: issues },
    Case { name: "custody: keys are where they are to be, and nowhere else", run: is_kept_secret },
    Case {
        name: "custody: a worker comes, and certificates are made anew, without a key at the station",
        run: keyless,
    },
    Case { name: "custody: other authorities are refused until they are replaced", run: others },
    Case { name: "custody: a backup holds them, and a drill opens it", run: backed_up },
    Case { name: "custody: those that come next take their place", run: replaced },
    Case { name: "custody: given back, and made again from the backup without a key at the station", run: restored },
];

/// An authority of the spec, the files that kubeadm keeps it in, and one of what it has issued.
const KEPT: [(&str, &str, &str); 3] = [
    ("kubernetes", "ca", "apiserver"),
    ("front-proxy", "front-proxy-ca", "front-proxy-client"),
    ("etcd", "etcd/ca", "etcd/server"),
];
const RECOVERY: &str = "/root/recovery.key";
const BACKUP: &str = "plant-7.backup";

fn begin(desk: &Desk) -> Result<()> {
    for step in story::STEPS.iter().take_while(|step| step.name != "cluster plan") {
        println!("--- {}: {}", step.name, step.what);
        (step.run)(desk)?;
    }
    // The root lies nowhere in the lab.
    let office = office(desk);
    fs::create_dir_all(&office)?;
    make_root(&office)?;
    make_all(&office.join("first"), &office)?;
    make_all(&office.join("second"), &office)?;
    hand_over(desk, "first")?;
    refused(desk)?;
    let plan = ["lay down the authorities of the spec: Plant 7 kubernetes (", "and the key of service accounts"];
    expect(&mut desk.station(&["cluster", "plan"]), 0, &plan)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["cluster plant-7 is up"])?;
    let app = story::STEPS.iter().find(|step| step.name == "app apply").context("no step brings the application")?;
    (app.run)(desk)
}

/// Where the people of the PKI sit.
pub(super) fn office(desk: &Desk) -> PathBuf {
    desk.outside.join("office")
}

pub(super) fn openssl(folder: &Path, args: &[&str]) -> Result<()> {
    story::run(Command::new("openssl").current_dir(folder).args(args))
}

const NEW_ROOT: [&str; 6] = ["req", "-x509", "-newkey", "rsa:3072", "-noenc", "-days"];
const IS_AUTHORITY: [&str; 4] =
    ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"];

pub(super) fn make_root(office: &Path) -> Result<()> {
    let files = ["7300", "-subj", "/O=Plant 7/CN=Plant 7 root", "-keyout", "root.key", "-out", "root.crt"];
    openssl(office, &[&NEW_ROOT[..], &files, &IS_AUTHORITY].concat())?;
    fs::write(
        office.join("below.ext"),
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n",
    )
    .map_err(Into::into)
}

/// A set of authorities in `folder`: RSA below the root and with a key of PKCS #1, P-384 with one of PKCS #8, P-256 with one of SEC 1.
pub(super) fn make_all(folder: &Path, office: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    openssl(folder, &["genrsa", "-traditional", "-out", "kubernetes.key", "3072"])?;
    let subject = ["-subj", "/O=Plant 7/CN=Plant 7 kubernetes"];
    openssl(folder, &[&["req", "-new", "-key", "kubernetes.key", "-out", "kubernetes.csr"], &subject[..]].concat())?;
    let root = ["-CA", "root.crt", "-CAkey", "root.key"]
        .map(|word| if word.starts_with('-') { word.to_owned() } else { office.join(word).display().to_string() });
    let root: Vec<&str> = root.iter().map(String::as_str).collect();
    let extensions = office.join("below.ext").display().to_string();
    let sign =
        ["x509", "-req", "-in", "kubernetes.csr", "-days", "1825", "-out", "kubernetes.crt", "-extfile", &extensions];
    openssl(folder, &[&sign[..], &root].concat())?;

    openssl(folder, &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "etcd.key"])?;
    openssl(folder, &["ecparam", "-name", "prime256v1", "-genkey", "-out", "front-proxy.key"])?;
    for name in ["etcd", "front-proxy"] {
        let (key, out, subject) =
            (format!("{name}.key"), format!("{name}.crt"), format!("/O=Plant 7/CN=Plant 7 {name}"));
        let own = ["req", "-x509", "-new", "-key", &key, "-days", "1825", "-subj", &subject, "-out", &out];
        openssl(folder, &[&own[..], &IS_AUTHORITY].concat())?;
    }
    openssl(
        folder,
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "service-accounts.key"],
    )
}

pub(super) fn pki(desk: &Desk) -> PathBuf {
    desk.lab.root_of("station").join("root/site/pki")
}

/// The files of a set come to the station.
fn hand_over(desk: &Desk, set: &str) -> Result<()> {
    fs::create_dir_all(pki(desk))?;
    for (name, ..) in KEPT {
        for end in ["crt", "key"] {
            put(desk, set, &format!("{name}.{end}"), &format!("{name}.{end}"))?;
        }
    }
    // Those of service accounts are no authority, and stay.
    put(desk, "first", "service-accounts.key", "service-accounts.key")
}

fn put(desk: &Desk, set: &str, name: &str, to: &str) -> Result<()> {
    fs::copy(office(desk).join(set).join(name), pki(desk).join(to)).map(drop).map_err(Into::into)
}

fn keys_away(desk: &Desk) -> Result<()> {
    for name in ["kubernetes", "front-proxy", "etcd", "service-accounts"] {
        fs::remove_file(pki(desk).join(format!("{name}.key")))?;
    }
    Ok(())
}

/// What kubeadm would take, or say in the middle of it, is told before a host is touched.
fn refused(desk: &Desk) -> Result<()> {
    let (folder, station) = (office(desk).join("first"), pki(desk));
    let plan = |said: &[&str]| {
        expect(&mut desk.station(&["cluster", "plan"]), 3, &[&["error[SPEC]"], said].concat()).map(drop)
    };
    let own = fs::read(folder.join("kubernetes.crt"))?;
    let root = fs::read(office(desk).join("root.crt"))?;
    fs::write(station.join("kubernetes.crt"), [own, root].concat())?;
    plan(&["spec.pki.supplied.kubernetes.certFile", "it holds 2 certificates", "also where it is an intermediate"])?;
    put(desk, "first", "front-proxy.crt", "kubernetes.crt")?;
    plan(&["spec.pki.supplied.kubernetes.keyFile", "it is not the key of the certificate of Plant 7 front-proxy"])?;
    put(desk, "first", "front-proxy.key", "kubernetes.key")?;
    plan(&["spec.pki.supplied.kubernetes.certFile and spec.pki.supplied.frontProxy.certFile have the same key"])?;
    let locked = station.join("kubernetes.key").display().to_string();
    openssl(&folder, &["rsa", "-in", "kubernetes.key", "-aes256", "-passout", "pass:secret", "-out", &locked])?;
    put(desk, "first", "kubernetes.crt", "kubernetes.crt")?;
    plan(&["spec.pki.supplied.kubernetes.keyFile", "no private key without a passphrase"])?;
    fs::remove_file(station.join("kubernetes.key"))?;
    plan(&["spec.pki.supplied.kubernetes.keyFile", "is not there, and no control plane has that key yet"])?;
    put(desk, "first", "kubernetes.key", "kubernetes.key")?;
    let leaf =
        ["req", "-x509", "-new", "-key", "etcd.key", "-days", "900", "-subj", "/CN=a server", "-out", "leaf.crt"];
    openssl(&folder, &[&leaf[..], &["-addext", "basicConstraints=critical,CA:FALSE"]].concat())?;
    put(desk, "first", "leaf.crt", "etcd.crt")?;
    plan(&["spec.pki.supplied.etcd.certFile", "the certificate of a server is no authority's"])?;
    let short = ["req", "-x509", "-new", "-key", "etcd.key", "-days", "90", "-subj", "/CN=short", "-out", "short.crt"];
    openssl(&folder, &[&short[..], &IS_AUTHORITY].concat())?;
    put(desk, "first", "short.crt", "etcd.crt")?;
    plan(&["the certificate of short ends on", "a cluster begins with one that holds for 366 days or more"])?;
    openssl(&folder, &["genpkey", "-algorithm", "ED25519", "-out", "ed.key"])?;
    let other = ["req", "-x509", "-new", "-key", "ed.key", "-days", "900", "-subj", "/CN=ed", "-out", "ed.crt"];
    openssl(&folder, &[&other[..], &IS_AUTHORITY].concat())?;
    put(desk, "first", "ed.crt", "etcd.crt")?;
    plan(&["ed has a key of the algorithm 1.3.101.112"])?;
    put(desk, "first", "etcd.crt", "etcd.crt")?;
    desk.nodes.iter().try_for_each(|node| is_bare(desk, node))
}

/// What kubeadm has issued, by OpenSSL's word, and what is shown on the wire.
fn issues(desk: &Desk) -> Result<()> {
    is_issued_by(desk, "first")?;
    proof::answers_on(desk, "cp1", "w1")?;
    // Tokens are signed by the key of the spec.
    let public = ["pkey", "-in", "service-accounts.key", "-pubout", "-out", "service-accounts.pub"];
    openssl(&office(desk).join("first"), &public)?;
    let (own, there) = (office(desk).join("first/service-accounts.pub"), root_file(desk, "sa.pub"));
    ensure!(fs::read(own)? == fs::read(there)?, "tokens are signed by another key");
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "diff"]), 0, &["is what its spec says"])?;
    let table = ["Plant 7 kubernetes", "new files, and cluster renew --authorities"];
    expect(&mut desk.station(&["cluster", "certificates"]), 0, &table).map(drop)
}

fn root_file(desk: &Desk, below: &str) -> PathBuf {
    desk.lab.root_of("cp1").join("etc/kubernetes/pki").join(below)
}

/// Each authority of `set` is there, alone, and has issued what its cluster shows.
fn is_issued_by(desk: &Desk, set: &str) -> Result<()> {
    for (name, kept, issued) in KEPT {
        let own = office(desk).join(set).join(format!("{name}.crt"));
        let there = fs::read_to_string(root_file(desk, &format!("{kept}.crt")))?;
        ensure!(there.matches("BEGIN CERTIFICATE").count() == 1, "{kept}.crt does not hold one certificate");
        let fingerprint = |file: &Path| {
            story::text(Command::new("openssl").args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(file))
        };
        ensure!(
            fingerprint(&own)? == fingerprint(&root_file(desk, &format!("{kept}.crt")))?,
            "{kept}.crt is another authority"
        );
        let verify = ["verify", "-partial_chain", "-CAfile"];
        story::run(Command::new("openssl").args(verify).arg(&own).arg(root_file(desk, &format!("{issued}.crt"))))?;
    }
    // Whoever asks the API server believes the intermediate, and sees nothing of the root.
    let own = office(desk).join(set).join("kubernetes.crt");
    fs::copy(&own, desk.lab.root_of("station").join("root/own-ca.crt"))?;
    let ask = [
        "sh",
        "-c",
        "openssl s_client -connect 10.77.0.11:6443 -verify_return_error -partial_chain -CAfile /root/own-ca.crt </dev/null 2>&1 | grep 'Verify return code'; true",
    ];
    let said = story::text(&mut desk.lab.exec("station", &ask))?;
    ensure!(said.contains("0 (ok)"), "what the API server shows is not of the authority: {said}");
    Ok(())
}

/// A line of each key stands in the file of the spec and in the one that kubeadm reads, and in none besides; nor does a log of systemd have it.
fn is_kept_secret(desk: &Desk) -> Result<()> {
    for (name, kept) in KEPT.map(|(name, kept, _)| (name, kept)).into_iter().chain([("service-accounts", "sa")]) {
        let key = fs::read_to_string(pki(desk).join(format!("{name}.key")))?;
        let body = key.rsplit("-----BEGIN").next().unwrap_or_default();
        let line = body.lines().nth(1).context("the key has one line")?;
        let own = format!("/root/site/pki/{name}.key");
        let theirs = format!("/etc/kubernetes/pki/{kept}.key");
        for (machine, wanted) in [("station", own.as_str()), ("cp1", &theirs), ("w1", "")] {
            let search = format!(
                "grep -rlF -e '{line}' /root /etc /var/lib/sealock /var/log /run /opt/sealock /tmp 2>/dev/null; \
                 journalctl --no-pager -o export 2>/dev/null | grep -cF -e '{line}' | grep -v '^0$'; true"
            );
            let found = story::text(&mut desk.lab.exec(machine, &["sh", "-c", &search]))?;
            ensure!(found.trim() == wanted, "on {machine} the key of {name} stands in {found}");
        }
        let mode = story::text(&mut desk.lab.exec("cp1", &["stat", "-c", "%a %U", &theirs]))?;
        ensure!(mode.trim() == "600 root", "{theirs} is for others, too: {mode}");
    }
    Ok(())
}

fn keyless(desk: &Desk) -> Result<()> {
    keys_away(desk)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    let remove = ["cluster", "remove", "w1", "--yes", "--delete-emptydir-data"];
    expect(&mut desk.station(&remove), 0, &["w1 is out of cluster plant-7"])?;
    expect(&mut desk.station(&["cluster", "add", "w1", "--yes"]), 0, &["w1 is in cluster plant-7"])?;
    until("w1 is Ready again", || is_ready(desk, "w1"))?;
    let before = serial(desk)?;
    expect(&mut desk.station(&["cluster", "renew", "--yes"]), 0, &["serves new certificates"])?;
    ensure!(serial(desk)? != before, "the API server has the certificate of before");
    is_issued_by(desk, "first")
}

fn is_ready(desk: &Desk, node: &str) -> Result<bool> {
    let ready = ["get", "node", node, "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}"];
    Ok(story::text(&mut desk.kubectl(&ready))? == "True")
}

fn serial(desk: &Desk) -> Result<String> {
    story::text(
        Command::new("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(root_file(desk, "apiserver.crt")),
    )
}

/// A file that was exchanged does not change a cluster behind its back.
fn others(desk: &Desk) -> Result<()> {
    hand_over(desk, "second")?;
    let said = [
        "error[SPEC]",
        "ca.crt on host cp1 holds Plant 7 ",
        "a cluster keeps its authorities",
        "renew --authorities trust",
    ];
    for command in [&["cluster", "plan"][..], &["cluster", "apply", "--yes"], &["cluster", "diff"]] {
        expect(&mut desk.station(command), 3, &said)?;
    }
    hand_over(desk, "first")?;
    keys_away(desk)?;
    let same = ["error[SPEC]", "the spec still names the authority", "Have new authorities made"];
    expect(&mut desk.station(&["cluster", "renew", "--authorities", "trust", "--yes"]), 3, &same).map(drop)
}

fn backed_up(desk: &Desk) -> Result<()> {
    let recipient = story::text(&mut desk.station(&["site", "recovery-key", RECOVERY, "--unencrypted"]))?;
    let backup = ["cluster", "backup", "--to", BACKUP, "--recipient", recipient.trim()];
    expect(&mut desk.station(&backup), 0, &["keys in the rehearsal", "sha256:"])?;
    let drill = ["cluster", "drill", BACKUP, "--recovery-key", RECOVERY];
    expect(&mut desk.station(&drill), 0, &["Plant 7 kubernetes until", "Plant 7 etcd until"]).map(drop)
}

fn replaced(desk: &Desk) -> Result<()> {
    hand_over(desk, "second")?;
    let renew = |stage: &str, more: &[&str], said: &[&str]| {
        let command = ["cluster", "renew", "--authorities", stage, "--yes"];
        expect(&mut desk.station(&[&command[..], more].concat()), 0, said).map(drop)
    };
    let dry = ["cluster", "renew", "--authorities", "trust", "--dry-run"];
    expect(&mut desk.station(&dry), 0, &["keep the new authorities of the spec: Plant 7 kubernetes ("])?;
    renew("trust", &[], &["believes new authorities beside the old ones"])?;
    // Either file may lie there by now; what was not brought may not.
    is_kept_secret_while_waiting(desk)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    keys_away(desk)?;
    renew("issue", &["--restart-workloads"], &["serves certificates of its new authorities"])?;
    renew("drop", &[], &["believes its new authorities alone"])?;
    is_issued_by(desk, "second")?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    until("the application answers", || Ok(proof::application_answers(desk).is_ok()))
}

fn is_kept_secret_while_waiting(desk: &Desk) -> Result<()> {
    let key = fs::read_to_string(pki(desk).join("kubernetes.key"))?;
    let line = key.lines().nth(1).context("the key has one line")?;
    let search =
        format!("grep -rlF -e '{line}' /root /etc /var/lib/sealock /var/log /run /opt/sealock /tmp 2>/dev/null; true");
    for (machine, wanted) in
        [("station", "/root/site/pki/kubernetes.key"), ("cp1", "/var/lib/sealock/node/authorities/ca.key"), ("w1", "")]
    {
        let found = story::text(&mut desk.lab.exec(machine, &["sh", "-c", &search]))?;
        ensure!(found.trim() == wanted, "on {machine} the key that waits stands in {found}");
    }
    Ok(())
}

/// The authorities are those of the backup, whatever the files say now: afterwards they are compared again.
fn restored(desk: &Desk) -> Result<()> {
    expect(&mut desk.station(&["cluster", "reset", "--yes"]), 0, &[])?;
    desk.nodes.iter().try_for_each(|node| is_bare(desk, node))?;
    let table = story::text(&mut desk.station(&["cluster", "backup", "--check", BACKUP, "-o", "json"]))?;
    let digest = serde_json::from_str::<Value>(&table)?["digest"].as_str().context("no digest")?.to_owned();
    let restore = ["cluster", "restore", BACKUP, "--recovery-key", RECOVERY, "--digest", &digest, "--yes"];
    expect(&mut desk.station(&restore), 0, &["cluster plant-7"])?;
    is_issued_by(desk, "first")?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 3, &["error[SPEC]", "a cluster keeps its authorities"])?;
    hand_over(desk, "first")?;
    keys_away(desk)?;
    expect(&mut desk.station(&["cluster", "apply", "--yes"]), 0, &["nothing to do"])?;
    expect(&mut desk.station(&["cluster", "reset", "--yes"]), 0, &[])?;
    desk.nodes.iter().try_for_each(|node| is_bare(desk, node))
}
