//! chrony: its own settings, with the lines that name other servers out of use, and the site's servers behind them.
//!
//! Distributions lay it out in different ways: Debian has `/etc/chrony/chrony.conf` with folders beside it, Red Hat and SUSE have
//! `/etc/chrony.conf` and no folder that is always read. The one file that each of them reads is the main one.

use super::{Source, because, has_unit, microseconds, settings};
use crate::error::StepError;
use crate::host::{self, Command, Host, HostError};

/// The main file, by distribution.
pub const MAINS: [&str; 2] = ["/etc/chrony/chrony.conf", "/etc/chrony.conf"];

const UNITS: [&str; 2] = ["chrony.service", "chronyd.service"];
/// Where servers come from that somebody else names: lines of their own, folders of them, and clocks of the machine.
const SOURCES: [&str; 6] = ["server", "pool", "peer", "refclock", "initstepslew", "sourcedir"];
/// Of these a file is read as if it stood there.
const INCLUDES: [&str; 2] = ["include", "confdir"];
/// Marks what began a line before it was put out of use.
const OUT_OF_USE: &str = "#sealock# ";
const BEGIN: &str =
    "# Sealock: the time of this site; lines that named others are out of use, and a reset gives them back.";
const END: &str = "# Sealock: end.";
/// More files than any host has.
const MOST_FILES: usize = 200;

/// Its unit, where it is installed.
pub(crate) fn unit(host: &dyn Host) -> Result<Option<&'static str>, HostError> {
    for unit in UNITS {
        if has_unit(host, unit)? {
            return Ok(Some(unit));
        }
    }
    Ok(None)
}

/// The main file of this host: the one that is there, else the one where Debian has it.
pub(crate) fn main_file(host: &dyn Host) -> Result<&'static str, HostError> {
    for main in MAINS {
        if host::exists(host, main)? {
            return Ok(main);
        }
    }
    Ok(MAINS[0])
}

/// A file of chrony's settings that is to have another content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) path: String,
    pub(crate) content: String,
    /// Whether it has that content already.
    pub(crate) is_made: bool,
}

/// What becomes of the settings of this host, so that `servers` are asked and nobody else; the main file last.
///
/// # Errors
/// The host refuses; a file that is read outside of `/etc` names servers, or nobody can say which files are read.
pub(crate) fn edits(host: &dyn Host, servers: &[String]) -> Result<Vec<Edit>, StepError> {
    let main = main_file(host)?;
    let mut edits = Vec::new();
    for path in included(host, main)? {
        let text = settings(host, &path)?.unwrap_or_default();
        let content = without_others(&text);
        let was_edited = text.lines().any(|line| line.starts_with(OUT_OF_USE));
        let names_others = text.lines().any(is_source);
        if !names_others && !was_edited {
            continue;
        }
        if !path.starts_with("/etc/") {
            let found = format!("{path} names servers of time, and Sealock changes no file of chrony outside of /etc");
            return Err(StepError::Foreign { found });
        }
        edits.push(Edit { is_made: !names_others, path, content });
    }
    let text = settings(host, main)?.unwrap_or_default();
    let content = with_servers(&text, servers);
    edits.push(Edit { is_made: content == text, path: main.to_owned(), content });
    Ok(edits)
}

/// `text` with all that names servers out of use. Whatever its lines end with stays.
pub fn without_others(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        if is_source(line) {
            out.push_str(OUT_OF_USE);
        }
        out.push_str(line);
    }
    out
}

/// The same, and behind it the site's servers.
pub fn with_servers(text: &str, servers: &[String]) -> String {
    let mut out = without_others(&without_block(text));
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out.push_str(BEGIN);
    out.push('\n');
    for server in servers {
        out.push_str(&format!("server {server} iburst\n"));
    }
    out.push_str(END);
    out.push('\n');
    out
}

/// `text` without what Sealock put there. Of a block whose end somebody took away only what it began with is ours.
fn without_block(text: &str) -> String {
    let mut out = String::new();
    let mut within = false;
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end_matches(['\r', '\n']);
        if line == BEGIN {
            within = true;
            continue;
        }
        if within && (line == END || line.starts_with("server ")) {
            within = line != END;
            continue;
        }
        within = false;
        out.push_str(whole);
    }
    out
}

