//! Watches a process, and tells what it did to the files below one folder: not by their names, but by what bears the names.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::Command;

use super::trace::{Call, bytes, calls};
use crate::faults::inject::{TOLD, variables};
use crate::faults::work::Work;

/// A file, folder or link: its number here.
pub(crate) type Node = usize;

/// The folder that was watched.
pub(crate) const ROOT: Node = 0;

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Folder,
    /// With what it held before.
    File(Vec<u8>),
    Link(String),
}

/// One entry of a folder, as it is from here on.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) folder: Node,
    pub(crate) name: String,
    pub(crate) is: Option<Node>,
}

/// What was done.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Write {
        file: Node,
        at: usize,
        bytes: Vec<u8>,
    },
    /// The file has this length from here on.
    Cut {
        file: Node,
        length: usize,
    },
    /// All of it in one step.
    Entries(Vec<Entry>),
    /// `fsync` or `fdatasync`, and whether it worked.
    Sync {
        node: Node,
        worked: bool,
    },
    /// Somebody was told.
    Told(String),
}

/// Something that was done, and between which lines of the trace.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) begun: usize,
    pub(crate) ended: usize,
}

impl Event {
    /// Whether it changes the bytes of `node`.
    pub(crate) fn is_of(&self, node: Node) -> bool {
        matches!(&self.what, What::Write { file, .. } | What::Cut { file, .. } if *file == node)
    }
}

/// What was there, and what was done to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    pub(crate) nodes: Vec<Kind>,
    /// The entries of each folder as they were before.
    pub(crate) before: HashMap<Node, BTreeMap<String, Node>>,
    /// In the order in which it was done.
    pub(crate) events: Vec<Event>,
}

impl Recording {
    /// The last name of each node, below the root.
    pub(crate) fn names(&self) -> HashMap<Node, String> {
        let mut names = HashMap::from([(ROOT, String::new())]);
        let mut folders: Vec<Node> = self.before.keys().copied().collect();
        // A folder is numbered before what is in it.
        folders.sort_unstable();
        let mut enter = |folder: &Node, name: &str, node: Node| {
            let above = names.get(folder).cloned().unwrap_or_default();
            names.insert(node, format!("{above}/{name}"));
        };
        for folder in &folders {
            self.before[folder].iter().for_each(|(name, node)| enter(folder, name, *node));
        }
        for event in &self.events {
            let What::Entries(entries) = &event.what else { continue };
            for Entry { folder, name, is } in entries {
                if let Some(node) = is {
                    enter(folder, name, *node);
                }
            }
        }
        names
    }

    /// The same without the event of that number.
    pub(crate) fn without(&self, number: usize) -> Self {
        let mut less = self.clone();
        less.events.remove(number);
        less
    }
}

/// The calls that change a disk, that make a change durable, or that say which file is which.
const CALLS: &str = "openat,open,close,dup,dup2,dup3,fcntl,lseek,read,readv,write,writev,pwrite64,pwritev,pwritev2,ftruncate,\
    truncate,fallocate,fsync,fdatasync,sync,syncfs,sync_file_range,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
    unlink,unlinkat,mkdir,mkdirat,rmdir,copy_file_range,sendfile,splice,mmap";

/// How a process ends that is watched, other than by coming to its end.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// It does.
    Whole,
    /// It is killed at the step of that number.
    Killed(usize),
    /// `strace` puts this in its way.
    Inject(String),
}

/// Does `work` in `folder`, in one process after the other, each of which is watched.
pub(crate) fn record(work: Work, folder: &Path, ways: &[Way]) -> Recording {
    let mut recorder = Recorder::of(folder);
    for way in ways {
        recorder.watch(work, folder, way);
    }
    recorder.recording
}

/// An open file.
#[derive(Clone, Copy)]
struct Open {
    node: Node,
    at: usize,
    appends: bool,
}

struct Recorder {
    root: String,
    recording: Recording,
    /// The entries of each folder, and the length of each file, as they are now.
    entries: HashMap<Node, BTreeMap<String, Node>>,
    lengths: HashMap<Node, usize>,
    open: HashMap<i64, Open>,
    told: Option<Node>,
    /// Lines of traces before this one.
    lines: usize,
}

impl Recorder {
    /// With all that is in `folder`, durable.
    fn of(folder: &Path) -> Self {
        let mut recording = Recording::default();
        load(folder, &mut recording);
        let lengths = recording.nodes.iter().enumerate().filter_map(|(node, kind)| match kind {
            Kind::File(bytes) => Some((node, bytes.len())),
            _ => None,
        });
        let (lengths, entries) = (lengths.collect(), recording.before.clone());
        let root = folder.to_str().unwrap().to_owned();
        Self { root, recording, entries, lengths, open: HashMap::new(), told: None, lines: 0 }
    }

