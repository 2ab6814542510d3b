//! apt on folders of ours alone: no source, preference or list of the machine's own takes part, and nothing of it is changed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{BROUGHT_OTHERWISE, PackageChange};
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host, HostError, Output};
use crate::step::Mode;
use crate::wait;

/// Hundreds of packages on a slow disk.
const INSTALLS: Duration = Duration::from_secs(2 * 3600);
const LOOKS: Duration = Duration::from_secs(300);
/// How long somebody else's dpkg is waited for.
const LOCKED_SECONDS: u32 = 300;
/// Where apt says why there is nothing to resolve.
const INTERRUPTED: &str = "dpkg was interrupted";
/// dpkg holds them while it runs, and so does apt.
const LOCKS: [&str; 2] = ["/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock"];
/// Behind it apt names what is newer and does not come.
const KEPT_BACK: &str = "have been kept back:";
/// Where an interrupted dpkg keeps what it had not yet written down.
const UPDATES: &str = "/var/lib/dpkg/updates";

/// apt with a folder for its own files.
pub(crate) struct Apt<'a> {
    host: &'a dyn Host,
    /// Its settings, lists and caches.
    own: String,
}

/// Whether a dpkg was cut off on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// It was through, or never began.
    Not,
    /// One runs now.
    Runs,
    /// It was, and has left this.
    So(String),
}

/// What apt would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// What is installed or goes, in the order of names.
    pub(crate) changes: Vec<PackageChange>,
    /// What is newer and does not come: on hold, or others would have to go for it.
    pub(crate) kept_back: Vec<String>,
}

impl<'a> Apt<'a> {
    /// apt that reads the indices in `sets`, folders each, and keeps what it makes of them in `own`.
    pub(crate) fn on(host: &'a dyn Host, own: String, sets: &[String]) -> Result<Self, StepError> {
        for folder in ["lists/partial", "cache/archives/partial"] {
            host.alter(Alteration::MakeDirectory { path: &format!("{own}/{folder}"), mode: Mode::new(0o700) })?;
        }
        // The digests of all that lies there were held against the signed release.
        let sources: String = sets.iter().map(|set| format!("deb [trusted=yes] file:{set} ./\n")).collect();
        host::write(host, &format!("{own}/sources.list"), Mode::PRIVATE, sources.as_bytes())?;
        let held = format!("Package: {}\nPin: release *\nPin-Priority: -1\n", BROUGHT_OTHERWISE.join(" "));
        host::write(host, &format!("{own}/preferences"), Mode::PRIVATE, held.as_bytes())?;
        let bare = "Dir::Etc::Parts \"/dev/null\";\nDir::Etc::Main \"/dev/null\";\n";
        host::write(host, &format!("{own}/bare.conf"), Mode::PRIVATE, bare.as_bytes())?;
        let apt = Self { host, own };
        // Without the machine's own settings: they may run programs whenever lists have changed.
        let bare = BTreeMap::from([("APT_CONFIG".to_owned(), format!("{}/bare.conf", apt.own))]);
        let mut update = apt.command(&["-q", "update"]).timeout(LOOKS);
        update.env.extend(bare);
        update.must(host)?;
        Ok(apt)
    }

    /// What bringing all that is installed to what the index has would do. `more` is what is to be there besides.
    pub(crate) fn upgrade(&self, more: &[String], allow_removals: bool) -> Result<Resolved, StepError> {
        // Of the two only the second one takes away what is in the way.
        let how: &[&str] =
            if allow_removals { &["dist-upgrade"] } else { &["upgrade", "--with-new-pkgs", "--no-remove"] };
        let words: Vec<&str> = ["-s", "-q"].iter().chain(how).copied().chain(more.iter().map(String::as_str)).collect();
        self.resolve(&words)
    }

    /// What bringing these packages, and nothing that they do not need, would do.
    pub(crate) fn addition(&self, packages: &[String]) -> Result<Resolved, StepError> {
        self.resolve_with(&["-s", "-q", "--no-remove", "install"], packages)
    }

    /// What taking these packages away would do.
    pub(crate) fn simulate_purge(&self, packages: &[String]) -> Result<Resolved, StepError> {
        self.resolve_with(&["-s", "-q", "purge"], packages)
    }

    /// Takes these packages away; their settings stay.
    pub(crate) fn remove(&self, packages: &[String]) -> Result<(), StepError> {
        let words: Vec<&str> = ["-q", "-y", "remove"].into_iter().chain(packages.iter().map(String::as_str)).collect();
        self.change(&words)
    }

    /// Takes these packages away, with their settings.
    pub(crate) fn purge(&self, packages: &[String]) -> Result<(), StepError> {
        let words: Vec<&str> = ["-q", "-y", "purge"].into_iter().chain(packages.iter().map(String::as_str)).collect();
        self.change(&words)
    }