/// The servers that Sealock put there.
pub fn ours(text: &str) -> Vec<String> {
    let block = text.lines().skip_while(|line| *line != BEGIN).skip(1).take_while(|line| *line != END);
    block.filter_map(|line| line.strip_prefix("server ")?.split(' ').next()).map(str::to_owned).collect()
}

/// Whether Sealock has put lines of `text` out of use, or lines of its own there.
pub(crate) fn is_edited(text: &str) -> bool {
    text.lines().any(|line| line == BEGIN || line.starts_with(OUT_OF_USE))
}

/// The lines of a file that name servers.
pub(crate) fn servers(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| {
        matches!(directive(line), Some((word, _)) if ["server", "pool", "peer"].iter().any(|one| word.eq_ignore_ascii_case(one)))
    })
}

fn is_source(line: &str) -> bool {
    directive(line).is_some_and(|(word, _)| SOURCES.iter().any(|source| word.eq_ignore_ascii_case(source)))
}

/// The word that a line begins with, and what comes behind it; nothing where it is a comment.
fn directive(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', '!', ';', '%']) {
        return None;
    }
    let (word, rest) = line.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((line, ""));
    Some((word, rest.trim()))
}

/// All files by which it may be told of servers: the main ones, what they include, and the folders of sources that they name.
pub(crate) fn all_files(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let mut files = Vec::new();
    for main in MAINS {
        if !host::exists(host, main)? {
            continue;
        }
        let read = reachable(host, main)?;
        files.push(main.to_owned());
        files.extend(read.files);
        for folder in read.source_folders {
            let names = host.list(&folder)?.into_iter().filter(|name| name.ends_with(".sources"));
            files.extend(names.map(|name| format!("{folder}/{name}")));
        }
    }
    Ok(files)
}

/// What the main file includes.
fn included(host: &dyn Host, main: &str) -> Result<Vec<String>, StepError> {
    let read = reachable(host, main)?;
    match read.unclear {
        Some(because) => Err(StepError::Unknown { because }),
        None => Ok(read.files),
    }
}

#[derive(Default)]
struct Reachable {
    /// Those that the main file includes, and so on.
    files: Vec<String>,
    source_folders: Vec<String>,
    /// Why there may be more, where there may.
    unclear: Option<String>,
}

fn reachable(host: &dyn Host, main: &str) -> Result<Reachable, HostError> {
    let mut read = Reachable::default();
    let mut open = vec![main.to_owned()];
    while let Some(path) = open.pop() {
        let text = match settings(host, &path) {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => {
                read.unclear = Some(because(&error));
                continue;
            }
        };
        for (word, rest) in text.lines().filter_map(directive) {
            if word.eq_ignore_ascii_case("sourcedir") {
                read.source_folders.extend(rest.split_ascii_whitespace().map(str::to_owned));
            } else if INCLUDES.iter().any(|include| word.eq_ignore_ascii_case(include)) {
                let Some(found) = named(host, word, rest)? else {
                    read.unclear = Some(format!("{path} says `{word} {}`", rest.escape_debug()));
                    continue;
                };
                for found in found {
                    if found != main && !read.files.contains(&found) {
                        read.files.push(found.clone());
                        open.push(found);
                    }
                }
            }
        }
        if read.files.len() > MOST_FILES {
            read.unclear = Some(format!("{main} includes more than {MOST_FILES} files"));
            return Ok(read);
        }
    }
    Ok(read)
}

/// The files that an `include` or a `confdir` names; nothing where its pattern is more than an asterisk in the name of the file.
fn named(host: &dyn Host, word: &str, rest: &str) -> Result<Option<Vec<String>>, HostError> {
    if word.eq_ignore_ascii_case("confdir") {
        let mut found = Vec::new();
        for folder in rest.split_ascii_whitespace() {
            let names = host.list(folder)?.into_iter().filter(|name| name.ends_with(".conf"));
            found.extend(names.map(|name| format!("{folder}/{name}")));
        }
        return Ok(Some(found));
    }
    let (folder, pattern) = rest.rsplit_once('/').unwrap_or(("", rest));
    if !rest.starts_with('/') || folder.contains(['*', '?', '[']) || pattern.contains(['?', '[']) {
        return Ok(None);
    }
    let Some((begin, end)) = pattern.split_once('*') else {
        return Ok(Some(if host::exists(host, rest)? { vec![rest.to_owned()] } else { Vec::new() }));
    };
    if end.contains('*') {
        return Ok(None);
    }
    let fits = |name: &String| name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end);
    let names = host.list(folder)?.into_iter().filter(fits);
    Ok(Some(names.map(|name| format!("{folder}/{name}")).collect()))
}

