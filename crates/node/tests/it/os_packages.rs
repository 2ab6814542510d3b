//! OS packages, by the real apt and dpkg on a system below a temporary folder: resolved, installed, cut off, and gone on with.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sealock_node::changes::NODE_FOLDER;
use sealock_node::host::{Alteration, Command, Entry, Host, HostError, Local, Output};
use sealock_node::os_packages::{self, INDEX, OsLook, OsLookRequest, OsSetIndex, PackageChange};
use sealock_node::pull::Client;
use sealock_node::request::Secrets;
use sealock_node::source::Source;
use sealock_node::step::{
    Artifact, MachineRestarted, Mode, OsPackageFile, OsPackageSet, OsPackagesAdded, OsPackagesInstalled,
    OsPackagesLaidDown, RestartWhen,
};
use sealock_node::{Context, Probe, Step, StepError};
use sealock_trust::Digest;
use sealock_trust::reason::Code;

use crate::registry::{Answer, Registry};

const SET: &str = "debian-12";
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A system whose packages the real programs change, below a folder.
struct System {
    root: tempfile::TempDir,
    local: Local,
}

impl System {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in [
            "var/lib/dpkg/info",
            "var/lib/dpkg/updates",
            "var/lib/dpkg/triggers",
            "var/lib/apt",
            "var/log/apt",
            "run",
            "etc",
        ] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let system = Self { local: Local::rooted(root.path()), root };
        system.put("/var/lib/dpkg/status", "");
        system.put("/var/lib/dpkg/available", "");
        system.put(BOOT, "first\n");
        system
    }

    fn put(&self, path: &str, content: &str) {
        let place = self.root.path().join(&path[1..]);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }

    /// What only makes sense below the root: paths in arguments, in variables, and in the settings that they name.
    fn below(&self, text: &str) -> String {
        let root = self.root.path().to_str().unwrap();
        ["/var/lib/sealock", "/run/sealock"]
            .iter()
            .fold(text.to_owned(), |text, folder| text.replace(folder, &format!("{root}{folder}")))
    }

    /// Puts packages into a set on the host, as if they had been fetched; gives back what the plan says of it.
    fn lay_down(&self, debs: &Path) -> OsPackagesLaidDown {
        let mut files = Vec::new();
        for deb in fs::read_dir(debs).unwrap().map(Result::unwrap) {
            let name = deb.file_name().to_str().unwrap().to_owned();
            let content = fs::read(deb.path()).unwrap();
            let place = self.root.path().join("var/lib/sealock/os-packages").join(SET).join(&name);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, &content).unwrap();
            files.push(OsPackageFile { name, digest: Digest::sha256(&content) });
        }
        files.sort();
        let artifact = Artifact { repository: format!("os-packages/{SET}"), digest: Digest::sha256(b"set") };
        OsPackagesLaidDown { sets: vec![OsPackageSet { name: SET.into(), artifact, files }] }
    }

    fn look(&self, index: &Path, allow_removals: bool) -> Result<OsLook, StepError> {
        let index = fs::read_to_string(index.join(INDEX)).unwrap();
        let sets = vec![OsSetIndex { name: SET.into(), index }];
        os_packages::look(self, &OsLookRequest { sets, allow_removals, begun: false, install: Vec::new(), only: false })
    }

    fn installed(&self) -> String {
        let said = Command::new("dpkg-query", ["-W", "-f", "${Package} ${Version} ${db:Status-Abbrev}\n"]).must(self);
        said.unwrap()
    }
}

