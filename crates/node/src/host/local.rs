//! This machine.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Alteration, Command, Entry, Host, HostError, Output};
use crate::step::Mode;
use crate::wait;

const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const OUTPUT_LIMIT: usize = 1 << 20;
/// How long a pipe is read after its program has ended.
const LINGERS: Duration = Duration::from_secs(5);
const TEMPORARY: &str = ".sealock-new";

/// This machine, or the part of it below a folder that stands for its root.
#[derive(Clone, Debug)]
pub struct Local {
    root: PathBuf,
}

impl Default for Local {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl Local {
    /// This machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// A machine whose files lie below `root`; its programs run as they are, outside it.
    pub fn rooted(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

impl Host for Local {
    fn inspect(&self, path: &str) -> Result<Entry, HostError> {
        let place = self.at(path);
        let metadata = match fs::symlink_metadata(&place) {
            Ok(metadata) => metadata,
            Err(error) if is_absent(&error) => return Ok(Entry::Missing),
            Err(error) => return Err(HostError::io("look at", path)(error)),
        };
        let mode = Mode::new(metadata.permissions().mode());
        let kind = metadata.file_type();
        Ok(if kind.is_file() {
            Entry::File { mode, size: metadata.len() }
        } else if kind.is_dir() {
            Entry::Directory { mode }
        } else if kind.is_symlink() {
            let target = fs::read_link(&place).map_err(HostError::io("read link", path))?;
            Entry::Link { target: target.to_string_lossy().into_owned() }
        } else {
            Entry::Other
        })
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read>, HostError> {
        let file = File::open(self.at(path)).map_err(HostError::io("open", path))?;
        Ok(Box::new(file))
    }

    fn list(&self, path: &str) -> Result<Vec<String>, HostError> {
        let entries = match fs::read_dir(self.at(path)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(HostError::io("list", path)(error)),
        };
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> =
            entries.map(name).collect::<io::Result<_>>().map_err(HostError::io("list", path))?;
        names.sort_unstable();
        Ok(names)
    }

    fn write(&self, path: &str, mode: Mode, content: &mut dyn Read) -> Result<(), HostError> {
        let place = self.at(path);
        let temporary = temporary_beside(&place);
        let result = fill(&temporary, mode, content).and_then(|()| {
            fs::rename(&temporary, &place)?;
            sync_parent(&place)
        });
        if result.is_err() {
            // The error that led here is the one worth telling.
            let _ = fs::remove_file(&temporary);
        }
        result.map_err(HostError::io("write", path))
    }

    fn alter(&self, alteration: Alteration<'_>) -> Result<(), HostError> {
        match alteration {
            Alteration::MakeDirectory { path, mode } => {
                make_directory(&self.at(path), mode).map_err(HostError::io("make folder", path))
            }
            Alteration::Link { path, target } => link(&self.at(path), target).map_err(HostError::io("link", path)),
            Alteration::Move { path, target } => {
                rename(&self.at(path), &self.at(target)).map_err(HostError::io("move", path))
            }
            Alteration::RemoveFile { path } => remove_file(&self.at(path)).map_err(HostError::io("remove", path)),
            Alteration::RemoveEmptyDirectory { path } => match fs::remove_dir(self.at(path)) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
                result => unless_absent(result).map_err(HostError::io("remove folder", path)),
            },
            Alteration::RemoveTree { path } => {
                unless_absent(remove_tree(&self.at(path))).map_err(HostError::io("remove folder", path))
            }
        }
    }

    fn run(&self, command: &Command) -> Result<Output, HostError> {
        let child = std::process::Command::new(&command.program)
            .args(&command.args)
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8")
            .envs(&command.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that a timeout ends its children too.
            .process_group(0)
            .spawn()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => HostError::NoProgram { program: command.program.clone() },
                _ => HostError::io("run", &command.program)(source),
            })?;
        await_child(child, command)
    }
}

fn await_child(mut child: Child, command: &Command) -> Result<Output, HostError> {
    let id = child.id();
    if let Some(mut stdin) = child.stdin.take() {
        let text = command.stdin.clone();
        // A program need not read all of it: then the pipe breaks, and that is its own affair.
        thread::spawn(move || drop(stdin.write_all(&text)));
    }
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait()));
    let ended = receiver.recv_timeout(command.timeout);
    if ended.is_err() {
        kill_group(id);
    }
    let status = match ended {
        Ok(status) => Some(status.map_err(HostError::io("wait for", &command.program))?),
        Err(_) => None,
    };
    let (stdout, stderr) = (text_of(&stdout), text_of(&stderr));
    match status {
        Some(status) => Ok(Output { status: number(status), stdout, stderr }),
        None => {
            let detail = Output { status: -1, stdout, stderr }.complaint();
            Err(HostError::Timeout { line: command.line(), seconds: command.timeout.as_secs(), detail })
        }
    }
}