/// The servers that it asks; why it does not say, where it does not.
pub(crate) fn sources(host: &dyn Host) -> Result<Result<Vec<Source>, String>, HostError> {
    // By the names in the settings, and those whose address is not known yet among them.
    let output = match host.run(&Command::new("chronyc", ["-c", "-N", "sources", "-a"])) {
        Err(HostError::NoProgram { program }) => return Ok(Err(format!("there is no {program}"))),
        output => output?,
    };
    // What it asks nobody for ends with another status than 0, too.
    if output.status != 0 && output.stdout.trim().is_empty() {
        return Ok(Err(format!("chronyd does not say how it is: {}", output.complaint())));
    }
    Ok(Ok(read(&output.stdout)))
}

/// Reads what `chronyc -c sources` prints: kind, state, name, stratum, poll, reach (octal), since, offset, …
pub fn read(text: &str) -> Vec<Source> {
    text.lines().filter_map(source).collect()
}

fn source(line: &str) -> Option<Source> {
    let fields: Vec<&str> = line.trim_end().split(',').collect();
    let [_, state, name, _, _, reach, _, offset, ..] = fields.as_slice() else { return None };
    let answers = u32::from_str_radix(reach, 8).is_ok_and(|reach| reach != 0);
    Some(Source {
        name: (*name).to_owned(),
        answers,
        is_selected: *state == "*",
        // `x`: the others say otherwise. `~`: it says something else each time.
        is_false: matches!(*state, "x" | "~"),
        // Positive where the clock is ahead of the server, by the manual of chronyc.
        ahead_us: microseconds(offset).filter(|_| answers),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "confdir /etc/chrony/conf.d\npool 2.debian.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp\n\
        keyfile /etc/chrony/chrony.keys\n  Server 192.0.2.1\n#server a\nmakestep 1 3";

    #[test]
    fn what_names_others_is_out_of_use_and_the_rest_stays() {
        let servers = ["10.77.0.2", "ntp.plant.internal"].map(str::to_owned);
        let text = with_servers(DEBIAN, &servers);
        insta::assert_snapshot!(text, @r"
        confdir /etc/chrony/conf.d
        #sealock# pool 2.debian.pool.ntp.org iburst
        #sealock# sourcedir /run/chrony-dhcp
        keyfile /etc/chrony/chrony.keys
        #sealock#   Server 192.0.2.1
        #server a
        makestep 1 3
        # Sealock: the time of this site; lines that named others are out of use, and a reset gives them back.
        server 10.77.0.2 iburst
        server ntp.plant.internal iburst
        # Sealock: end.
        ");
        assert_eq!(with_servers(&text, &servers), text, "a second time changes nothing");
        assert_eq!(ours(&text), servers);
        assert_eq!(super::servers(&text).count(), 2);
        let other = with_servers(&text, &servers[..1]);
        assert_eq!(ours(&other), servers[..1]);
        assert!(is_edited(&text) && !is_edited(DEBIAN));
        // Whoever takes the end away takes nothing else along.
        let torn = text.replace("# Sealock: end.\n", "") + "rtcsync\n";
        assert!(with_servers(&torn, &servers).contains("rtcsync\n# Sealock: the time"));
    }

    /// As chrony 4.3 says it.
    #[test]
    fn what_chrony_says_of_its_servers_is_read() {
        let said = "^,*,10.77.0.2,10,6,17,15,0.000120602,0.000004175,0.000006746\n\
            ^,?,ntp.plant.internal,0,6,0,4294967295,0.000000000,0.000000000,0.000000000\n\
            ^,x,192.0.2.1,2,6,377,2,-3600.5,0.1,0.1\nhalf,a,line\n";
        let sources = read(said);
        assert_eq!(sources.len(), 3);
        let selected =
            Source { name: "10.77.0.2".into(), answers: true, is_selected: true, is_false: false, ahead_us: Some(120) };
        assert_eq!(sources[0], selected);
        assert!(!sources[1].answers && sources[1].ahead_us.is_none());
        assert!(sources[2].is_false && sources[2].ahead_us == Some(-3_600_500_000));
    }
}
