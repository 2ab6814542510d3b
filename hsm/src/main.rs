//! `sealock-hsm`: signs with keys in PKCS#11 tokens.
//!
//! `sealock` is static and cannot load a vendor's library, so it starts this program, which can. They talk in lines of JSON
//! over standard input and output, as docs/formats/hsm.md says: a digest or message in, a signature out. A vendor's code
//! thus never runs in the process that reads bundles; and this one reads no file and opens no socket itself.
#![expect(unreachable_pub, reason = "a binary has no API")]

#[cfg(target_feature = "crt-static")]
compile_error!("a static program loads no libraries: `cargo xtask hsm` builds this one dynamically");

mod failure;
mod lines;
mod protocol;
mod token;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use failure::{Code, Failure};
use lines::Lines;
use protocol::{FORMAT, Reply, Request};
use token::Token;

fn main() -> ExitCode {
    if let Some(argument) = std::env::args_os().nth(1) {
        return about(&argument);
    }
    match wire() {
        Ok(mut wire) => serve(&mut wire),
        Err(_) => ExitCode::FAILURE,
    }
}

/// What a person gets to see who starts it by hand.
fn about(argument: &OsString) -> ExitCode {
    let text = format!("sealock-hsm {} ({FORMAT})", env!("CARGO_PKG_VERSION"));
    let said = match argument.to_str() {
        Some("--version") => writeln!(io::stdout(), "{text}"),
        _ => writeln!(io::stderr(), "{text}: it is started by sealock, and takes no arguments but --version"),
    };
    if said.is_ok() && argument == "--version" { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

/// Where answers go. Vendors' libraries print what they like: what they write to standard output goes to standard error.
fn wire() -> io::Result<File> {
    // No dump of this process, for it holds a PIN; and no other process of this user may look into it.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    let wire = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(wire)
}

fn serve(wire: &mut File) -> ExitCode {
    let mut lines = Lines::new(io::stdin().lock());
    let failure = match converse(&mut lines, wire) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    // Where nobody listens any more there is nobody to tell.
    let _ = send(wire, &Reply::Error(failure));
    ExitCode::FAILURE
}

/// The one order in which things are asked: open, login, then any number of signatures. The first failure ends it, so
/// that no PIN is ever tried twice.
fn converse(lines: &mut Lines<io::StdinLock<'_>>, wire: &mut File) -> Result<(), Failure> {
    send(wire, &Reply::hello())?;
    let open = match lines.next()? {
        Some(Request::Open(open)) => open,
        None => return Ok(()),
        Some(_) => return Err(out_of_order("open")),
    };
    let token = Token::open(&open)?;
    let outcome = talk(&token, &open.key, lines, wire);
    token.close();
    outcome
}

fn talk(
    token: &Token,
    wanted: &protocol::KeyQuery,
    lines: &mut Lines<io::StdinLock<'_>>,
    wire: &mut File,
) -> Result<(), Failure> {
    send(wire, &Reply::Opened(token.describe()))?;
    match lines.next()? {
        Some(Request::Login(login)) => token.login(login.pin.as_ref())?,
        None => return Ok(()),
        Some(_) => return Err(out_of_order("login")),
    }
    let key = token.find(wanted)?;
    send(wire, &Reply::Ready(key.describe()?))?;
    loop {
        match lines.next()? {
            Some(Request::Sign(sign)) => send(wire, &Reply::Signed(key.sign(&sign)?))?,
            None => return Ok(()),
            Some(_) => return Err(out_of_order("sign")),
        }
    }
}

fn out_of_order(wanted: &str) -> Failure {
    Failure::new(Code::Protocol, format!("`{wanted}` was to come now"))
}

fn send(wire: &mut File, reply: &Reply) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(reply).map_err(|error| Failure::new(Code::Protocol, error.to_string()))?;
    line.push(b'\n');
    wire.write_all(&line).map_err(|error| Failure::new(Code::Protocol, error.to_string()))
}