    fn resolve_with(&self, how: &[&str], packages: &[String]) -> Result<Resolved, StepError> {
        let words: Vec<&str> = how.iter().copied().chain(packages.iter().map(String::as_str)).collect();
        self.resolve(&words)
    }

    /// What making `changes`, and nothing else, would do: what of it is done is not in it any more.
    pub(crate) fn simulate(&self, changes: &[PackageChange]) -> Result<Resolved, StepError> {
        let words = wanted(changes);
        let words: Vec<&str> = ["-s", "-q", "install"].into_iter().chain(words.iter().map(String::as_str)).collect();
        self.resolve(&words)
    }

    /// Makes `changes`. Questions are answered as the machine has it: its files stay.
    pub(crate) fn install(&self, changes: &[PackageChange]) -> Result<(), StepError> {
        let words = wanted(changes);
        let mut all = vec!["-q", "-y"];
        // Somebody may have come in between.
        all.extend(changes.iter().all(|change| change.to.is_some()).then_some("--no-remove"));
        all.push("install");
        all.extend(words.iter().map(String::as_str));
        self.change(&all)
    }

    fn change(&self, words: &[&str]) -> Result<(), StepError> {
        let mut command = self.command(words).timeout(INSTALLS);
        command.env.extend(quiet());
        let output = self.host.run(&command)?;
        if output.status == 0 { Ok(()) } else { Err(refusal(&command, &output)) }
    }

    fn resolve(&self, words: &[&str]) -> Result<Resolved, StepError> {
        let command = self.command(words).timeout(LOOKS);
        let output = self.host.run(&command)?;
        if output.status == 0 {
            return Ok(Resolved::read(&output.stdout));
        }
        Err(refusal(&command, &output))
    }

    fn command(&self, words: &[&str]) -> Command {
        let own = &self.own;
        let settings = [
            format!("Dir::Etc::SourceList={own}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::Etc::Preferences={own}/preferences"),
            "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
            format!("Dir::State::Lists={own}/lists"),
            format!("Dir::Cache={own}/cache"),
            "APT::Default-Release=".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Install-Recommends=false".to_owned(),
            "APT::Get::AllowUnauthenticated=false".to_owned(),
            "APT::Get::Purge=false".to_owned(),
            "APT::Get::AutomaticRemove=false".to_owned(),
            // What was left half done may need others of the same plan.
            "APT::Get::Fix-Broken=true".to_owned(),
            format!("DPkg::Lock::Timeout={LOCKED_SECONDS}"),
            "Dpkg::Options::=--force-confdef".to_owned(),
            "Dpkg::Options::=--force-confold".to_owned(),
            "Dpkg::Use-Pty=0".to_owned(),
        ];
        let options = settings.iter().flat_map(|setting| ["-o", setting]);
        Command::new("apt-get", options.chain(words.iter().copied()))
    }
}

impl Resolved {
    /// Reads what `apt-get -s` says, like `Inst tool [1.0] (2.0 localhost [amd64])` and `Remv other [1.0]`.
    pub(crate) fn read(text: &str) -> Self {
        let mut changes: Vec<PackageChange> = text.lines().filter_map(change).collect();
        changes.sort();
        changes.dedup();
        let mut kept_back = text.lines().skip_while(|line| !line.ends_with(KEPT_BACK)).skip(1);
        let names = kept_back.by_ref().take_while(|line| line.starts_with("  "));
        let kept_back = names.flat_map(str::split_whitespace).map(str::to_owned).collect();
        Self { changes, kept_back }
    }
}

fn change(line: &str) -> Option<PackageChange> {
    let (verb, rest) = line.split_once(' ')?;
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    // Of another architecture than the machine's own it stands behind the name.
    let (package, of) = name.split_once(':').map_or((name, None), |(package, of)| (package, Some(of)));
    let from = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(version, _)| version.to_owned());
    match verb {
        "Inst" => {
            // Behind the parentheses stand packages that are broken in between, in brackets of their own.
            let (coming, _) = rest.split_once('(')?.1.split_once(')')?;
            let to = coming.split(' ').next()?.to_owned();
            let architecture = coming.rsplit_once('[').and_then(|(_, rest)| rest.split(']').next());
            let architecture = architecture.or(of).unwrap_or_default().to_owned();
            Some(PackageChange { package: package.to_owned(), architecture, from, to: Some(to) })
        }
        "Remv" | "Purg" => {
            let architecture = of.unwrap_or_default().to_owned();
            Some(PackageChange { package: package.to_owned(), architecture, from, to: None })
        }
        _ => None,
    }
}