impl Host for System {
    fn inspect(&self, path: &str) -> Result<Entry, HostError> {
        self.local.inspect(path)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read>, HostError> {
        self.local.open(path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, HostError> {
        self.local.list(path)
    }

    fn write(&self, path: &str, mode: Mode, content: &mut dyn Read) -> Result<(), HostError> {
        if !path.ends_with("/sources.list") {
            return self.local.write(path, mode, content);
        }
        let mut text = String::new();
        content.read_to_string(&mut text).unwrap();
        self.local.write(path, mode, &mut self.below(&text).as_bytes())
    }

    fn alter(&self, alteration: Alteration<'_>) -> Result<(), HostError> {
        self.local.alter(alteration)
    }

    fn run(&self, command: &Command) -> Result<Output, HostError> {
        let root = self.root.path().to_str().unwrap();
        let dpkg = [format!("--root={root}"), "--force-not-root".into(), "--force-script-chrootless".into()];
        let mut real = command.clone();
        real.args = match command.program.as_str() {
            "dpkg" => dpkg.to_vec(),
            "dpkg-query" => vec![format!("--admindir={root}/var/lib/dpkg")],
            "apt-get" => {
                let state = [
                    format!("Dir::State={root}/var/lib/apt"),
                    format!("Dir::State::status={root}/var/lib/dpkg/status"),
                    format!("Dir::Log={root}/var/log"),
                    "APT::Architecture=amd64".to_owned(),
                ];
                let options = dpkg.iter().map(|option| format!("DPkg::Options::={option}"));
                state.into_iter().chain(options).flat_map(|one| ["-o".to_owned(), one]).collect()
            }
            "systemctl" => {
                let said = "ActiveState=inactive\nUnitFileState=disabled\nNeedDaemonReload=no\n";
                return Ok(Output { stdout: said.into(), ..Output::default() });
            }
            _ => Vec::new(),
        };
        real.args.extend(command.args.iter().map(|arg| self.below(arg)));
        real.env.values_mut().for_each(|value| *value = self.below(value));
        self.local.run(&real)
    }
}

/// A folder with an index and these packages for all architectures: name, version, and further fields. `chrony` has settings.
fn archive(packages: &[(&str, &str, &str)]) -> tempfile::TempDir {
    let (folder, trees) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut index = String::new();
    for (name, version, more) in packages {
        let tree = trees.path().join(format!("{name}-{version}"));
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::create_dir_all(tree.join("usr/share").join(name)).unwrap();
        fs::write(tree.join("usr/share").join(name).join("version"), version).unwrap();
        if *name == "chrony" {
            fs::create_dir_all(tree.join("etc/chrony")).unwrap();
            fs::write(tree.join("etc/chrony/chrony.conf"), "as it comes\n").unwrap();
            fs::write(tree.join("DEBIAN/conffiles"), "/etc/chrony/chrony.conf\n").unwrap();
        }
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o755)).unwrap();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Test <test@example>\n{more}Description: a test\n"
        );
        fs::write(tree.join("DEBIAN/control"), &control).unwrap();
        let file = format!("{name}_{version}_all.deb");
        let (from, to) = (tree.to_str().unwrap(), folder.path().join(&file));
        let built = Command::new("dpkg-deb", ["--root-owner-group", "--build", from, to.to_str().unwrap()]);
        built.must(&Local::new()).unwrap_or_else(|error| panic!("dpkg-deb of the package dpkg is needed: {error}"));
        let content = fs::read(&to).unwrap();
        let digest = Digest::sha256(&content);
        index.push_str(&format!("{control}Filename: ./{file}\nSize: {}\nSHA256: {}\n\n", content.len(), digest.hex()));
    }
    fs::write(folder.path().join(INDEX), index).unwrap();
    folder
}

fn change(package: &str, from: Option<&str>, to: Option<&str>) -> PackageChange {
    let [from, to] = [from, to].map(|version| version.map(str::to_owned));
    let architecture = if to.is_some() { "all".into() } else { String::new() };
    PackageChange { package: package.into(), architecture, from, to }
}

fn installed(laid: &OsPackagesLaidDown, changes: &[PackageChange]) -> Step {
    let step = OsPackagesInstalled { sets: vec![SET.into()], contents: laid.contents(), changes: changes.into() };
    Step::new("os-packages/installed", step)
}

