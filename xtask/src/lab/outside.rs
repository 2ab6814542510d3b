//! The outside: a registry and a web server with what the real hosts publish, under the real names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::machine::text;
use super::network::{self, UPSTREAM, UPSTREAM_V6};
use super::parts::{Parts, scripts};
use super::run::{finish, run, run_with_us, wait_until, write};
use super::{Lab, machine};

/// Where the archive of Debian packages stands, by its real name, below the folder with the lab's own files.
const ARCHIVE: &str = "archive.lab.example/debian";

/// Sets the outside up as far as it is not, and starts of its three servers what is not running.
///
/// # Errors
/// A file that cannot be written, or a server that does not answer.
pub(super) fn start(lab: &Lab, parts: &Parts) -> Result<()> {
    network::make_outside(lab)?;
    machine::make_site_key(lab)?;
    let outside = Outside { lab, dir: lab.dir().join("outside") };
    outside.issue_certificate()?;
    outside.lay_out(parts)?;
    outside.start_servers(parts)?;
    outside.wait_until_it_answers()
}

/// Publishes the packages of the archive in another version.
///
/// # Errors
/// A program that fails.
pub(super) fn publish_packages(lab: &Lab, version: &str) -> Result<()> {
    Outside { lab, dir: lab.dir().join("outside") }.publish_packages(version)
}

/// The servers that run in the outside: program name and process id.
///
/// # Errors
/// The namespace cannot be asked.
pub(super) fn servers(lab: &Lab) -> Result<Vec<(String, i32)>> {
    Ok(processes_in(&lab.namespace("outside"))?.into_iter().map(|pid| (program_of(pid), pid)).collect())
}

/// The processes in a network namespace; none if there is no such namespace.
///
/// # Errors
/// It cannot be asked.
pub(super) fn processes_in(namespace: &str) -> Result<Vec<i32>> {
    if !network::has_namespace(namespace) {
        return Ok(Vec::new());
    }
    let listed = run("ip", &["netns", "pids", namespace])?;
    Ok(listed.lines().filter_map(|line| line.trim().parse().ok()).collect())
}

fn program_of(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

struct Outside<'a> {
    lab: &'a Lab,
    dir: PathBuf,
}

