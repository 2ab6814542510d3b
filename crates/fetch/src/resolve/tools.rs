//! Programs of the bundle that are run here: downloaded, their checksum verified, then started with an empty environment.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::Context;
use super::components::Known;
use super::tool_cache::ToolCache;
use crate::blocking;
use crate::error::FetchError;
use crate::http::{Expected, FileLanding};
use crate::progress::Event;

/// How long a program may take that looks at one chart or one signature.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);
/// What a program may write: rendered charts are the largest.
const OUTPUT_LIMIT: u64 = 64 << 20;
/// What it may say of its trouble.
const ERRORS_LIMIT: u64 = 1 << 20;
/// No program that is run here is larger, unpacked.
const PROGRAM_LIMIT: u64 = 512 << 20;

/// Downloads a component that is a program itself.
pub(super) async fn program(context: Context<'_>, known: &Known) -> Result<PathBuf, FetchError> {
    let path = context.work.join(format!("{}-{}", known.component.name, known.component.version));
    if !path.exists() {
        download(context, known, &path).await?;
        make_executable(&path)?;
    }
    Ok(path)
}

/// Downloads a component that is a `.tar.gz`, and takes the program called `name` out of it.
pub(super) async fn program_in_archive(context: Context<'_>, known: &Known, name: &str) -> Result<PathBuf, FetchError> {
    let path = context.work.join(format!("{name}-{}", known.component.version));
    if path.exists() {
        return Ok(path);
    }
    let archive = context.work.join(format!("{name}-{}.tar.gz", known.component.version));
    download(context, known, &archive).await?;
    let (wanted, target) = (name.to_owned(), path.clone());
    blocking::run(move || extract(&archive, &wanted, &target)).await?;
    Ok(path)
}

/// Takes the file out of the cache, and else from upstream; what came from there is kept for the next time.
async fn download(context: Context<'_>, known: &Known, path: &Path) -> Result<(), FetchError> {
    let cache = context.http.settings.tools.as_deref().map(ToolCache::new);
    if let Some(cache) = cache.clone() {
        let (digest, target) = (known.digest.clone(), path.to_owned());
        let taken = blocking::run(move || Ok(cache.take(&digest, &target))).await?;
        if taken.unwrap_or_else(|error| useless(context, "read", &error)) {
            return Ok(());
        }
    }
    let request = context.http.file_request(&known.url);
    context.http.download(&request, &Expected::exactly(&known.digest, known.size), FileLanding::create(path)?).await?;
    if let Some(cache) = cache {
        let (digest, source) = (known.digest.clone(), path.to_owned());
        let kept = blocking::run(move || Ok(cache.keep(&digest, &source))).await?;
        kept.map(|()| true).unwrap_or_else(|error| useless(context, "write", &error));
    }
    Ok(())
}

/// A cache that cannot be used is told, and costs a download; it stops nothing.
fn useless(context: Context<'_>, doing: &str, error: &io::Error) -> bool {
    let note = format!("cannot {doing} the cache of tools ({error}); they are downloaded anew");
    context.http.progress.report(&Event::Note(&note));
    false
}

/// Takes the regular file whose last path component is `name`. Nothing else of the archive touches the disk.
fn extract(archive: &Path, name: &str, target: &Path) -> Result<(), FetchError> {
    let failed = |source: io::Error| FetchError::io("unpack", archive, source);
    let file = File::open(archive).map_err(failed)?;
    let mut tar = tar::Archive::new(GzDecoder::new(file));
    for entry in tar.entries().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let wanted = entry.header().entry_type().is_file()
            && entry.path().is_ok_and(|path| path.file_name().is_some_and(|file| file == name));
        if wanted {
            let mut out = File::create(target).map_err(|source| FetchError::io("create", target, source))?;
            io::copy(&mut io::Read::take(entry, PROGRAM_LIMIT), &mut out).map_err(failed)?;
            return make_executable(target);
        }
    }
    Err(failed(io::Error::new(io::ErrorKind::NotFound, format!("there is no {name} in it"))))
}

fn make_executable(path: &Path) -> Result<(), FetchError> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|source| FetchError::io("make executable", path, source))
}

