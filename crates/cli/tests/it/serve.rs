//! `sealock serve`

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::packager::json;
use crate::sandbox::{Sandbox, steady};
use crate::site;

fn station() -> (Sandbox, u16) {
    let sandbox = Sandbox::new();
    let port = site::spec(&sandbox, "plant-7");
    sandbox.must(&["site", "init", "--unencrypted-keys"]);
    (sandbox, port)
}

/// `sealock serve`, ended with the test.
pub struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Serving {
    /// Starts the server that `command` describes.
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the server starts"))
    }
}

pub fn serve(sandbox: &Sandbox) -> Serving {
    Serving::start(&mut sandbox.command(&["serve"]))
}

/// The status of a request over TLS that trusts the site's authority only, asked until the server answers.
fn status(sandbox: &Sandbox, port: u16, path: &str) -> String {
    get(sandbox, port, path, &["--output", "/dev/null", "--write-out", "%{http_code}"])
}

/// What curl says to a request over TLS that trusts the site's authority only, asked until the server answers.
pub fn get(sandbox: &Sandbox, port: u16, path: &str, options: &[&str]) -> String {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let output = Command::new("curl")
            .args(["--silent", "--cacert"])
            .arg(sandbox.join("state/tls/ca.crt"))
            .args(["--resolve", &format!("registry.lab:{port}:127.0.0.1")])
            .args(options)
            .arg(format!("https://registry.lab:{port}{path}"))
            .output()
            .expect("curl (Debian package curl) is needed for this test");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // 7: nobody listens yet.
        if output.status.code() != Some(7) {
            assert!(output.status.success(), "curl: {}", output.status);
            return text;
        }
        assert!(Instant::now() < deadline, "nobody listens on {port} after 120 s");
        std::thread::yield_now();
    }
}

#[test]
fn it_answers_over_tls_and_stops_on_sigterm() {
    let (sandbox, port) = station();
    let mut serving = serve(&sandbox);
    assert_eq!(status(&sandbox, port, "/healthz"), "200");
    assert_eq!(status(&sandbox, port, "/v2/"), "200");
    assert_eq!(status(&sandbox, port, "/v2/library/nginx/manifests/latest"), "404");
    let killed = Command::new("kill").args(["-TERM", &serving.0.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let ended = serving.0.wait().expect("the server ends");
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn a_port_in_use_is_the_environments_fault() {
    let (sandbox, port) = station();
    let _other = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&format!(r":{port}\b"), ":[PORT]");
    settings.bind(|| insta::assert_snapshot!(sandbox.see(&["serve"])));
}

#[test]
fn the_unit_starts_this_binary() {
    let _steady = steady();
    let sandbox = Sandbox::new();
    let all = ["--listen", "10.77.0.2:443", "--collect-every", "2h", "--retain", "3", "--scrub-rate", "4M"];
    let text = sandbox.must(&[&["serve", "--unit", "--access", "who is who.yaml"], all.as_slice()].concat());
    let binary = env!("CARGO_BIN_EXE_sealock");
    let told = "--listen 10.77.0.2:443 --collect-every 7200s --retain 3 --scrub-rate 4194304";
    assert!(text.contains(&format!("ExecStart={binary} serve {told} --state-dir ")), "{text}");
    assert!(text.contains(&format!(" --access \"{}\"", sandbox.join("who is who.yaml").display())), "{text}");
    let path = sandbox.write("sealock-serve.service", &text);
    let output = Command::new("systemd-analyze").args(["--man=no", "verify"]).arg(&path).output();
    let output = output.expect("systemd-analyze (Debian package systemd) is needed for this test");
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(!problems.contains("sealock-serve.service:"), "{problems}");
}

/// Where the site's registry listens.
pub fn port(sandbox: &Sandbox) -> u16 {
    let site = json(&sandbox.must(&["site", "show", "-o", "json"]));
    let address = site["registry"]["address"].as_str().expect("an address");
    address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port")
}
