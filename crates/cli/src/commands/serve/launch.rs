//! What starts the server with the same options: a systemd unit, or a pod.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sealock_server::manifest::{Folder, Manifest, manifest};
use sealock_server::unit::{Unit, unit};

use super::{ServeArgs, access, listen};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::paths::{DEFAULT_STATE, Paths};
use crate::station::Station;

/// Kubernetes' own image, which does nothing.
const PAUSE: &str = "registry.k8s.io/pause:";

/// What the pod has of its node anyway.
const RUN: &str = "/run/sealock";

/// A unit for this binary.
pub(super) fn unit_text(args: &ServeArgs, context: &Context) -> Result<String> {
    let mut arguments = options(args)?;
    let paths = paths(context)?;
    if paths.state() != Path::new(DEFAULT_STATE) {
        arguments.push(("--state-dir", path(paths.state())?));
    }
    // Without it the server looks at its usual place itself.
    if let Some(file) = &args.access {
        arguments.push(("--access", path(file)?));
    }
    let binary = std::env::current_exe()?;
    Ok(unit(&Unit {
        binary: &binary,
        arguments: &words(arguments),
        user: &args.user,
        store: &paths.store(),
        kept: &paths.registry(),
    }))
}

/// A pod that runs the binary that `cluster apply` has put on the node, in the image that every node has.
pub(super) fn manifest_text(node: &str, args: &ServeArgs, station: &Station, context: &Context) -> Result<String> {
    let listen = listen(args, station.site.registry())?;
    let [listen] = listen[..] else {
        return Err(CommandError::usage("a pod listens on one address: name one with --listen"));
    };
    let release = station.store.current_release(station.site.site_keys())?;
    let references = release.iter().flat_map(|release| &release.release.references);
    let pause = references.map(|reference| reference.name.as_str()).find(|name| name.starts_with(PAUSE));
    let image = pause.ok_or_else(|| {
        CommandError::failed(format!("the current release has no image {PAUSE}…, in which the pod could run"))
            .hint("Import a bundle with `kubernetes.versions` first.")
    })?;
    let mut arguments = options(args)?;
    if args.listen.is_empty() {
        arguments.push(("--listen", listen.to_string()));
    }
    let mut folders = Vec::new();
    if let Some(file) = &args.access_log {
        folders.push(folder("access-log", &std::path::absolute(file)?, false)?);
    }
    // The pod sees of the node what it is given, so not the usual place either.
    if let Some(files) = access(args, context) {
        let file = std::path::absolute(files.registry)?;
        folders.push(folder("access", &file, true)?);
        arguments.push(("--access", path(&file)?));
    }
    // A pod may mount a path once only.
    let (paths, mut known) = (paths(context)?, BTreeSet::from([PathBuf::from(RUN)]));
    folders.retain(|folder: &Folder| !folder.path.starts_with(paths.state()) && known.insert(folder.path.clone()));
    Ok(manifest(&Manifest {
        node,
        binary: Path::new(&format!("/opt/sealock/sealock/{}/sealock", env!("CARGO_PKG_VERSION"))),
        state: paths.state(),
        image,
        listen,
        arguments: &words(arguments),
        folders: &folders,
    }))
}

/// What was said on this command line and is the server's business, but for who may do what.
fn options(args: &ServeArgs) -> Result<Vec<(&'static str, String)>> {
    let mut options: Vec<_> = args.listen.iter().map(|address| ("--listen", address.to_string())).collect();
    options.extend(args.metrics.map(|address| ("--metrics", address.to_string())));
    if let Some(file) = &args.access_log {
        options.push(("--access-log", path(file)?));
    }
    let spans = [("--collect-every", args.collect_every), ("--lease", args.lease), ("--grace", args.grace)];
    options.extend(spans.into_iter().filter_map(|(name, span)| Some((name, span?.to_string()))));
    options.extend(args.retain.map(|releases| ("--retain", releases.to_string())));
    let rates = [("--scrub-rate", args.scrub_rate), ("--migrate-rate", args.migrate_rate)];
    options.extend(rates.into_iter().filter_map(|(name, bytes)| Some((name, bytes?.to_string()))));
    Ok(options)
}

fn words(options: Vec<(&'static str, String)>) -> Vec<String> {
    options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
}

/// As it is called wherever the server is started.
fn path(path: &Path) -> Result<String> {
    let absolute = std::path::absolute(path)?;
    absolute.into_os_string().into_string().map_err(|name| {
        CommandError::usage(format!("{} is not UTF-8, and can stand in no unit and no manifest", name.display()))
    })
}

/// The folder of `file`, for the pod.
fn folder(name: &'static str, file: &Path, read_only: bool) -> Result<Folder> {
    match file.parent().filter(|parent| parent.parent().is_some()) {
        Some(parent) => Ok(Folder { name, path: parent.to_owned(), read_only }),
        None => Err(CommandError::usage(format!("{} stands in no folder that a pod could have", file.display()))),
    }
}

/// The state folder's, by absolute names: nobody knows where the server will be started.
fn paths(context: &Context) -> Result<Paths> {
    Ok(Paths::new(std::path::absolute(context.paths.state())?))
}