    fn watch(&mut self, work: Work, folder: &Path, way: &Way) {
        let trace = folder.with_extension("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "--seccomp-bpf", "-qq", "-xx", "-a", "0", "-s", "4194304", "-o"]).arg(&trace);
        command.args(["-e", &format!("trace={CALLS}")]);
        if let Way::Inject(inject) = way {
            command.args(["-e", &format!("inject={inject}")]);
        }
        command.arg(std::env::current_exe().unwrap());
        command.args(["--exact", "faults::inject::in_a_process", "--ignored", "--nocapture", "--test-threads=1"]);
        command.envs(variables(work, folder, if let Way::Killed(step) = way { *step } else { usize::MAX }));
        let output = command.output();
        let output =
            output.unwrap_or_else(|error| panic!("strace (Debian package strace) is needed for this test: {error}"));
        let ended_well = output.status.success() != matches!(way, Way::Killed(_));
        assert!(ended_well, "{way:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(&trace).unwrap();
        fs::remove_file(&trace).unwrap();
        let mut all = calls(&text);
        // The number of a file may be given away again before its close has ended.
        all.sort_by_key(|call| if call.name == "close" { call.begun } else { call.ended });
        self.open.clear();
        for call in all.iter_mut().filter(|call| call.result >= 0 || call.name.ends_with("sync")) {
            call.begun += self.lines;
            call.ended += self.lines;
            self.see(call);
        }
        self.lines += text.lines().count();
    }

    fn see(&mut self, call: &Call) {
        let argument = |number: usize| call.arguments.get(number).map_or("", String::as_str);
        let number = |at: usize| argument(at).parse::<i64>().unwrap_or(-1);
        match call.name.as_str() {
            "openat" => self.opened(call, &place(argument(0), argument(1)), argument(2)),
            "open" => self.opened(call, &place("", argument(0)), argument(1)),
            "close" => drop(self.open.remove(&number(0))),
            "dup" | "dup2" | "dup3" => self.copied(number(0), call.result),
            "fcntl" if argument(1).starts_with("F_DUPFD") => self.copied(number(0), call.result),
            "lseek" => self.moved(number(0), |_| length(call.result)),
            "read" | "readv" => self.moved(number(0), |at| at + length(call.result)),
            "write" | "writev" => self.written(call, number(0), None, argument(1)),
            "pwrite64" | "pwritev" => self.written(call, number(0), Some(length(number(3))), argument(1)),
            "ftruncate" => {
                if let Some(file) = self.node(number(0)) {
                    self.cut(call, file, length(number(1)));
                }
            }
            "fallocate" if argument(1).contains("FALLOC_FL_KEEP_SIZE") => {}
            "fsync" | "fdatasync" => {
                if let Some(node) = self.node(number(0)) {
                    self.note(call, What::Sync { node, worked: call.result == 0 });
                }
            }
            "rename" => self.renamed(call, &place("", argument(0)), &place("", argument(1))),
            "renameat" | "renameat2" => {
                self.renamed(call, &place(argument(0), argument(1)), &place(argument(2), argument(3)));
            }
            "link" => self.linked(call, &place("", argument(0)), &place("", argument(1))),
            "linkat" => self.linked(call, &place(argument(0), argument(1)), &place(argument(2), argument(3))),
            "symlink" => self.made(call, &place("", argument(1)), Kind::Link(text(argument(0)))),
            "symlinkat" => self.made(call, &place(argument(1), argument(2)), Kind::Link(text(argument(0)))),
            "mkdir" => self.made(call, &place("", argument(0)), Kind::Folder),
            "mkdirat" => self.made(call, &place(argument(0), argument(1)), Kind::Folder),
            "unlink" | "rmdir" => self.removed(call, &place("", argument(0))),
            "unlinkat" => self.removed(call, &place(argument(0), argument(1))),
            _ => self.refuse_unknown(call, number(0)),
        }
    }

    /// What is not understood must not touch what is watched.
    fn refuse_unknown(&self, call: &Call, first: i64) {
        let argument = |number: usize| call.arguments.get(number).map_or("", String::as_str);
        let touches = match call.name.as_str() {
            "fcntl" | "sync_file_range" => false,
            "mmap" => {
                let of = self.open.contains_key(&argument(4).parse().unwrap_or(-1));
                of && argument(2).contains("PROT_WRITE") && argument(3).contains("MAP_SHARED")
            }
            "copy_file_range" | "sendfile" | "splice" => {
                call.arguments.iter().any(|one| one.parse::<i64>().is_ok_and(|number| self.open.contains_key(&number)))
            }
            _ => self.open.contains_key(&first),
        };
        assert!(!touches, "a call that is not understood: {call:?}");
    }

    fn note(&mut self, call: &Call, what: What) {
        self.recording.events.push(Event { what, begun: call.begun, ended: call.ended });
    }

    fn node(&self, number: i64) -> Option<Node> {
        self.open.get(&number).map(|open| open.node)
    }

    fn copied(&mut self, from: i64, to: i64) {
        match self.open.get(&from).copied() {
            Some(open) => drop(self.open.insert(to, open)),
            None => drop(self.open.remove(&to)),
        }
    }

    fn moved(&mut self, number: i64, to: impl FnOnce(usize) -> usize) {
        if let Some(open) = self.open.get_mut(&number) {
            open.at = to(open.at);
        }
    }

    fn opened(&mut self, call: &Call, place: &Place, flags: &str) {
        self.open.remove(&call.result);
        let Some((folder, name)) = self.find(place) else { return };
        let there = if name.is_empty() { Some(folder) } else { self.entry(folder, &name) };
        let node = match there {
            Some(node) => node,
            None => self.enter(call, folder, name.clone(), Kind::File(Vec::new())),
        };
        self.open.insert(call.result, Open { node, at: 0, appends: flags.contains("O_APPEND") });
        if folder == ROOT && name == TOLD {
            self.told = Some(node);
        }
        if there.is_some() && flags.contains("O_TRUNC") {
            self.cut(call, node, 0);
        }
    }

    fn written(&mut self, call: &Call, number: i64, at: Option<usize>, strings: &str) {
        let Some(open) = self.open.get(&number).copied() else { return };
        let mut written = bytes(strings);
        written.truncate(length(call.result));
        if self.told == Some(open.node) {
            return self.note(call, What::Told(String::from_utf8(written).unwrap()));
        }
        let end = self.lengths.get(&open.node).copied().unwrap_or(0);
        let from = at.unwrap_or(if open.appends { end } else { open.at });
        if at.is_none() {
            self.moved(number, |_| from + written.len());
        }
        self.lengths.insert(open.node, end.max(from + written.len()));
        self.note(call, What::Write { file: open.node, at: from, bytes: written });
    }

    fn cut(&mut self, call: &Call, file: Node, length: usize) {
        self.lengths.insert(file, length);
        self.note(call, What::Cut { file, length });
    }

    fn made(&mut self, call: &Call, place: &Place, kind: Kind) {
        if let Some((folder, name)) = self.find(place) {
            self.enter(call, folder, name, kind);
        }
    }

    fn enter(&mut self, call: &Call, folder: Node, name: String, kind: Kind) -> Node {
        let node = self.recording.nodes.len();
        if matches!(kind, Kind::Folder) {
            self.entries.insert(node, BTreeMap::new());
        }
        self.recording.nodes.push(kind);
        self.change(call, vec![Entry { folder, name, is: Some(node) }]);
        node
    }

    fn linked(&mut self, call: &Call, from: &Place, to: &Place) {
        let from = self.find(from).and_then(|(folder, name)| self.entry(folder, &name));
        if let (Some(node), Some((folder, name))) = (from, self.find(to)) {
            self.change(call, vec![Entry { folder, name, is: Some(node) }]);
        }
    }

    fn removed(&mut self, call: &Call, place: &Place) {
        if let Some((folder, name)) = self.find(place) {
            self.change(call, vec![Entry { folder, name, is: None }]);
        }
    }

    fn renamed(&mut self, call: &Call, from: &Place, to: &Place) {
        let (Some((old, old_name)), Some((new, new_name))) = (self.find(from), self.find(to)) else { return };
        let node = self.entry(old, &old_name).unwrap_or_else(|| panic!("nothing to rename: {call:?}"));
        let gone = Entry { folder: old, name: old_name, is: None };
        self.change(call, vec![gone, Entry { folder: new, name: new_name, is: Some(node) }]);
    }

    fn change(&mut self, call: &Call, entries: Vec<Entry>) {
        for Entry { folder, name, is } in entries.clone() {
            let there = self.entries.entry(folder).or_default();
            match is {
                Some(node) => drop(there.insert(name, node)),
                None => drop(there.remove(&name)),
            }
        }
        self.note(call, What::Entries(entries));
    }

    fn entry(&self, folder: Node, name: &str) -> Option<Node> {
        self.entries.get(&folder)?.get(name).copied()
    }

    /// The folder of a place and the last part of its name, where it is below the root.
    fn find(&self, place: &Place) -> Option<(Node, String)> {
        let (mut folder, rest) = match place.name.strip_prefix('/') {
            Some(_) => {
                (ROOT, place.name.strip_prefix(&self.root).filter(|rest| rest.is_empty() || rest.starts_with('/'))?)
            }
            None => (self.node(place.folder?)?, place.name.as_str()),
        };
        let mut parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            folder = self.entry(folder, part)?;
        }
        Some((folder, last.to_owned()))
    }
}

/// A name, and the open folder that it is relative to.
struct Place {
    folder: Option<i64>,
    name: String,
}

fn place(folder: &str, name: &str) -> Place {
    Place { folder: folder.parse().ok(), name: text(name) }
}

fn text(argument: &str) -> String {
    String::from_utf8(bytes(argument)).unwrap()
}

fn length(number: i64) -> usize {
    usize::try_from(number).unwrap()
}

fn load(path: &Path, recording: &mut Recording) -> Node {
    let node = recording.nodes.len();
    recording.nodes.push(Kind::Folder);
    let mut entries = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let child = if kind.is_dir() {
            load(&path, recording)
        } else {
            recording.nodes.push(match kind.is_symlink() {
                true => Kind::Link(fs::read_link(&path).unwrap().to_str().unwrap().to_owned()),
                false => Kind::File(fs::read(&path).unwrap()),
            });
            recording.nodes.len() - 1
        };
        entries.insert(entry.file_name().into_string().unwrap(), child);
    }
    recording.before.insert(node, entries);
    node
}