fn kill_group(id: u32) {
    let group = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // It may have ended by itself in the meantime.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

fn number(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// What a program writes, while it writes.
struct Written {
    reader: JoinHandle<()>,
    kept: Arc<Mutex<Vec<u8>>>,
}

/// Reads to the end, keeping the last [`OUTPUT_LIMIT`] bytes.
fn collect<R: Read + Send + 'static>(reader: Option<R>) -> Written {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&kept);
    let reader = thread::spawn(move || {
        let Some(mut reader) = reader else { return };
        let mut buffer = [0; 16 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    let mut kept = keeps.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.extend_from_slice(&buffer[..count]);
                    if kept.len() > 2 * OUTPUT_LIMIT {
                        let surplus = kept.len() - OUTPUT_LIMIT;
                        kept.drain(..surplus);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    Written { reader, kept }
}

/// All of it, once the program has ended. What it has left behind may hold the pipe open for as long as the machine runs: that is not
/// waited for.
fn text_of(written: &Written) -> String {
    let is_read = || Ok::<_, std::convert::Infallible>(written.reader.is_finished().then_some(()));
    let Ok(_) = wait::until(LINGERS, Duration::from_millis(1), is_read);
    let bytes = written.kept.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(OUTPUT_LIMIT)..]).into_owned()
}

/// Where a file lies while it is written.
fn temporary_beside(place: &Path) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_os_string();
    name.push(TEMPORARY);
    place.with_file_name(name)
}

/// With what a run that was killed while it wrote the file has left beside it.
fn remove_file(place: &Path) -> io::Result<()> {
    unless_absent(fs::remove_file(temporary_beside(place)))?;
    unless_absent(fs::remove_file(place).and_then(|()| sync_parent(place)))
}

fn fill(temporary: &Path, mode: Mode, content: &mut dyn Read) -> io::Result<()> {
    unless_absent(fs::remove_file(temporary))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    io::copy(content, &mut file)?;
    file.set_permissions(fs::Permissions::from_mode(mode.bits()))?;
    file.sync_all()
}

fn make_directory(place: &Path, mode: Mode) -> io::Result<()> {
    if place.is_dir() {
        return Ok(());
    }
    if let Some(parent) = place.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    match DirBuilder::new().mode(mode.bits()).create(place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && place.is_dir() => return Ok(()),
        result => result?,
    }
    // The process's umask has no say in what the plan shows.
    fs::set_permissions(place, fs::Permissions::from_mode(mode.bits()))?;
    sync_parent(place)
}

fn link(place: &Path, target: &str) -> io::Result<()> {
    let temporary = temporary_beside(place);
    unless_absent(fs::remove_file(&temporary))?;
    symlink(target, &temporary)?;
    fs::rename(&temporary, place)?;
    sync_parent(place)
}

/// Both folders are synced, so that after a power cut it has one of its names, and not none.
fn rename(place: &Path, target: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, place, CWD, target, RenameFlags::NOREPLACE)?;
    sync_parent(target)?;
    sync_parent(place)
}

fn remove_tree(place: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(place)?;
    if !metadata.is_dir() {
        return fs::remove_file(place);
    }
    refuse_mounts(place, metadata.dev())?;
    fs::remove_dir_all(place)
}

fn refuse_mounts(folder: &Path, device: u64) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Err(error) if is_absent(&error) => continue,
            metadata => metadata?,
        };
        if metadata.dev() != device {
            return Err(io::Error::other(format!("{} is another file system", entry.path().display())));
        }
        if metadata.is_dir() {
            refuse_mounts(&entry.path(), device)?;
        }
    }
    Ok(())
}

fn sync_parent(place: &Path) -> io::Result<()> {
    match place.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn unless_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_absent(&error) => Ok(()),
        result => result,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
