//! What a command must answer.

use std::process::{Command, Output};

use anyhow::{Result, bail};

use crate::story;

/// Runs a command that must end with `code` and say each of `sentences` on either stream.
pub fn expect(command: &mut Command, code: i32, sentences: &[&str]) -> Result<String> {
    let output = story::output(command)?;
    let said = both(&output);
    if output.status.code() != Some(code) {
        bail!("{} ended with {}, not with {code}:\n{said}", story::shown(command), output.status);
    }
    for sentence in sentences {
        if !said.contains(sentence) {
            bail!("{} does not say {sentence:?}:\n{said}", story::shown(command));
        }
    }
    Ok(said)
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
