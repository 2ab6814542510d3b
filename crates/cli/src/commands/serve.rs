//! `sealock serve`

mod launch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sealock_server::{AccessFiles, Clock, Limits, RevocationSource, ServeConfig, Server, TlsFiles, UpkeepPolicy};
use sealock_store::Store;
use sealock_store::pushed::Settings;
use sealock_trust::site::Registry;
use tokio::signal::unix::{SignalKind, signal};

use super::site::certificate;
use crate::amounts::{Bytes, Span};
use crate::context::Context;
use crate::environment as env;
use crate::error::{CommandError, Result};
use crate::paths::ACCESS;
use crate::station::Station;

/// Serve the current release as a registry
///
/// An OCI registry over TLS, in the foreground. A new release is served as soon as it is published. SIGTERM
/// lets running transfers finish; SIGHUP reads certificate, release and who may do what again. Meanwhile it keeps the store:
/// collects garbage, hashes what is there to find rot, and copies bundles that were imported in place, as `store gc`, `store scrub`
/// and `store migrate` do.
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
    /// How often garbage is collected, like 10m or 1h; 0s for never [default: 1h]
    #[arg(long, value_name = "SPAN")]
    collect_every: Option<Span>,
    /// For how long an answer promises that a blob is there: whoever pushes has so long until the manifest that names it [default: 1h]
    #[arg(long, value_name = "SPAN")]
    lease: Option<Span>,
    /// For how long garbage waits before it is deleted [default: 1h]
    #[arg(long, value_name = "SPAN")]
    grace: Option<Span>,
    /// How many releases are retained beside the current one [default: as the site root says, else all]
    #[arg(long, value_name = "RELEASES")]
    retain: Option<u64>,
    /// Bytes of the store that are hashed in a second to find rot, like 512K or 8M; 0 for none [default: 8M]
    #[arg(long, value_name = "BYTES")]
    scrub_rate: Option<Bytes>,
    /// Bytes that are copied in a second, out of bundles that were imported in place and into the store, like 8M or 1G; 0 for none [default: 32M]
    #[arg(long, value_name = "BYTES")]
    migrate_rate: Option<Bytes>,
    /// Who may do what: a file of the kind `Registry` [default: /etc/sealock/registry.yaml where it is; else everybody may pull]
    #[arg(long, value_name = "FILE")]
    access: Option<PathBuf>,
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
        return context.ui.text(launch::unit_text(args, context)?);
    }
    let station = Station::open(context)?;
    if let Some(node) = &args.kubernetes {
        return context.ui.text(launch::manifest_text(node, args, &station, context)?);
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
        pushed: pushed(&station.store, context),
        revocations: Some(RevocationSource { trust: context.paths.trust(), clusters: context.paths.clusters() }),
        access: access(args, context),
        listen,
        tls: TlsFiles { certificate: files.certificate, key: files.key },
        names: names(registry),
        control_socket: Some(control_socket(context)?),
        notify_socket: env::read(&env::NOTIFY_SOCKET).map(PathBuf::from),
        metrics: args.metrics,
        access_log: args.access_log.clone(),
        limits: Limits::default(),
        upkeep: upkeep(args, station, context),
        clock: Clock::default(),
    })
}

fn listen(args: &ServeArgs, registry: &Registry) -> Result<Vec<SocketAddr>> {
    match args.listen.as_slice() {
        [] => Ok(vec![address_of(registry)?]),
        given => Ok(given.to_vec()),
    }
}

/// How pushed content is kept; nothing where the store cannot be written, as by a user that only reads it.
fn pushed(store: &Store, context: &Context) -> Option<Settings> {
    if !store.is_writable() {
        let store = store.path().display();
        context.ui.note(format_args!(
            "{store} cannot be written: nothing that was pushed is served, and nothing can be pushed"
        ));
        return None;
    }
    Some(Settings::default())
}

fn upkeep(args: &ServeArgs, station: &Station, context: &Context) -> UpkeepPolicy {
    let usual = UpkeepPolicy::default();
    let or = |given: Option<Span>, usual| given.map_or(usual, |Span(span)| span);
    UpkeepPolicy {
        collect_every: args
            .collect_every
            .map_or(usual.collect_every, |Span(span)| Some(span).filter(|span| !span.is_zero())),
        lease: or(args.lease, usual.lease),
        grace: or(args.grace, usual.grace),
        retain: args.retain.or(station.site.retained_releases()),
        scrub_rate: args.scrub_rate.map_or(usual.scrub_rate, |Bytes(rate)| Some(rate).filter(|rate| *rate > 0)),
        migrate_rate: args.migrate_rate.map_or(usual.migrate_rate, |Bytes(rate)| Some(rate).filter(|rate| *rate > 0)),
        clusters: Some(context.paths.clusters()),
        ..usual
    }
}

/// The file that was named, or the usual one where there is one.
fn access(args: &ServeArgs, context: &Context) -> Option<AccessFiles> {
    let usual = || Some(PathBuf::from(ACCESS)).filter(|path| path.exists());
    let registry = args.access.clone().or_else(usual)?;
    Some(AccessFiles { registry, token_key: context.paths.registry().join("token.key") })
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
