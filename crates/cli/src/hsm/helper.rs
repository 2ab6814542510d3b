//! The process of `sealock-hsm`: started, asked line by line, given so much time, and ended by its id.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::error::{HsmError, clean};

/// No answer is longer; in bytes. A public key of RSA-8192 has 2 KiB.
const MAX_ANSWER: u64 = 64 << 10;
/// So much of what it writes to standard error is kept; in bytes.
const MAX_NOISE: usize = 2 << 10;
/// How long it may take to leave once nothing more is asked.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long what a dead helper said may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A running helper.
pub struct Helper {
    child: Child,
    /// Lines for its standard input, which a thread of their own writes: a helper that does not read blocks nobody.
    requests: Option<Sender<Zeroizing<Vec<u8>>>>,
    answers: Receiver<Vec<u8>>,
    noise: Noise,
}

impl Helper {
    /// Starts the program. Its environment is this one's, for vendors' libraries find their settings by it.
    pub fn start(program: &Path) -> Result<Self, HsmError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => HsmError::HelperMissing(program.to_owned()),
            _ => HsmError::Start { path: program.to_owned(), source },
        };
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        let (requests, to_write) = mpsc::channel();
        // Room for one answer: a helper that floods fills the pipe, and then waits.
        let (answered, answers) = mpsc::sync_channel(1);
        thread::spawn(move || write_requests(input, &to_write));
        thread::spawn(move || read_answers(output, &answered));
        Ok(Self { child, requests: Some(requests), answers, noise: Noise::listen(errors) })
    }

    /// The next line that it says, after `request` where one is given.
    pub fn ask(&mut self, request: Option<Zeroizing<Vec<u8>>>, patience: Duration) -> Result<Vec<u8>, HsmError> {
        if let (Some(request), Some(requests)) = (request, &self.requests) {
            // Where its input is gone, so is its output: that is what is told.
            let _ = requests.send(request);
        }
        match self.answers.recv_timeout(patience) {
            Ok(mut line) if line.last() == Some(&b'\n') => {
                line.pop();
                Ok(line)
            }
            Ok(_) => Err(HsmError::Garbled),
            Err(RecvTimeoutError::Timeout) => {
                self.end();
                Err(HsmError::Silent(patience.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.end();
                Err(HsmError::Died(self.noise.last_words()))
            }
        }
    }

    /// Ends it, by its id, and waits for it. Done twice it does nothing.
    fn end(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Helper {
    /// With its input at an end it logs out and leaves by itself, which its standard output tells.
    fn drop(&mut self) {
        self.requests = None;
        let deadline = Instant::now() + GOODBYE;
        while self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
        self.end();
    }
}

impl std::fmt::Debug for Helper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Helper").field("id", &self.child.id()).finish_non_exhaustive()
    }
}

fn write_requests(mut input: ChildStdin, requests: &Receiver<Zeroizing<Vec<u8>>>) {
    for request in requests {
        if input.write_all(&request).and_then(|()| input.flush()).is_err() {
            return;
        }
    }
}

fn read_answers(output: ChildStdout, answered: &mpsc::SyncSender<Vec<u8>>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        match output.by_ref().take(MAX_ANSWER).read_until(b'\n', &mut line) {
            Ok(read) if read > 0 && answered.send(line).is_ok() => {}
            _ => return,
        }
    }
}

/// What the helper, or the library in it, writes to standard error: the end of it is kept.
struct Noise {
    kept: Arc<Mutex<Vec<u8>>>,
    over: Receiver<()>,
}

impl Noise {
    fn listen(mut errors: ChildStderr) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (done, over) = mpsc::channel();
        let keep = Arc::clone(&kept);
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = errors.read(&mut buffer) {
                let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
                let excess = kept.len().saturating_sub(MAX_NOISE);
                kept.drain(..excess);
            }
            // Nobody waits for it where the helper lives.
            let _ = done.send(());
        });
        Self { kept, over }
    }

    /// What a helper said that has ended.
    fn last_words(&self) -> String {
        let _ = self.over.recv_timeout(LAST_WORDS);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).lines().map(clean).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn script(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("helper");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        (folder, path)
    }

    /// Starts it; a process that another test forks may still hold the script open for writing.
    fn start(path: &Path) -> Helper {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Helper::start(path) {
                Err(HsmError::Start { source, .. })
                    if source.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < deadline =>
                {
                    thread::yield_now();
                }
                other => return other.unwrap(),
            }
        }
    }

    fn line(text: &str) -> Option<Zeroizing<Vec<u8>>> {
        Some(Zeroizing::new(format!("{text}\n").into_bytes()))
    }

    fn is_alive(id: u32) -> bool {
        Path::new(&format!("/proc/{id}")).exists()
    }

    #[test]
    fn it_is_asked_line_by_line() {
        let (_folder, path) = script("echo hello; while read -r line; do echo \"<$line>\"; done");
        let mut helper = start(&path);
        assert_eq!(helper.ask(None, PATIENCE).unwrap(), b"hello");
        for word in ["one", "two"] {
            assert_eq!(helper.ask(line(word), PATIENCE).unwrap(), format!("<{word}>").into_bytes());
        }
        let id = helper.child.id();
        drop(helper);
        assert!(!is_alive(id));
    }

    #[test]
    fn one_that_never_answers_is_ended() {
        let (_folder, path) = script("exec tail -f /dev/null");
        let mut helper = start(&path);
        let id = helper.child.id();
        assert!(matches!(helper.ask(None, Duration::from_millis(200)), Err(HsmError::Silent(0))));
        assert!(!is_alive(id));
    }

    #[test]
    fn one_that_reads_nothing_blocks_nobody() {
        let (_folder, path) = script("exec tail -f /dev/null");
        let mut helper = start(&path);
        let much = Some(Zeroizing::new(vec![b'a'; 4 << 20]));
        assert!(matches!(helper.ask(much, Duration::from_millis(200)), Err(HsmError::Silent(0))));
    }

    #[test]
    fn one_that_dies_leaves_its_last_words() {
        let (_folder, path) = script("printf 'no room on \\033[31mdevice\\n' >&2; exit 3");
        let error = start(&path).ask(None, PATIENCE).unwrap_err().to_string();
        assert!(error.contains("ended before it had answered; it said:\nno room on "), "{error}");
        assert!(!error.contains('\u{1b}'), "{error}");
    }

    #[test]
    fn one_that_floods_is_cut_off() {
        let (_folder, path) = script("exec tr '\\0' a < /dev/zero");
        let mut helper = start(&path);
        assert!(matches!(helper.ask(None, PATIENCE), Err(HsmError::Garbled)));
        let id = helper.child.id();
        helper.end();
        assert!(!is_alive(id));
    }

    #[test]
    fn one_that_is_not_there_is_named() {
        let error = Helper::start(Path::new("/nowhere/sealock-hsm")).unwrap_err();
        assert!(matches!(error, HsmError::HelperMissing(_)), "{error:?}");
    }
}
