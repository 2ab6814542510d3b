//! `sealock serve`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sealock_server::manifest::{Manifest, manifest};
use sealock_server::unit::{Unit, unit};
use sealock_server::{Limits, RevocationSource, ServeConfig, Server, TlsFiles};
use sealock_trust::site::Registry;
use tokio::signal::unix::{SignalKind, signal};

use super::site::certificate;
use crate::context::Context;
use crate::environment as env;
use crate::error::{CommandError, Result};
use crate::paths::DEFAULT_STATE;
use crate::station::Station;

/// Kubernetes' own image, which does nothing.
const PAUSE: &str = "registry.k8s.io/pause:";

/// Serve the current release as a registry
///
/// An OCI registry over TLS, read-only, in the foreground. A new release is served as soon as it is published. SIGTERM
/// lets running transfers finish; SIGHUP reads certificate and release again.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where to listen [default: the registry's address in the site root]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// Where Prometheus asks for `/metrics`, in plain HTTP: an address that only it can reach [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
    /// A file that gets one JSON object for each request; SIGHUP begins it anew after it was renamed [default: none]
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// Write a systemd unit to standard output instead
    #[arg(long)]
    unit: bool,
    /// Write a Kubernetes manifest for this node to standard output instead: a pod that serves its state folder
    #[arg(long, value_name = "NODE", conflicts_with = "unit")]
    kubernetes: Option<String>,
    /// The user the unit runs as; it must be able to read the state folder
    #[arg(long, value_name = "NAME", default_value = "root", requires = "unit")]
    user: String,
}

pub fn run(args: &ServeArgs, context: &Context) -> Result<()> {
    if args.unit {
        return context.ui.text(unit_text(args, context)?);
    }
    let station = Station::open(context)?;
    if let Some(node) = &args.kubernetes {
        return context.ui.text(manifest_text(node, args, &station, context)?);
    }
    let config = config(args, &station, context)?;
    if context.dry_run {
        context.ui.note(format_args!("would listen on {}", addresses(&config.listen)));
        return Ok(());
    }
    context.runtime()?.block_on(serve(config, context))
}

async fn serve(config: ServeConfig, context: &Context) -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = Server::bind(config).await?;
    let release = server.release().map_or_else(|| "no release yet".to_owned(), |number| format!("release {number}"));
    context.ui.note(format_args!("serving {release} on {}", addresses(&server.addresses())));
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        context.ui.note("stopping: running transfers may finish");
    };
    Ok(server.run(shutdown).await?)
}

fn config(args: &ServeArgs, station: &Station, context: &Context) -> Result<ServeConfig> {
    let files = certificate::Files::new(context);
    let registry = station.site.registry();
    let listen = listen(args, registry)?;
    Ok(ServeConfig {
        store: station.store.clone(),
        site_keys: station.site.site_keys().clone(),
        revocations: Some(RevocationSource { trust: context.paths.trust(), clusters: context.paths.clusters() }),
        listen,
        tls: TlsFiles { certificate: files.certificate, key: files.key },
        names: names(registry),
        control_socket: Some(control_socket(context)?),
        notify_socket: env::read(&env::NOTIFY_SOCKET).map(PathBuf::from),
        metrics: args.metrics,
        access_log: args.access_log.clone(),
        limits: Limits::default(),
    })
}

fn listen(args: &ServeArgs, registry: &Registry) -> Result<Vec<SocketAddr>> {
    match args.listen.as_slice() {
        [] => Ok(vec![address_of(registry)?]),
        given => Ok(given.to_vec()),
    }
}

fn address_of(registry: &Registry) -> Result<SocketAddr> {
    registry.address.parse().map_err(|_| {
        let problem = format!("the site root gives `{}` as the registry's address", registry.address);
        CommandError::failed(problem).hint("Say where to listen: --listen ADDRESS:PORT.")
    })
}

/// What clients may call the registry without meaning an upstream: its name and address, with and without port.
fn names(registry: &Registry) -> Vec<String> {
    let host = registry.name.split(':').next().unwrap_or_default();
    let mut names = vec![registry.name.clone(), host.to_owned(), registry.address.clone()];
    names.extend(registry.address.parse::<SocketAddr>().map(|address| address.ip().to_string()));
    names.sort();
    names.dedup();
    names
}

/// A service manager says where; else it is the usual place, whose folder is made.
fn control_socket(context: &Context) -> Result<PathBuf> {
    if let Some(folder) = env::read(&env::RUNTIME_DIRECTORY) {
        return Ok(Path::new(&folder).join("control.sock"));
    }
    let socket = context.paths.control_socket();
    if let Some(folder) = socket.parent() {
        let failed = |error| CommandError::from(error).context(format!("making the folder {}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    Ok(socket)
}

fn addresses(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The pod runs the binary that `cluster apply` has put on the node, in the image that every node has.
fn manifest_text(node: &str, args: &ServeArgs, station: &Station, context: &Context) -> Result<String> {
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
    Ok(manifest(&Manifest {
        node,
        binary: Path::new(&format!("/opt/sealock/sealock/{}/sealock", env!("CARGO_PKG_VERSION"))),
        state: context.paths.state(),
        image,
        listen,
        metrics: args.metrics,
    }))
}

fn unit_text(args: &ServeArgs, context: &Context) -> Result<String> {
    let binary = std::env::current_exe()?;
    let mut arguments: Vec<String> = args.listen.iter().map(|address| format!("--listen {address}")).collect();
    arguments.extend(args.metrics.map(|address| format!("--metrics {address}")));
    arguments.extend(args.access_log.as_ref().map(|file| format!("--access-log {}", file.display())));
    if context.paths.state() != Path::new(DEFAULT_STATE) {
        arguments.push(format!("--state-dir {}", context.paths.state().display()));
    }
    Ok(unit(&Unit {
        binary: &binary,
        arguments: &arguments.join(" "),
        user: &args.user,
        store: &context.paths.store(),
    }))
}
