//! An Ansible inventory of any kind, as `ansible-inventory --list` prints it.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sealock_cluster::ansible::Listing;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::context::Context;
use crate::error::{CommandError, Result};

const PROGRAM: &str = "ansible-inventory";

/// Sources of an inventory may be asked over a network.
const PATIENCE: Duration = Duration::from_secs(300);

/// The inventory `path`: a file with that JSON, `-` for the same on standard input, or whatever Ansible takes for one.
///
/// # Errors
/// It cannot be read, `ansible-inventory` is not there or fails, or what it prints is not understood.
pub fn read(path: &Path, context: &Context) -> Result<Listing> {
    if path == Path::new("-") {
        let bytes = bounded(std::io::stdin().lock(), "standard input")?;
        return Ok(Listing::from_json(&bytes)?);
    }
    let named = path.display().to_string();
    if !path.is_dir() {
        let file = File::open(path).map_err(|error| CommandError::from(error).context(format!("reading {named}")))?;
        let bytes = bounded(file, &named)?;
        if is_listing(&bytes) {
            return Listing::from_json(&bytes).map_err(|error| CommandError::from(error).context(named));
        }
    }
    let bytes = context.runtime()?.block_on(ask_ansible(path))?;
    Listing::from_json(&bytes).map_err(|error| CommandError::from(error).context(named))
}

/// An inventory in YAML may be written as JSON, too; only a listing has this member.
fn is_listing(bytes: &[u8]) -> bool {
    let value = serde_json::from_slice::<serde_json::Value>(bytes);
    value.is_ok_and(|value| value.get("_meta").is_some())
}

fn bounded(source: impl Read, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more than it may have: the library refuses it with its reason code.
    let read = source.take(Listing::MAX_BYTES as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| CommandError::from(error).context(format!("reading {name}")))?;
    Ok(bytes)
}

/// What Ansible warns of, and why it fails, it says on standard error itself.
async fn ask_ansible(inventory: &Path) -> Result<Vec<u8>> {
    let mut command = Command::new(PROGRAM);
    command.arg("--inventory").arg(inventory).arg("--list");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(not_started)?;
    let mut bytes = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, async {
        if let Some(pipe) = child.stdout.take() {
            pipe.take(Listing::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
        }
        child.wait().await
    });
    let status = match ended.await {
        Ok(status) => status.map_err(|error| CommandError::from(error).context(format!("running `{PROGRAM}`")))?,
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            return Err(CommandError::environment(format!("`{PROGRAM}` did not end within {seconds} s")));
        }
    };
    if !status.success() && bytes.len() <= Listing::MAX_BYTES {
        let problem = format!("`{PROGRAM} --inventory {} --list` ended with {status}", inventory.display());
        return Err(CommandError::failed(problem).hint("What it said stands above."));
    }
    Ok(bytes)
}

fn not_started(error: std::io::Error) -> CommandError {
    if error.kind() != std::io::ErrorKind::NotFound {
        return CommandError::from(error).context(format!("running `{PROGRAM}`"));
    }
    CommandError::environment(format!("the inventory is Ansible's to read, and there is no `{PROGRAM}` here")).hint(
        format!("Where Ansible is, `{PROGRAM} -i INVENTORY --list > hosts.json` makes a file that is read without it."),
    )
}