/// Each change as apt is asked for it.
fn wanted(changes: &[PackageChange]) -> Vec<String> {
    let word = |change: &PackageChange| match &change.to {
        // What is for all architectures counts as of the machine's own.
        Some(to) if change.architecture == "all" => format!("{}={to}", change.package),
        Some(to) => format!("{}:{}={to}", change.package, change.architecture),
        None if change.architecture.is_empty() => format!("{}-", change.package),
        None => format!("{}:{}-", change.package, change.architecture),
    };
    changes.iter().map(word).collect()
}

/// Finishes what a dpkg has left that was cut off, as far as that goes without other packages; what dpkg complains of where it does not go to
/// the end.
pub(crate) fn finish_interrupted(host: &dyn Host) -> Result<Option<String>, StepError> {
    if is_interrupted(host)? == Interrupted::Not {
        return Ok(None);
    }
    let mut command =
        Command::new("dpkg", ["--force-confdef", "--force-confold", "--configure", "-a"]).timeout(INSTALLS);
    command.env.extend(quiet());
    let output = host.run(&command)?;
    Ok((output.status != 0).then(|| output.complaint()))
}

/// Whether a dpkg was cut off here: it has left a package half done, or what it had not yet written down.
pub(crate) fn is_interrupted(host: &dyn Host) -> Result<Interrupted, StepError> {
    if is_running(host)? {
        return Ok(Interrupted::Runs);
    }
    let half: Vec<String> = statuses(host)?.into_iter().filter(Status::is_half_done).map(|one| one.package).collect();
    if !half.is_empty() {
        return Ok(Interrupted::So(format!("{} not whole", half.join(", "))));
    }
    let left = !host.list(UPDATES)?.is_empty();
    Ok(if left { Interrupted::So(format!("{UPDATES} is not empty")) } else { Interrupted::Not })
}

/// Waits until nobody else's dpkg runs any more, at most as long as apt itself would.
pub(crate) fn outlast_others(host: &dyn Host) -> Result<(), StepError> {
    let time = Duration::from_secs(LOCKED_SECONDS.into());
    let free = wait::until(time, Duration::from_secs(1), || Ok::<_, StepError>((!is_running(host)?).then_some(())))?;
    let (what, state) = ("a dpkg of somebody else runs still".to_owned(), "it holds its lock".to_owned());
    free.ok_or(StepError::Late { what, seconds: time.as_secs(), state })
}

/// Whether somebody holds a lock of dpkg, by the kernel's list of locks.
fn is_running(host: &dyn Host) -> Result<bool, StepError> {
    let stat = Command::new("stat", ["-c", "%i", LOCKS[0], LOCKS[1]]);
    let inodes = host.run(&stat)?.stdout;
    let locks = host::read_text(host, "/proc/locks")?.unwrap_or_default();
    // `1: POSIX  ADVISORY  WRITE 411 08:01:1837 0 EOF`
    let held: Vec<&str> = locks.lines().filter_map(|line| line.split_whitespace().nth(5)?.rsplit(':').next()).collect();
    Ok(inodes.lines().any(|inode| held.contains(&inode.trim())))
}

/// How much of a package there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// All of it.
    Whole,
    /// Its settings, and what it does when they go.
    Settings,
    /// Something in between: a dpkg was cut off.
    Half,
}

/// How dpkg has a package.
struct Status {
    package: String,
    architecture: String,
    version: String,
    /// What is wanted of it, what it is, and whether it is broken, a letter each.
    letters: Vec<u8>,
}

impl Status {
    fn is_whole(&self) -> bool {
        self.letters.get(1) == Some(&b'i') && self.letters.get(2).is_none_or(|broken| *broken == b' ')
    }

    /// Nothing where dpkg has no more of it than the name.
    fn known(&self) -> Option<Known> {
        match self.letters.get(1) {
            None | Some(b'n') => None,
            Some(b'c') => Some(Known::Settings),
            Some(_) if self.is_whole() => Some(Known::Whole),
            Some(_) => Some(Known::Half),
        }
    }

    /// Half installed, unpacked, half configured, or with triggers that are to come.
    fn is_half_done(&self) -> bool {
        let is = self.letters.get(1).copied().unwrap_or_default();
        b"HUFWt".contains(&is) || self.letters.get(2) == Some(&b'R')
    }
}

fn statuses(host: &dyn Host) -> Result<Vec<Status>, StepError> {
    let format = r"${Package}\t${Architecture}\t${Version}\t${db:Status-Abbrev}\n";
    let said = Command::new("dpkg-query", ["-W", "-f", format]).must(host)?;
    let of_line = |line: &str| {
        let mut fields = line.split('\t');
        let [package, architecture, version, letters] = [(); 4].map(|()| fields.next().unwrap_or_default().to_owned());
        Status { package, architecture, version, letters: letters.into_bytes() }
    };
    Ok(said.lines().map(of_line).collect())
}

