//! `sealock cluster certificates`

mod request;

use std::collections::BTreeSet;

use jiff::Timestamp;
use sealock_node::facts::CertificateFact;
use sealock_node::kubernetes_certificates::{BROUGHT, NEXT_AUTHORITIES};
use sealock_trust::Digest;
use serde::Serialize;

use super::progress::harmless;
use super::target::{Target, TargetArgs};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::ui::Table;

/// Days before the end at which somebody should act.
const SOON: i64 = 30;

/// Show when the certificates of the cluster end, the first to end first
///
/// Exit code 1 where one has ended, or ends within 30 days. A host that cannot be asked is named, and makes it no success either.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CertificatesArgs {
    #[command(subcommand)]
    command: Option<CertificatesCommand>,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, clap::Subcommand)]
enum CertificatesCommand {
    Request(request::RequestArgs),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    host: String,
    path: String,
    name: String,
    serial: String,
    not_after: Timestamp,
    /// Whole days from now; negative where it has ended.
    days_left: i64,
    authority: bool,
    /// Of an authority: whether it issues, or is only believed, or waits.
    issues: bool,
    /// The digest of the certificate.
    digest: Option<Digest>,
    /// The digest of the authority that has issued it.
    issued_by: Option<Digest>,
    /// Whether `sealock cluster renew` makes it anew.
    renewable: bool,
}

pub fn run(args: &CertificatesArgs, context: &Context) -> Result<()> {
    match &args.command {
        Some(CertificatesCommand::Request(args)) => request::run(args, context),
        None => table_of_all(args, context),
    }
}

fn table_of_all(args: &CertificatesArgs, context: &Context) -> Result<()> {
    let target = Target::open(&args.target, context)?;
    let asked = context.runtime()?.block_on(target.operator().certificates(&target.cluster));
    let now = Timestamp::now();
    let (mut certificates, mut silent) = (Vec::new(), Vec::new());
    for (host, answer) in asked {
        match answer {
            Ok(facts) => {
                let mut files = BTreeSet::new();
                for fact in &facts {
                    // Of several authorities in one file the first one issues.
                    let first = files.insert(&fact.path);
                    certificates.push(certificate(&host, fact, (now, first)));
                }
            }
            Err(error) => silent.push((host, error)),
        }
    }
    certificates.sort_by(|a, b| (a.not_after, &a.host, &a.path).cmp(&(b.not_after, &b.host, &b.path)));
    let custody = Custody::of(&target);
    context.ui.result(&certificates, table(&certificates, custody))?;
    let soon: Vec<&Certificate> = certificates.iter().filter(|certificate| certificate.days_left < SOON).collect();
    for (host, error) in &silent {
        context.ui.warn(format_args!("{host} is not in the list: {error}"));
    }
    let Some(first) = soon.first() else {
        let Some((_, error)) = silent.into_iter().next() else { return Ok(()) };
        return Err(error.into());
    };
    let when = match soon.iter().filter(|certificate| certificate.days_left < 0).count() {
        0 => format!("the first in {}", days(first.days_left)),
        ended => format!("and {ended} have ended"),
    };
    let problem = format!("{} of {} certificates end within {SOON} days, {when}", soon.len(), certificates.len());
    let hint = if custody == Custody::External && !first.is_brought() {
        outside(first)
    } else if first.days_left < 0 && !first.is_brought() {
        "`sealock cluster rescue` makes anew what has ended, with no API server."
    } else if first.is_brought() {
        "Whoever runs the external etcd issues it anew; put the new files where the spec says, and `sealock cluster apply` lays them down."
    } else if soon.iter().any(|certificate| certificate.renewable) {
        "`sealock cluster renew` makes those of the control planes anew."
    } else if first.authority && custody == Custody::Supplied {
        "Whoever has made the authorities makes new ones; put their files where `spec.pki.supplied` says, and `sealock cluster renew --authorities trust` begins to replace the old ones."
    } else {
        "kubelet renews its own while it reaches an API server; `sealock cluster renew --authorities trust` begins to replace an authority."
    };
    Err(CommandError::failed(problem).hint(hint))
}

/// Who keeps the keys of the cluster's authorities.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Custody {
    /// The control planes, which have made them.
    Managed,
    /// The control planes; somebody else has made them.
    Supplied,
    /// Somebody else.
    External,
}

impl Custody {
    fn of(target: &Target) -> Self {
        match (target.cluster.supplied_pki(), target.cluster.external_pki()) {
            (_, Some(_)) => Self::External,
            (Some(_), None) => Self::Supplied,
            (None, None) => Self::Managed,
        }
    }
}

/// What to do where an authority signs that is not here.
fn outside(first: &Certificate) -> &'static str {
    if first.authority {
        "The keys of the authorities stay with your PKI, and Sealock does not replace these: make a cluster anew beside this one before they end."
    } else if first.days_left < 0 {
        "`sealock cluster certificates request` brings the requests here; once they are signed, `sealock cluster rescue` lays down the certificates."
    } else {
        "`sealock cluster certificates request` brings the requests here; once they are signed, `sealock cluster renew` lays down the certificates."
    }
}

impl Certificate {
    /// Whether it comes from whoever runs an external etcd.
    fn is_brought(&self) -> bool {
        BROUGHT.contains(&self.path.as_str())
    }
}

/// What a host says of itself goes to a terminal: without what moves its cursor.
fn certificate(host: &str, fact: &CertificateFact, (now, first): (Timestamp, bool)) -> Certificate {
    Certificate {
        host: host.to_owned(),
        path: harmless(&fact.path),
        name: harmless(&fact.name),
        serial: harmless(&fact.serial),
        not_after: fact.not_after,
        days_left: fact.not_after.duration_since(now).as_secs().div_euclid(24 * 3600),
        authority: fact.authority,
        issues: fact.authority && first && !fact.path.starts_with(NEXT_AUTHORITIES),
        digest: fact.digest.clone(),
        issued_by: fact.issued_by.clone(),
        renewable: fact.renewable,
    }
}

fn table(certificates: &[Certificate], custody: Custody) -> Table {
    let mut table = Table::new(["ends in", "host", "certificate", "of", "renewed by"]);
    for certificate in certificates {
        let by = match (certificate.authority, certificate.renewable) {
            _ if certificate.is_brought() => "who runs etcd, and cluster apply",
            (true, _) if custody == Custody::External => "your PKI",
            _ if custody == Custody::External => "cluster certificates request, and cluster renew",
            (true, _) if custody == Custody::Supplied => "new files, and cluster renew --authorities",
            (true, _) => "cluster renew --authorities",
            (_, true) => "cluster renew",
            _ => "kubelet",
        };
        let waits = certificate.authority && !certificate.issues && !certificate.is_brought();
        let name = match waits {
            true => format!("{}, which does not issue", certificate.name),
            false => certificate.name.clone(),
        };
        let cells = [&days(certificate.days_left), &certificate.host, &certificate.path, &name, by];
        table.row(cells.map(str::to_owned));
    }
    table
}

fn days(left: i64) -> String {
    match left {
        1 => "1 day".to_owned(),
        0.. => format!("{left} days"),
        _ => "ended".to_owned(),
    }
}
