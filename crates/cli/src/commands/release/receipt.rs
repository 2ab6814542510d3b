//! `sealock release receipt`

use std::path::{Path, PathBuf};

use sealock_trust::{Digest, Receipt, StreamName};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::station::Station;
use crate::ui::facts;
use crate::{files, mirrors};

/// Write the site's newest receipt of a stream to a file, to be carried out
///
/// It is the site's signed word on the newest bundle that it accepted of the stream, and names the bundles of the same
/// publisher that the site still holds, and nothing of anyone else's. Outside, `sealock build --since RECEIPT` leaves
/// out what is in them.
#[derive(Debug, clap::Args)]
pub struct ReceiptArgs {
    /// The stream
    #[arg(default_value = "base")]
    stream: StreamName,
    /// The file to write [default: SITE-STREAM-SEQUENCE.receipt.json]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

#[derive(Serialize)]
struct Exported {
    receipt: PathBuf,
    /// SHA-256 of the file.
    digest: Digest,
    site: String,
    stream: String,
    sequence: u64,
    issued: String,
    /// Manifests of the bundles that the site holds.
    held: Vec<Digest>,
}

pub fn run(args: &ReceiptArgs, context: &Context) -> Result<()> {
    let station = Station::open(context)?;
    let bytes = station.directory.accepted(&args.stream)?.map(|accepted| accepted.receipt);
    let bytes = bytes.ok_or_else(|| {
        CommandError::failed(format!("the site has accepted nothing of the stream {} yet", args.stream))
            .hint("`sealock import BUNDLE` makes a receipt.")
    })?;
    let receipt = Receipt::verify(&bytes, station.site.site_keys())?;
    let to = args.to.clone().unwrap_or_else(|| usual_name(&receipt));
    if !context.dry_run {
        write(&to, &bytes)?;
        mirrors::keep_receipt(&bytes, &station, context)?;
    }
    let text = facts([
        ("receipt", to.display().to_string()),
        ("site", receipt.site.to_string()),
        ("stream", format!("{}, sequence {}", receipt.stream, receipt.sequence)),
        ("issued", receipt.issued.to_string()),
        ("holds", receipt.held.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
    ]);
    let exported = Exported {
        receipt: to,
        digest: Digest::sha256(&bytes),
        site: receipt.site.to_string(),
        stream: receipt.stream.to_string(),
        sequence: receipt.sequence,
        issued: receipt.issued.to_string(),
        held: receipt.held,
    };
    context.ui.result(&exported, text)
}

fn usual_name(receipt: &Receipt) -> PathBuf {
    let stream = receipt.stream.as_str().replace('/', "-");
    PathBuf::from(format!("{}-{stream}-{}.receipt.json", receipt.site, receipt.sequence))
}

/// A file with other content is never overwritten.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.exists() {
        if files::read(path, bytes.len() as u64).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        return Err(CommandError::failed(format!("{} is there already, and is another file", path.display()))
            .hint("Move it away, or write another file with --to FILE."));
    }
    files::create(path, bytes, 0o644)
}