/// The versions of what is installed whole, by package and architecture.
pub(crate) fn installed(host: &dyn Host) -> Result<BTreeMap<(String, String), String>, StepError> {
    let whole = statuses(host)?.into_iter().filter(Status::is_whole);
    Ok(whole.map(|one| ((one.package, one.architecture), one.version)).collect())
}

/// All that there is something of, by package and architecture.
pub(crate) fn known(host: &dyn Host) -> Result<BTreeMap<(String, String), Known>, StepError> {
    let all = statuses(host)?.into_iter().filter_map(|one| Some((one.known()?, one)));
    Ok(all.map(|(known, one)| ((one.package, one.architecture), known)).collect())
}

/// Whether version `a` is `b` or newer, by dpkg's own rules.
pub(crate) fn is_at_least(host: &dyn Host, a: &str, b: &str) -> Result<bool, HostError> {
    if a == b {
        return Ok(true);
    }
    Command::new("dpkg", ["--compare-versions", a, "ge", b]).succeeds(host)
}

/// No question is asked, by whatever runs while packages change.
fn quiet() -> BTreeMap<String, String> {
    let pairs = [
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("APT_LISTCHANGES_FRONTEND", "none"),
        ("APT_LISTBUGS_FRONTEND", "none"),
        ("NEEDRESTART_SUSPEND", "1"),
        ("UCF_FORCE_CONFFOLD", "1"),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn refusal(command: &Command, output: &Output) -> StepError {
    let said = output.complaint();
    if said.contains(INTERRUPTED) {
        let because = "dpkg was cut off here and has left packages half done: `dpkg --configure -a` finishes them";
        return StepError::Unknown { because: because.to_owned() };
    }
    // Of the settings only apt itself wants to hear.
    let words: Vec<&str> =
        command.args.iter().map(String::as_str).skip_while(|word| !["-s", "-q"].contains(word)).collect();
    let line = format!("apt-get {}", words.iter().take(4).copied().collect::<Vec<_>>().join(" "));
    StepError::Host(HostError::Command { line, status: output.status, detail: said })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(package: &str, architecture: &str, from: Option<&str>, to: Option<&str>) -> PackageChange {
        let [from, to] = [from, to].map(|version| version.map(str::to_owned));
        PackageChange { package: package.into(), architecture: architecture.into(), from, to }
    }

    /// As apt 2.6 says it.
    #[test]
    fn what_apt_would_do_is_read_from_its_words() {
        let said = "Remv old [1.0] [held:amd64 ]\n\
            Inst libc6 [2.36-9+deb12u8] (2.36-9+deb12u9 localhost [amd64]) [libc6:i386 on libc6:amd64] \n\
            Inst libc6:i386 [2.36-9+deb12u8] (2.36-9+deb12u9 localhost [i386])\n\
            Inst new (1:3.0~rc1-1 localhost [all])\n\
            Inst perl [5.36.0-7+deb12u2] (5.36.0-7+deb12u4 Debian-Security:12/stable-security [amd64]) []\n\
            Purg gone [0.9]\n\
            Conf libc6 (2.36-9+deb12u9 localhost [amd64])\nConf new (1:3.0~rc1-1 localhost [all])\n";
        let all = [
            change("gone", "", Some("0.9"), None),
            change("libc6", "amd64", Some("2.36-9+deb12u8"), Some("2.36-9+deb12u9")),
            change("libc6", "i386", Some("2.36-9+deb12u8"), Some("2.36-9+deb12u9")),
            change("new", "all", None, Some("1:3.0~rc1-1")),
            change("old", "", Some("1.0"), None),
            change("perl", "amd64", Some("5.36.0-7+deb12u2"), Some("5.36.0-7+deb12u4")),
        ];
        assert_eq!(Resolved::read(said).changes, all);
        let asked = [
            "gone-",
            "libc6:amd64=2.36-9+deb12u9",
            "libc6:i386=2.36-9+deb12u9",
            "new=1:3.0~rc1-1",
            "old-",
            "perl:amd64=5.36.0-7+deb12u4",
        ];
        assert_eq!(wanted(&all), asked);
        let held = "The following packages have been kept back:\n  one two\n  three\nThe following packages will be upgraded:\n  four\n";
        assert_eq!(Resolved::read(held).kept_back, ["one", "two", "three"]);
        assert_eq!(Resolved::read(""), Resolved::default());
    }

    #[test]
    fn a_kernel_is_known_by_its_package() {
        assert!(change("linux-image-6.1.0-28-amd64", "amd64", None, Some("6.1.119-1")).is_kernel());
        assert!(!change("linux-image-6.1.0-20-amd64", "amd64", Some("6.1.85-1"), None).is_kernel());
        assert!(!change("linux-base", "all", Some("4.9"), Some("4.10")).is_kernel());
    }
}
