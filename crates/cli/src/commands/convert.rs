//! `sealock convert`

use std::path::{Path, PathBuf};

use sealock_bundle::convert::{self, Conversion, Finding, Format, Level, Options};
use sealock_bundle::names::BundleName;
use sealock_trust::{SiteId, StreamName};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::files;

/// Make a bundle spec of another tool's list of content
///
/// Reads `zarf.yaml`, Hauler manifests, oc-mirror's ImageSetConfiguration, imgpkg's ImagesLock, a list of images, and the YAML
/// of `skopeo sync`. Whatever cannot be carried over is named with its line and the reason, in the spec and on standard
/// error. Credentials are never copied, and no rule is invented: `lock` asks for those that are missing.
#[derive(Debug, clap::Args)]
pub struct ConvertArgs {
    /// The file to convert
    file: PathBuf,
    /// What it is: zarf, hauler, oc-mirror, imgpkg, images, skopeo [default: found out]
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    from: Option<Format>,
    /// The spec to write; an existing file is left alone [default: standard output]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// What the bundle is called [default: what the file says]
    #[arg(long, value_name = "NAME")]
    name: Option<BundleName>,
    /// The stream of the bundle [default: its name]
    #[arg(long, value_name = "STREAM")]
    stream: Option<StreamName>,
    /// A site that the bundle is for; give it again for another
    #[arg(long = "site", value_name = "ID")]
    sites: Vec<SiteId>,
}

fn format(text: &str) -> std::result::Result<Format, String> {
    let known = Format::ALL.map(Format::name).join(", ");
    let found = Format::ALL.into_iter().find(|format| format.name() == text);
    found.ok_or_else(|| format!("known are {known}"))
}

/// What a conversion came to.
#[derive(Serialize)]
struct Outcome<'a> {
    format: Format,
    /// The file that was written.
    to: Option<&'a Path>,
    spec: &'a str,
    findings: &'a [Finding],
}

pub fn run(args: &ConvertArgs, context: &Context) -> Result<()> {
    let text = files::read_text(&args.file)?;
    let options =
        Options { from: args.from, name: args.name.clone(), stream: args.stream.clone(), sites: args.sites.clone() };
    let name = args.file.file_name().unwrap_or_default().to_string_lossy();
    let converted = convert::convert(&name, &text, &options)
        .map_err(|error| CommandError::from(error).context(format!("converting {}", args.file.display())))?;
    tell(&converted, context);
    if let Some(path) = args.to.as_ref().filter(|_| !context.dry_run) {
        files::create(path, converted.text.as_bytes(), 0o644)?;
    }
    let Conversion { format, text, findings, .. } = &converted;
    let outcome = Outcome { format: *format, to: args.to.as_deref(), spec: text, findings };
    context.ui.result(&outcome, shown(args, &converted, context))
}

fn tell(converted: &Conversion, context: &Context) {
    for Finding { level, line, column, at, text } in &converted.findings {
        let place = format!("{line}:{column} {at}");
        match level {
            Level::Credential => context.ui.warn(format_args!("credential left out: {place}: {text}")),
            Level::Lost => context.ui.warn(format_args!("not carried over: {place}: {text}")),
            Level::Changed => context.ui.note(format_args!("changed: {place}: {text}")),
            Level::Decide => context.ui.warn(format_args!("to be decided: {place}: {text}")),
        }
    }
}

fn shown(args: &ConvertArgs, converted: &Conversion, context: &Context) -> String {
    let Some(path) = &args.to else { return converted.text.clone() };
    let spec = &converted.bundle.spec;
    let count = |level: Level| converted.findings.iter().filter(|finding| finding.level == level).count();
    let verb = if context.dry_run { "would be written" } else { "is written" };
    format!(
        "{} {verb}: {} images, {} charts, {} manifests, {} files; {} not carried over, {} credentials left out, {} to be decided",
        path.display(),
        spec.images.len(),
        spec.charts.len(),
        spec.manifests.len(),
        spec.files.len(),
        count(Level::Lost),
        count(Level::Credential),
        count(Level::Decide),
    )
}