/// A program of this machine, looked for where the settings say and then in the usual places.
pub(super) fn find(context: Context<'_>, name: &str) -> Option<PathBuf> {
    let usual = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
    let folders = context.http.settings.program_folders.iter().chain(&usual);
    folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A program, and what it sees of its surroundings.
pub(super) struct Program<'a> {
    pub(super) path: &'a Path,
    /// Its home, so that nobody's configuration matters.
    pub(super) home: &'a Path,
    /// What else it finds in its environment.
    pub(super) set: &'a [(&'a str, &'a str)],
    /// How long it may take.
    pub(super) patience: Duration,
}

impl Program<'_> {
    /// Runs it, and gives what it wrote and how it ended. It reads what strangers made, so it may not write without end.
    pub(super) async fn output(&self, arguments: &[String]) -> io::Result<Output> {
        let mut child = self.start(arguments).await?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ended = async {
            let (stdout, stderr) = tokio::try_join!(bounded(stdout, OUTPUT_LIMIT), bounded(stderr, ERRORS_LIMIT))?;
            Ok(Output { status: child.wait().await?, stdout, stderr })
        };
        tokio::time::timeout(self.patience, ended).await.unwrap_or_else(|_| {
            let reason = format!("it did not end within {} s", self.patience.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, reason))
        })
    }

    /// Starts it. A process that another thread forks at the same moment holds the file open for writing until it executes
    /// something itself; the kernel then calls the program busy, and it is tried again.
    async fn start(&self, arguments: &[String]) -> io::Result<Child> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let child = Command::new(self.path)
                .args(arguments)
                .env_clear()
                .env("HOME", self.home)
                .env("PATH", "/usr/bin:/bin")
                .envs(self.set.iter().copied())
                .current_dir(self.home)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn();
            match child {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < deadline => {
                    tokio::task::yield_now().await;
                }
                other => return other,
            }
        }
    }
}

/// All that comes out of a pipe, and no more than `limit` bytes.
async fn bounded(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(pipe) = pipe else { return Ok(bytes) };
    pipe.take(limit + 1).read_to_end(&mut bytes).await?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it wrote more than {limit} bytes"))),
        false => Ok(bytes),
    }
}

/// Runs a program in an empty home and gives its standard output.
pub(super) async fn run(context: Context<'_>, program: &Path, arguments: &[String]) -> Result<String, Failed> {
    let home = context.work.join("home");
    fs::create_dir_all(&home).map_err(|error| Failed(error.to_string()))?;
    let program = Program { path: program, home: &home, set: &[], patience: PATIENCE };
    let output = program.output(arguments).await.map_err(|error| Failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failed(if said.is_empty() { output.status.to_string() } else { said }));
    }
    String::from_utf8(output.stdout).map_err(|_| Failed("its output is not UTF-8".to_owned()))
}

/// What a program that failed said.
pub(super) struct Failed(pub(super) String);

#[cfg(test)]
mod tests {
    use super::*;

    async fn outcome(program: &str, arguments: &[&str], patience: Duration) -> io::Result<Output> {
        let home = tempfile::tempdir().unwrap();
        let program = Program { path: Path::new(program), home: home.path(), set: &[], patience };
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        program.output(&arguments).await
    }

    #[tokio::test]
    async fn a_program_may_not_write_without_end() {
        let size = (OUTPUT_LIMIT + 1).to_string();
        let flood = outcome("/usr/bin/head", &["-c", &size, "/dev/zero"], PATIENCE).await.unwrap_err();
        assert_eq!(flood.kind(), io::ErrorKind::FileTooLarge);
        let little = outcome("/usr/bin/head", &["-c", "3", "/dev/zero"], PATIENCE).await.unwrap();
        assert_eq!((little.stdout.len(), little.status.success()), (3, true));
    }

    #[tokio::test]
    async fn a_program_may_not_take_for_ever() {
        let endless = outcome("/usr/bin/tail", &["-f", "/dev/null"], Duration::from_millis(100)).await.unwrap_err();
        assert_eq!(endless.kind(), io::ErrorKind::TimedOut);
    }
}
