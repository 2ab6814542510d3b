//! The helper, asked line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::softhsm::SoftHsm;

pub(crate) struct Helper {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts it, and reads its greeting.
    pub(crate) fn start(hsm: &SoftHsm) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealock-hsm"));
        command.env("SOFTHSM2_CONF", hsm.settings()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("sealock-hsm starts");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("an output"));
        let mut this = Self { child, input, output: BufReader::new(output) };
        assert_eq!(this.read()["format"], "hsm/1.0");
        this
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line:?}"))
    }

    pub(crate) fn ask(&mut self, line: &str) -> Value {
        let input = self.input.as_mut().expect("an input");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("it reads");
        self.read()
    }

    pub(crate) fn open(&mut self, token: &str, key: &str) -> Value {
        self.open_with(&format!(r#"{{"label":"{token}"}}"#), &format!(r#"{{"label":"{key}"}}"#))
    }

    pub(crate) fn open_with(&mut self, token: &str, key: &str) -> Value {
        let module = SoftHsm::module();
        self.ask(&format!(r#"{{"open":{{"module":"{}","token":{token},"key":{key}}}}}"#, module.display()))
    }

    pub(crate) fn login(&mut self, pin: &str) -> Value {
        self.ask(&format!(r#"{{"login":{{"pin":"{pin}"}}}}"#))
    }

    pub(crate) fn sign(&mut self, mechanism: &str, data: &[u8]) -> Value {
        self.ask(&format!(r#"{{"sign":{{"mechanism":"{mechanism}","data":"{}"}}}}"#, to_base64(data)))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks no more, and waits until it has left.
    pub(crate) fn finish(mut self) -> ExitStatus {
        self.input = None;
        self.child.wait().expect("it ends")
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

pub(crate) fn base64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("base64")
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn hex_of(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