impl Outside<'_> {
    /// The upstream's authority and its server's certificate, made once per lab.
    fn issue_certificate(&self) -> Result<()> {
        let finished = self.dir.join("tls.crt");
        if finished.exists() {
            return Ok(());
        }
        fs::create_dir_all(&self.dir)?;
        let (ca, ca_key, key) = (self.dir.join("ca.crt"), self.dir.join("ca.key"), self.dir.join("tls.key"));
        let partial = self.dir.join("tls.crt.partial");
        let names = format!("subjectAltName=IP:{UPSTREAM},IP:{UPSTREAM_V6},DNS:upstream.lab");
        let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "3650"];
        let authority = ["-subj", "/CN=Upstream CA of the lab", "-keyout", text(&ca_key)?, "-out", text(&ca)?];
        let may_sign = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"];
        run("openssl", &[&new[..], &authority, &may_sign].concat())?;
        let server = ["-subj", "/CN=upstream.lab", "-keyout", text(&key)?, "-out", text(&partial)?];
        let signed_by = ["-CA", text(&ca)?, "-CAkey", text(&ca_key)?, "-addext", &names];
        let leaf = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"];
        run("openssl", &[&new[..], &server, &signed_by, &leaf].concat())?;
        fs::rename(&partial, &finished).context("the upstream's certificate")
    }

    /// The registry's content is the lab's own, so that a test may push to it; the files are shared, and `www/` lies over them.
    fn lay_out(&self, parts: &Parts) -> Result<()> {
        for folder in ["www", "tmp"] {
            fs::create_dir_all(self.dir.join(folder))?;
        }
        let registry = self.dir.join("registry");
        if !registry.exists() {
            let partial = self.dir.join("registry.partial");
            if partial.exists() {
                fs::remove_dir_all(&partial)?;
            }
            run_with_us("cp", &["-r", "--reflink=auto", text(&parts.upstream.join("registry"))?, text(&partial)?])?;
            fs::rename(&partial, &registry)?;
        }
        for file in ["images.txt", "cosign.pub", "cosign.key"] {
            fs::copy(parts.upstream.join(file), self.dir.join(file))
                .with_context(|| format!("{file}: cannot be copied"))?;
        }
        if !self.dir.join("www").join(ARCHIVE).join("dists/lab/InRelease").exists() {
            self.publish_packages("1.0")?;
        }
        let shared = parts.upstream.join("www");
        let files = [shared.clone(), self.dir.join("www")];
        write(&self.dir.join("mirrors.yaml"), mirrors(&self.dir.join("images.txt"), &files)?)?;
        write(
            &self.dir.join("nginx.conf"),
            include_str!("../../../lab/outside/nginx.conf").replace("@SHARED@", text(&shared)?),
        )?;
        write(
            &self.dir.join("registry.yaml"),
            include_str!("../../../lab/outside/registry.yaml").replace("@DIR@", text(&self.dir)?),
        )?;
        write(&self.dir.join("coredns.conf"), include_str!("../../../lab/outside/coredns.conf"))
    }

    fn publish_packages(&self, version: &str) -> Result<()> {
        let script = scripts().join("outside/archive.sh");
        let (folder, key) = (self.dir.join("www").join(ARCHIVE), self.dir.join("archive"));
        run(text(&script)?, &[text(&folder)?, version, text(&key)?]).map(drop)
    }

    fn start_servers(&self, parts: &Parts) -> Result<()> {
        let running = servers(self.lab)?;
        let file = |name: &str| self.dir.join(name).to_string_lossy().into_owned();
        let registry = parts.registry.join("bin/registry").to_string_lossy().into_owned();
        let coredns = parts.coredns.join("bin/coredns").to_string_lossy().into_owned();
        let servers: [(&str, Vec<String>); 3] = [
            ("registry", vec![registry, "serve".to_owned(), file("registry.yaml")]),
            ("coredns", vec![coredns, "-conf".to_owned(), file("coredns.conf")]),
            (
                "nginx",
                [
                    "nginx",
                    "-p",
                    text(&self.dir)?,
                    "-e",
                    &file("nginx-error.log"),
                    "-c",
                    &file("nginx.conf"),
                    "-g",
                    "daemon off;",
                ]
                .map(str::to_owned)
                .to_vec(),
            ),
        ];
        for (name, argv) in servers {
            if !running.iter().any(|(program, _)| program == name) {
                self.start_server(name, &argv)?;
            }
        }
        Ok(())
    }

    fn start_server(&self, name: &str, argv: &[String]) -> Result<()> {
        let log = self.dir.join(format!("{name}.log"));
        let log = fs::File::create(&log).with_context(|| format!("{}: cannot be written", log.display()))?;
        let mut command = Command::new("setsid");
        command.args(["--fork", "ip", "netns", "exec", &self.lab.namespace("outside")]).args(argv);
        // The registry would otherwise look for a collector of traces, outside of the outside.
        command.env("OTEL_TRACES_EXPORTER", "none").env("OTEL_METRICS_EXPORTER", "none");
        let status = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).status()?;
        if !status.success() {
            bail!("{name}: cannot be started: {status}");
        }
        Ok(())
    }

    fn wait_until_it_answers(&self) -> Result<()> {
        let (ca, url) = (self.dir.join("ca.crt"), format!("https://{UPSTREAM}/v2/"));
        let ca = text(&ca)?;
        let ask = [
            "curl",
            "--silent",
            "--fail",
            "--noproxy",
            "*",
            "--max-time",
            "5",
            "--cacert",
            ca,
            "--output",
            "/dev/null",
            &url,
        ];
        wait_until(&format!("the upstream on {url} (logs in {})", self.dir.display()), 120, || {
            Ok(finish(&mut self.lab.exec("outside", &ask)).is_ok())
        })
    }
}

/// Each real host that the upstream stands for, and where it is found.
fn mirrors(images: &Path, folders: &[PathBuf]) -> Result<String> {
    let listed = fs::read_to_string(images).with_context(|| format!("{}", images.display()))?;
    let mut hosts: Vec<String> = listed.lines().filter_map(|line| Some(line.split_once('/')?.0.to_owned())).collect();
    for folder in folders {
        for entry in fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
            hosts.push(entry?.file_name().to_string_lossy().into_owned());
        }
    }
    hosts.sort_unstable();
    hosts.dedup();
    Ok(hosts.iter().fold("mirrors:\n".to_owned(), |text, host| format!("{text}  {host}: https://{UPSTREAM}/{host}\n")))
}

#[cfg(test)]
mod tests {
    use super::mirrors;

    #[test]
    fn every_host_of_an_image_or_a_file_has_its_mirror_once() {
        let folder = std::env::temp_dir().join(format!("lab-mirrors-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("www/get.helm.sh")).unwrap();
        std::fs::create_dir_all(folder.join("www/quay.io")).unwrap();
        std::fs::create_dir_all(folder.join("own/archive.lab.example")).unwrap();
        let images = folder.join("images.txt");
        std::fs::write(&images, "quay.io/a/b:1@sha256:00\nregistry.k8s.io/pause:3@sha256:11\n").unwrap();
        let text = mirrors(&images, &[folder.join("www"), folder.join("own")]).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let expected = ["archive.lab.example", "get.helm.sh", "quay.io", "registry.k8s.io"]
            .map(|host| format!("  {host}: https://198.51.100.10/{host}\n"));
        assert_eq!(text, format!("mirrors:\n{}", expected.concat()));
    }
}
