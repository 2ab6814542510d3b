//! apt on folders of ours alone: no source, preference or list of the machine's own takes part, and nothing of it is changed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{BROUGHT_OTHERWISE, PackageChange};
use crate::error::StepError;
use crate::host::{self, Alteration, Command, Host, HostError, Output};
use crate::step::Mode;

/// Hundreds of packages on a slow disk.
const INSTALLS: Duration = Duration::from_secs(2 * 3600);
const LOOKS: Duration = Duration::from_secs(300);
/// How long somebody else's dpkg is waited for.
const LOCKED_SECONDS: u32 = 300;
/// Where apt says why there is nothing to resolve.
const INTERRUPTED: &str = "dpkg was interrupted";
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
    /// It was, and has left this.
    So(String),
}

/// What apt would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// What is installed or goes, in the order of names.
    pub(crate) changes: Vec<PackageChange>,
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
        let words: Vec<&str> =
            ["-s", "-qq"].iter().chain(how).copied().chain(more.iter().map(String::as_str)).collect();
        self.resolve(&words)
    }

    /// What making `changes`, and nothing else, would do: what of it is done is not in it any more.
    pub(crate) fn simulate(&self, changes: &[PackageChange]) -> Result<Resolved, StepError> {
        let words = wanted(changes);
        let words: Vec<&str> = ["-s", "-qq", "install"].into_iter().chain(words.iter().map(String::as_str)).collect();
        self.resolve(&words)
    }

    /// Makes `changes`. Questions are answered as the machine has it: its files stay.
    pub(crate) fn install(&self, changes: &[PackageChange]) -> Result<(), StepError> {
        let words = wanted(changes);
        let words: Vec<&str> = ["-q", "-y", "install"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let mut command = self.command(&words).timeout(INSTALLS);
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
        Self { changes }
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
            let (_, coming) = rest.split_once('(')?;
            let to = coming.split([' ', ')']).next()?.to_owned();
            let architecture = coming.rsplit_once('[').and_then(|(_, rest)| rest.split(']').next());
            let architecture = architecture.or(of).unwrap_or_default().to_owned();
            Some(PackageChange { package: package.to_owned(), architecture, from, to: Some(to) })
        }
        "Remv" => {
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

/// Finishes what a dpkg has left that was cut off; whether there was anything.
pub(crate) fn finish_interrupted(host: &dyn Host) -> Result<bool, StepError> {
    if is_interrupted(host)? == Interrupted::Not {
        return Ok(false);
    }
    let mut command =
        Command::new("dpkg", ["--force-confdef", "--force-confold", "--configure", "-a"]).timeout(INSTALLS);
    command.env.extend(quiet());
    command.must(host)?;
    Ok(true)
}

/// Whether a dpkg was cut off here: it has left a package half done, or what it had not yet written down.
pub(crate) fn is_interrupted(host: &dyn Host) -> Result<Interrupted, StepError> {
    if !host.list(UPDATES)?.is_empty() {
        return Ok(Interrupted::So(format!("{UPDATES} is not empty")));
    }
    // Each package that is not whole stands in a line of its own, with a blank before it.
    let said = Command::new("dpkg", ["--audit"]).must(host)?;
    let named = said.lines().filter_map(|line| line.strip_prefix(' ')?.split_whitespace().next());
    let named: Vec<&str> = named.collect();
    Ok(match named.as_slice() {
        [] if said.trim().is_empty() => Interrupted::Not,
        [] => Interrupted::So("packages are not whole".to_owned()),
        named => Interrupted::So(format!("{} not whole", named.join(", "))),
    })
}

/// The versions of what is installed whole, by package and architecture.
pub(crate) fn installed(host: &dyn Host) -> Result<BTreeMap<(String, String), String>, StepError> {
    let format = r"${Package}\t${Architecture}\t${Version}\t${db:Status-Abbrev}\n";
    let said = Command::new("dpkg-query", ["-W", "-f", format]).must(host)?;
    let of_line = |line: &str| {
        let mut fields = line.split('\t');
        let [package, architecture, version, status] = [(); 4].map(|()| fields.next().unwrap_or_default().to_owned());
        // What is wanted of it comes first, then what it is, then whether it is broken.
        let whole =
            status.as_bytes().get(1) == Some(&b'i') && status.as_bytes().get(2).is_none_or(|rest| *rest == b' ');
        whole.then_some(((package, architecture), version))
    };
    Ok(said.lines().filter_map(of_line).collect())
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
            Conf libc6 (2.36-9+deb12u9 localhost [amd64])\nConf new (1:3.0~rc1-1 localhost [all])\n";
        let all = [
            change("libc6", "amd64", Some("2.36-9+deb12u8"), Some("2.36-9+deb12u9")),
            change("libc6", "i386", Some("2.36-9+deb12u8"), Some("2.36-9+deb12u9")),
            change("new", "all", None, Some("1:3.0~rc1-1")),
            change("old", "", Some("1.0"), None),
        ];
        assert_eq!(Resolved::read(said).changes, all);
        assert_eq!(
            wanted(&all),
            ["libc6:amd64=2.36-9+deb12u9", "libc6:i386=2.36-9+deb12u9", "new=1:3.0~rc1-1", "old-"]
        );
        assert_eq!(Resolved::read(""), Resolved::default());
    }

    #[test]
    fn a_kernel_is_known_by_its_package() {
        assert!(change("linux-image-6.1.0-28-amd64", "amd64", None, Some("6.1.119-1")).is_kernel());
        assert!(!change("linux-image-6.1.0-20-amd64", "amd64", Some("6.1.85-1"), None).is_kernel());
        assert!(!change("linux-base", "all", Some("4.9"), Some("4.10")).is_kernel());
    }
}