fn with<T>(work: impl FnOnce(&Context<'_>) -> T) -> T {
    let (admitted, secrets) = (BTreeSet::new(), Secrets::default());
    work(&Context { source: None, admitted: &admitted, secrets: &secrets, progress: &|_| {} })
}

fn carried_out(step: &Step, system: &System) -> Result<(), StepError> {
    with(|context| {
        step.apply(system, context)?;
        step.verify(system, context)
    })
}

fn probe(step: &Step, system: &System) -> Probe {
    with(|context| step.probe(system, context)).unwrap()
}

/// A system with `tool` 1.0, `kubelet` 1.0 and `other` 1.0.
fn system() -> System {
    let system = System::new();
    let first = archive(&[("tool", "1.0", ""), ("kubelet", "1.0", ""), ("other", "1.0", "")]);
    let files = ["tool", "kubelet", "other"].map(|name| first.path().join(format!("{name}_1.0_all.deb")));
    let args = ["--install".to_owned()].into_iter().chain(files.map(|file| file.to_str().unwrap().to_owned()));
    Command::new("dpkg", args).must(&system).unwrap();
    system
}

fn second() -> tempfile::TempDir {
    archive(&[
        ("tool", "1.0+b1", "Depends: base\n"),
        ("base", "0.1~rc1", ""),
        ("kubelet", "9.0", ""),
        ("unasked", "1.0", ""),
    ])
}

#[test]
fn what_would_change_is_told_by_apt_and_nothing_is_changed() {
    let (system, second) = (system(), second());
    let before = system.installed();
    let look = system.look(second.path(), false).unwrap();
    assert_eq!(look.changes, [change("base", None, Some("0.1~rc1")), change("tool", Some("1.0"), Some("1.0+b1"))]);
    assert_eq!((look.restart, look.interrupted), (None, false));
    assert_eq!(system.installed(), before);
    assert!(
        !system.root.path().join("run/sealock/os-packages").exists()
            && !system.root.path().join("var/lib/sealock").exists()
    );
}

#[test]
fn what_is_planned_is_installed_and_found_done() {
    let (system, second) = (system(), second());
    let laid = system.lay_down(second.path());
    let changes = system.look(second.path(), false).unwrap().changes;
    let step = installed(&laid, &changes);
    assert!(matches!(probe(&step, &system), Probe::NotDone { .. }));
    carried_out(&step, &system).unwrap();
    assert_eq!(system.installed(), "base 0.1~rc1 ii \nkubelet 1.0 ii \nother 1.0 ii \ntool 1.0+b1 ii \n");
    carried_out(&step, &system).unwrap();
    assert_eq!(system.look(second.path(), false).unwrap().changes, []);
}

/// An index of somebody else beside the packages, a package too many, or one that was changed.
#[test]
fn a_folder_that_is_not_what_the_plan_says_is_not_used() {
    let (system, second) = (system(), second());
    let laid = system.lay_down(second.path());
    let step = installed(&laid, &system.look(second.path(), false).unwrap().changes);
    let before = system.installed();
    let folder = format!("/var/lib/sealock/os-packages/{SET}");
    for (file, content) in [("zz_1.0_all.deb", "one too many"), ("tool_1.0+b1_all.deb", "another one"), (INDEX, "")] {
        let path = format!("{folder}/{file}");
        let kept = fs::read(system.root.path().join(&path[1..])).ok();
        system.put(&path, content);
        let refused = carried_out(&step, &system).unwrap_err();
        assert!(refused.to_string().contains("does not hold what was laid down"), "{refused}");
        assert_eq!(system.installed(), before);
        let place = system.root.path().join(&path[1..]);
        kept.map_or_else(|| fs::remove_file(&place).unwrap(), |kept| fs::write(&place, kept).unwrap());
    }
    carried_out(&step, &system).unwrap();
}

/// Between plan and apply somebody has installed what is in the way.
#[test]
fn where_apt_would_do_more_than_was_planned_nothing_is_done() {
    let system = system();
    let second = archive(&[("tool", "2.0", "Depends: base\nConflicts: other\n"), ("base", "1.0", "")]);
    let laid = system.lay_down(second.path());
    let changes = [change("base", None, Some("1.0")), change("tool", Some("1.0"), Some("2.0"))];
    let before = system.installed();
    let refused = carried_out(&installed(&laid, &changes), &system).unwrap_err();
    assert_eq!(refused.code(), Some(Code::StalePlan), "{refused}");
    assert!(refused.to_string().contains("other 1.0 (goes)"), "{refused}");
    assert_eq!(system.installed(), before);
    // With what goes in the plan it is made.
    assert_eq!(system.look(second.path(), false).unwrap().changes, [], "what would take others away is held back");
    let changes = system.look(second.path(), true).unwrap().changes;
    assert!(changes.contains(&change("other", Some("1.0"), None)), "{changes:?}");
    carried_out(&installed(&laid, &changes), &system).unwrap();
    assert_eq!(system.installed(), "base 1.0 ii \nkubelet 1.0 ii \ntool 2.0 ii \n");
}

#[test]
fn what_a_dpkg_has_left_half_done_is_finished_first() {
    let (system, second) = (system(), second());
    let laid = system.lay_down(second.path());
    let changes = system.look(second.path(), false).unwrap().changes;
    let deb = second.path().join("base_0.1~rc1_all.deb");
    Command::new("dpkg", ["--unpack", deb.to_str().unwrap()]).must(&system).unwrap();
    assert!(system.installed().contains("base 0.1~rc1 iU "), "{}", system.installed());
    let look = system.look(second.path(), false).unwrap();
    assert!(look.interrupted && look.changes.is_empty());
    let step = installed(&laid, &changes);
    assert!(
        matches!(probe(&step, &system), Probe::NotDone { because } if because.contains("base is not installed whole"))
    );
    carried_out(&step, &system).unwrap();
    assert!(!system.look(second.path(), false).unwrap().interrupted);
}

#[test]
fn a_kernel_or_a_package_that_asks_for_it_wants_a_restart_until_there_was_one() {
    let system = system();
    let second = archive(&[
        ("tool", "2.0", "Depends: linux-image-6.1.0-99-amd64\n"),
        ("linux-image-6.1.0-99-amd64", "6.1.9-1", ""),
    ]);
    let restarted = |when| Step::new("restarted", MachineRestarted { when, timeout_seconds: 60 });
    let (required, always) = (restarted(RestartWhen::Required), restarted(RestartWhen::Always));
    assert_eq!((probe(&required, &system), probe(&always, &system)), (Probe::Done, Probe::Done));
    let laid = system.lay_down(second.path());
    carried_out(&installed(&laid, &system.look(second.path(), false).unwrap().changes), &system).unwrap();
    let wanted = "linux-image-6.1.0-99-amd64 6.1.9-1 was installed since it was started";
    assert_eq!(probe(&required, &system), Probe::not_done(wanted));
    assert_eq!(system.look(second.path(), false).unwrap().restart.as_deref(), Some(wanted));
    system.put(BOOT, "second\n");
    assert_eq!((probe(&required, &system), probe(&always, &system)), (Probe::Done, Probe::Done));
    system.put("/run/reboot-required", "");
    system.put("/run/reboot-required.pkgs", "libc6\ndbus\nlibc6\n");
    assert_eq!(probe(&required, &system), Probe::not_done("it is asked for by dbus, libc6 (/run/reboot-required)"));
    assert!(system.root.path().join(&NODE_FOLDER[1..]).join("os-packages.json").exists());
}

/// Whatever was installed is a reason where machines are always restarted.
#[test]
fn always_is_always() {
    let (system, second) = (system(), second());
    let laid = system.lay_down(second.path());
    carried_out(&installed(&laid, &system.look(second.path(), false).unwrap().changes), &system).unwrap();
    let restarted = |when| Step::new("restarted", MachineRestarted { when, timeout_seconds: 60 });
    assert_eq!(probe(&restarted(RestartWhen::Required), &system), Probe::Done);
    assert!(matches!(probe(&restarted(RestartWhen::Always), &system), Probe::NotDone { .. }));
}

#[test]
fn names_that_are_more_than_names_are_refused() {
    let (system, second) = (system(), second());
    let index = fs::read_to_string(second.path().join(INDEX)).unwrap();
    let request = |name: &str, install: &str| OsLookRequest {
        sets: vec![OsSetIndex { name: name.into(), index: index.clone() }],
        allow_removals: false,
        begun: false,
        install: vec![install.into()],
        only: false,
    };
    for (set, package) in
        [("../x", "tool"), (".apt", "tool"), (SET, "-oDebug=1"), (SET, "tool-"), (SET, "a b"), (SET, "tool/stable")]
    {
        let refused = os_packages::look(&system, &request(set, package)).unwrap_err();
        assert_eq!(refused.code(), Some(Code::Format), "{set} {package}");
    }
    let brought = os_packages::look(&system, &request(SET, "unasked")).unwrap();
    assert!(brought.changes.contains(&change("unasked", None, Some("1.0"))));
}

/// A set of one file, as the site registry has it.
fn fetched(registry: &Registry, content: &[u8], layer: Vec<Answer>) -> (Step, Artifact) {
    let artifact = registry.artifact("os-packages/debian-12", content, layer);
    let files = vec![OsPackageFile { name: INDEX.into(), digest: Digest::sha256(content) }];
    let sets = vec![OsPackageSet { name: SET.into(), artifact: artifact.clone(), files }];
    (Step::new("os-packages/laid-down", OsPackagesLaidDown { sets }), artifact)
}

fn fetch(step: &Step, system: &System, (registry, admitted): (&Registry, &[&Artifact])) -> Result<(), StepError> {
    let source = Source::Registry(Client::new(&registry.endpoint).unwrap());
    let admitted: BTreeSet<_> = admitted.iter().map(|artifact| artifact.digest.clone()).collect();
    let secrets = Secrets::default();
    let context = Context { source: Some(&source), admitted: &admitted, secrets: &secrets, progress: &|_| {} };
    step.apply(system, &context)?;
    step.verify(system, &context)
}

#[test]
fn packages_are_laid_down_by_digest_and_nothing_else_stays_beside_them() {
    let (system, registry) = (System::new(), Registry::start());
    let (step, artifact) = fetched(&registry, b"index", vec![Answer::Whole(b"index".to_vec())]);
    let folder = "/var/lib/sealock/os-packages/debian-12";
    system.put(&format!("{folder}/earlier_1.0_all.deb"), "of an earlier release");
    assert!(matches!(probe(&step, &system), Probe::NotDone { .. }));
    fetch(&step, &system, (&registry, &[&artifact])).unwrap();
    assert_eq!(system.list(folder).unwrap(), [INDEX]);
    let asked = registry.asked();
    assert_eq!(probe(&step, &system), Probe::Done);
    assert_eq!(registry.asked(), asked, "a look asks nobody");
    system.put(&format!("{folder}/{INDEX}"), "flipped");
    assert!(matches!(probe(&step, &system), Probe::NotDone { .. }));
}

#[test]
fn what_the_release_does_not_hold_or_what_is_damaged_is_not_laid_down() {
    let (system, registry) = (System::new(), Registry::start());
    let (step, artifact) = fetched(&registry, b"index", vec![Answer::Whole(b"ondex".to_vec())]);
    let refused = fetch(&step, &system, (&registry, &[])).unwrap_err();
    assert_eq!((refused.code(), registry.asked()), (Some(Code::NotInRelease), 0), "{refused}");
    let refused = fetch(&step, &system, (&registry, &[&artifact])).unwrap_err();
    assert_eq!(refused.code(), Some(Code::Digest), "{refused}");
    assert_eq!(system.list("/var/lib/sealock/os-packages/debian-12").unwrap(), [""; 0]);
}

/// Between two unpacks nothing can be configured: what is missing comes with the same plan.
#[test]
fn what_was_cut_off_between_two_unpacks_is_gone_on_with() {
    let (system, second) = (system(), second());
    let laid = system.lay_down(second.path());
    let step = installed(&laid, &system.look(second.path(), false).unwrap().changes);
    let deb = second.path().join("tool_1.0+b1_all.deb");
    Command::new("dpkg", ["--unpack", deb.to_str().unwrap()]).must(&system).unwrap();
    assert!(!Command::new("dpkg", ["--configure", "-a"]).succeeds(&system).unwrap(), "it could be configured");
    carried_out(&step, &system).unwrap();
    assert_eq!(system.installed(), "base 0.1~rc1 ii \nkubelet 1.0 ii \nother 1.0 ii \ntool 1.0+b1 ii \n");
}

/// A plan of another release mends what an earlier one was cut off in.
#[test]
fn what_was_begun_does_not_keep_apt_from_saying_what_mends_it() {
    let (system, second) = (system(), second());
    let deb = second.path().join("tool_1.0+b1_all.deb");
    Command::new("dpkg", ["--unpack", deb.to_str().unwrap()]).must(&system).unwrap();
    let index = fs::read_to_string(second.path().join(INDEX)).unwrap();
    let sets = vec![OsSetIndex { name: SET.into(), index }];
    let request = OsLookRequest { sets, allow_removals: false, begun: true, install: Vec::new(), only: false };
    let look = os_packages::look(&system, &request).unwrap();
    assert!(look.interrupted && look.changes.contains(&change("base", None, Some("0.1~rc1"))), "{look:?}");
    let laid = system.lay_down(second.path());
    carried_out(&installed(&laid, &look.changes), &system).unwrap();
    assert!(system.installed().contains("tool 1.0+b1 ii "), "{}", system.installed());
}

/// Somebody has installed a newer one by hand between plan and apply: it does not go back.
#[test]
fn what_is_newer_by_then_is_left_alone() {
    let (system, second) = (system(), second());
    let laid = system.lay_down(second.path());
    let step = installed(&laid, &system.look(second.path(), false).unwrap().changes);
    let newer = archive(&[("tool", "3.0", "")]);
    let deb = newer.path().join("tool_3.0_all.deb");
    Command::new("dpkg", ["--install", deb.to_str().unwrap()]).must(&system).unwrap();
    carried_out(&step, &system).unwrap();
    assert!(system.installed().contains("tool 3.0 ii ") && system.installed().contains("base 0.1~rc1 ii "));
}

#[test]
fn what_is_on_hold_or_in_the_way_is_named() {
    let system = system();
    let second = archive(&[("tool", "2.0", "Conflicts: other\n")]);
    let look = system.look(second.path(), false).unwrap();
    assert_eq!((look.changes, look.kept_back), (vec![], vec!["tool".to_owned()]));
}

/// What brings programs to a host: with what they need, and something newer of what is there.
fn programs() -> tempfile::TempDir {
    archive(&[
        ("tool", "2.0", ""),
        ("nftables", "1.0.6-2", "Depends: libnft\n"),
        ("libnft", "1.0.6-2", ""),
        ("chrony", "4.3-2", ""),
    ])
}

/// What comes to a host that lacks nftables and chrony, laid down there.
fn lacked(system: &System, archive: &Path) -> Step {
    let laid = system.lay_down(archive);
    let index = fs::read_to_string(archive.join(INDEX)).unwrap();
    let sets = vec![OsSetIndex { name: SET.into(), index }];
    let install = ["chrony", "nftables"].map(str::to_owned).into();
    let request = OsLookRequest { sets, allow_removals: false, begun: true, install, only: true };
    let changes = os_packages::look(system, &request).unwrap().changes;
    Step::new("os-packages/added", OsPackagesAdded { sets: vec![SET.into()], contents: laid.contents(), changes })
}

fn undone(step: &Step, system: &System) -> Vec<String> {
    let told = RefCell::new(Vec::new());
    let (admitted, secrets) = (BTreeSet::new(), Secrets::default());
    let progress = |line: &str| told.borrow_mut().push(line.to_owned());
    step.undo(system, &Context { source: None, admitted: &admitted, secrets: &secrets, progress: &progress }).unwrap();
    told.take()
}

#[test]
fn what_a_host_lacks_comes_alone_and_goes_again() {
    let (system, programs) = (system(), programs());
    let before = system.installed();
    let step = lacked(&system, programs.path());
    let words = "lay in what the host lacks: chrony 4.3-2 (new), libnft 1.0.6-2 (new), nftables 1.0.6-2 (new)";
    assert_eq!(step.to_string(), words);
    assert_eq!(probe(&step, &system), Probe::not_done("chrony is not installed whole"));
    carried_out(&step, &system).unwrap();
    let there =
        "chrony 4.3-2 ii \nkubelet 1.0 ii \nlibnft 1.0.6-2 ii \nnftables 1.0.6-2 ii \nother 1.0 ii \ntool 1.0 ii \n";
    assert_eq!(system.installed(), there);
    carried_out(&step, &system).unwrap();
    assert_eq!(undone(&step, &system), ["taking away chrony, libnft, nftables"]);
    assert_eq!(system.installed(), before);
    assert!(undone(&step, &system).is_empty(), "a second time there is nothing to take away");
}

#[test]
fn what_was_there_and_what_others_have_come_to_need_stays() {
    let (system, programs) = (system(), programs());
    let deb = |archive: &Path, name: &str| archive.join(name).to_str().unwrap().to_owned();
    Command::new("dpkg", ["--install".to_owned(), deb(programs.path(), "libnft_1.0.6-2_all.deb")])
        .must(&system)
        .unwrap();
    let step = lacked(&system, programs.path());
    carried_out(&step, &system).unwrap();
    let theirs = archive(&[("firewall", "1.0", "Depends: nftables\n")]);
    Command::new("dpkg", ["--install".to_owned(), deb(theirs.path(), "firewall_1.0_all.deb")]).must(&system).unwrap();
    assert_eq!(undone(&step, &system), ["nftables stays: firewall came to need it", "taking away chrony"]);
    let there =
        "firewall 1.0 ii \nkubelet 1.0 ii \nlibnft 1.0.6-2 ii \nnftables 1.0.6-2 ii \nother 1.0 ii \ntool 1.0 ii \n";
    assert_eq!(system.installed(), there);
}

#[test]
fn what_every_system_has_stays() {
    let system = system();
    let programs = archive(&[("nftables", "1.0", ""), ("chrony", "4.3", "Protected: yes\n")]);
    let step = lacked(&system, programs.path());
    carried_out(&step, &system).unwrap();
    assert_eq!(undone(&step, &system), ["chrony stays: it is one that every system has", "taking away nftables"]);
    assert!(system.installed().starts_with("chrony 4.3 ii \n"), "{}", system.installed());
}

#[test]
fn cut_off_in_dpkg_it_is_finished_and_taken_away_again() {
    let (system, programs) = (system(), programs());
    let before = system.installed();
    let step = lacked(&system, programs.path());
    carried_out(&step, &system).unwrap();
    undone(&step, &system);
    let deb = programs.path().join("libnft_1.0.6-2_all.deb");
    Command::new("dpkg", ["--unpack", deb.to_str().unwrap()]).must(&system).unwrap();
    assert!(matches!(probe(&step, &system), Probe::NotDone { .. }));
    carried_out(&step, &system).unwrap();
    assert!(system.installed().contains("libnft 1.0.6-2 ii"), "{}", system.installed());
    undone(&step, &system);
    assert_eq!(system.installed(), before);
}

/// Somebody had taken chrony away, and not its settings.
#[test]
fn settings_of_what_had_been_taken_away_before_stay() {
    let (system, programs) = (system(), programs());
    let deb = programs.path().join("chrony_4.3-2_all.deb");
    Command::new("dpkg", ["--install", deb.to_str().unwrap()]).must(&system).unwrap();
    system.put("/etc/chrony/chrony.conf", "server 10.77.0.2\n");
    Command::new("dpkg", ["--remove", "chrony"]).must(&system).unwrap();
    let before = system.installed();
    assert!(before.starts_with("chrony 4.3-2 rc \n"), "{before}");
    let step = lacked(&system, programs.path());
    carried_out(&step, &system).unwrap();
    assert!(system.installed().starts_with("chrony 4.3-2 ii \n"), "{}", system.installed());
    assert_eq!(undone(&step, &system), ["taking away chrony, libnft, nftables"]);
    assert_eq!(system.installed(), before);
    let settings = fs::read_to_string(system.root.path().join("etc/chrony/chrony.conf")).unwrap();
    assert_eq!(settings, "server 10.77.0.2\n");
    assert!(undone(&step, &system).is_empty(), "a second time there is nothing to take away");
}

/// A dpkg that takes packages away was ended: one is gone, one half so, and of one its settings are left.
#[test]
fn cut_off_while_it_takes_away_it_goes_on() {
    let (system, programs) = (system(), programs());
    let before = system.installed();
    let step = lacked(&system, programs.path());
    carried_out(&step, &system).unwrap();
    Command::new("dpkg", ["--purge", "nftables"]).must(&system).unwrap();
    Command::new("dpkg", ["--remove", "chrony"]).must(&system).unwrap();
    let status = fs::read_to_string(system.root.path().join("var/lib/dpkg/status")).unwrap();
    let (of_others, of_it) = status.split_once("Package: libnft\n").unwrap();
    let half = of_it.replacen("install ok installed", "purge ok half-installed", 1);
    system.put("/var/lib/dpkg/status", &format!("{of_others}Package: libnft\n{half}"));
    let left = system.installed();
    assert!(left.contains("chrony 4.3-2 rc ") && left.contains("libnft 1.0.6-2 pH "), "{left}");
    assert_eq!(undone(&step, &system), ["taking away chrony, libnft"]);
    assert_eq!(system.installed(), before);
    assert!(!system.root.path().join("etc/chrony/chrony.conf").exists());
}
