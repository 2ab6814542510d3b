//! A bundle, the layout that is in it, and a site that serves it where no way leads out.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sealock_testkit::cosign::Cosign;
use sealock_testkit::sealed::Sealed;
use sealock_trust::Digest;

use crate::import::believe;
use crate::packager::Packager;
use crate::sandbox::Sandbox;
use crate::{signatures, vendors};

/// The bundle, beside everything else in the sandbox.
pub const BUNDLE: &str = "plant/plant-1.tar";
/// The signed image, by its name upstream.
pub const WEB: &str = "docker.io/library/web:2";
/// An index of one platform.
pub const APP: &str = "quay.io/team/app:v1";
/// A later bundle, unpacked: a vendor vouches for `APP` there.
pub const VENDOR_LAYOUT: &str = "layout-vendor";
/// The authority of the site registry.
pub const CA: &str = "state/tls/ca.crt";

/// Where every row plays.
pub struct Scene {
    packager: Packager,
    /// What `WEB` is.
    pub web: Digest,
    /// `127.0.0.1:PORT` of the site registry.
    pub site: String,
    sealed: Sealed,
    servers: Vec<Child>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl Scene {
    pub fn new() -> Self {
        let (packager, web) = signatures::signed();
        packager.build();
        let sandbox = &packager.sandbox;
        let site = format!("127.0.0.1:{}", believe(sandbox, "plant-7"));
        sandbox.must(&["import", BUNDLE]);
        sandbox.write("stranger.pub", Cosign::generate().public_pem());
        let mut scene = Self { packager, web, site, sealed: Sealed::new(), servers: Vec::new() };
        let links = scene.tool("ip", &["-oneline", "link"]).expect("ip");
        assert!(links.lines().count() == 1 && links.contains(" lo:"), "a way out: {links}");
        scene.make_folder("certificates");
        std::fs::copy(scene.path(CA), scene.path("certificates/ca.crt")).expect("a copy");
        scene.make_folder("layout");
        scene.tool("tar", &["-xf", BUNDLE, "-C", "layout"]).expect("tar");
        vendors::delegated_bundle(&scene.packager, "plant/plant-2.tar");
        scene.make_folder(VENDOR_LAYOUT);
        scene.tool("tar", &["-xf", "plant/plant-2.tar", "-C", VENDOR_LAYOUT]).expect("tar");
        let url = format!("https://{}/v2/", scene.site);
        scene.serve(env!("CARGO_BIN_EXE_sealock"), &["serve"], &url);
        scene
    }

    fn sandbox(&self) -> &Sandbox {
        &self.packager.sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.sandbox().join(name)
    }

    pub fn make_folder(&self, name: &str) {
        std::fs::create_dir_all(self.path(name)).expect("a folder");
    }

    /// An artifact of the bundle as the site registry has it.
    pub fn at_site(&self, name: &str) -> String {
        format!("{}/{name}", self.site)
    }

    /// Runs a program in the sandbox, where nothing but loopback is; answers its standard output.
    pub fn tool(&self, program: &str, args: &[&str]) -> Result<String, String> {
        let output = self.command(program, args).output().map_err(|error| format!("{program}: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        Err(format!("{program} {}: {}\n{out}{err}", args.join(" "), output.status))
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the programs are found as whoever runs this finds them")]
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.sealed.command(program);
        command.args(args).current_dir(self.sandbox().path()).stdin(Stdio::null()).env_clear();
        command.env("HOME", self.path("home")).env("PATH", format!("{path}:/usr/sbin:/sbin"));
        // What Go's programs believe.
        command.env("SSL_CERT_FILE", self.path(CA)).env("SEALOCK_STATE_DIR", self.path("state"));
        command
    }

    /// Starts a server that runs as long as the scene, and waits until it answers at `url`.
    fn serve(&mut self, program: &str, args: &[&str], url: &str) {
        let mut command = self.command(program, args);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a server");
        self.servers.push(server);
        self.wait_for(url).expect("a server");
    }

    /// Runs `work` beside a server that ends with it.
    pub fn beside<T>(
        &self,
        (program, args): (&str, &[&str]),
        url: &str,
        work: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, String> {
        let mut command = self.command(program, args);
        let mut server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|e| e.to_string())?;
        let outcome = self.wait_for(url).and_then(|()| work());
        let _ = server.kill();
        let _ = server.wait();
        outcome
    }

    fn wait_for(&self, url: &str) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let ca = self.path(CA).display().to_string();
        loop {
            let asked = self.tool("curl", &["--silent", "--fail", "--max-time", "5", "--cacert", &ca, url]);
            match asked {
                Ok(_) => return Ok(()),
                Err(said) if Instant::now() > deadline => return Err(format!("no answer after 20 s: {said}")),
                Err(_) => std::thread::yield_now(),
            }
        }
    }
}

/// Turns a condition that does not hold into what a row says.
pub fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
