//! Authorities whose keys stay with somebody else: requests of hosts go to a folder at the station, and what was signed is read from there.
//!
//! What a host asks for is hostile until it was looked at: whoever has broken into one must not get the certificate of an administrator, or
//! of another node, signed. And what was signed by hand may be anything: it is looked at before any host is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealock_node::certificates::Facts;
use sealock_node::facts::HostFacts;
use sealock_node::requests::{Expected, Request, check_signed};
use sealock_node::suitable::Issues;
use serde::{Deserialize, Serialize};

use super::files::{LARGEST, read_at_most, save_all, small_text};
use super::supplied::{apart, authority_at};
use super::{Operator, OperatorError, Planned};
use crate::execute;
use crate::inventory::{Inventory, Observation};
use crate::plan::{self, CustodyError, Intent, Plan, PlanError, Signed, is_missing, kept_files};
use crate::spec::{AuthorityCertificate, Cluster, ExternalPki, Host};
use crate::tools;

mod away;
mod backup;
mod lacking;
mod laid;
mod names;

pub(super) use self::lacking::Found;
use self::lacking::Lacking;
pub use self::lacking::PassedOver;
pub(super) use self::laid::{Laid, Required, laid};
use self::names::names_of_servers;

/// The list of what waits to be signed, in the folder of requests.
const INDEX: &str = "requests.json";
/// The list of a thousand control planes is not this long; in bytes.
const LONGEST_LIST: u64 = 32 << 20;

/// A request of a host, and what is to come back for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requested {
    /// The host.
    pub host: String,
    /// The request (PKCS #10, PEM), below the folder of requests.
    pub request: String,
    /// Where the certificate is read from, below that folder.
    pub certificate: String,
    /// The name of the authority that is to issue it.
    pub authority: String,
    /// The file with the certificate of that authority, as the spec names it.
    pub authority_file: String,
    /// Common name.
    pub name: String,
    /// Organizations.
    pub organizations: Vec<String>,
    /// DNS names and addresses; a certificate has all of them.
    pub names: Vec<String>,
    /// Extended key usages; a certificate has all of them.
    pub usages: Vec<String>,
}

/// Authorities whose keys stay with somebody else, and the folder of requests.
#[derive(Debug)]
pub(super) struct Outside<'a> {
    cluster: &'a Cluster,
    spec: &'a ExternalPki,
    /// By the file in which kubeadm keeps each.
    authorities: BTreeMap<&'static str, (&'a str, Facts)>,
    now: Timestamp,
}

impl<'a> Outside<'a> {
    /// The authorities that the spec of `cluster` names; nothing where their keys do not stay elsewhere.
    ///
    /// # Errors
    /// One cannot be read, or is nothing that Kubernetes can use.
    pub(super) fn read(cluster: &'a Cluster) -> Result<Option<Self>, OperatorError> {
        Self::read_at(cluster, Timestamp::now())
    }

    fn read_at(cluster: &'a Cluster, now: Timestamp) -> Result<Option<Self>, OperatorError> {
        let Some(spec) = cluster.external_pki() else { return Ok(None) };
        let mut authorities = BTreeMap::new();
        for (field, kept, AuthorityCertificate { cert_file }, issues) in named(spec) {
            let facts = authority_at(cluster, (field, cert_file), issues, now)?;
            authorities.insert(kept, (field, cert_file.as_str(), facts));
        }
        let all: Vec<(&'static str, &Facts)> = authorities.values().map(|(field, _, facts)| (*field, facts)).collect();
        apart(&all).map_err(PlanError::from)?;
        let authorities = authorities.into_iter().map(|(kept, (_, file, facts))| (kept, (file, facts))).collect();
        Ok(Some(Self { cluster, spec, authorities, now }))
    }

    /// The authorities alone, where nothing is laid down.
    pub(super) fn authorities(&self) -> Signed {
        let pem = self.authorities.iter().map(|(kept, (_, facts))| ((*kept).to_owned(), facts.pem()));
        Signed { authorities: pem.collect(), ..Signed::default() }
    }

    /// What hosts lack, out of the folder; and what they have of it already, so that a plan that was begun stays the same. What was laid down
    /// on a node that runs, which was not started anew since, is left for whoever does that.
    ///
    /// # Errors
    /// A host asks for what it may not have; a file of the folder.
    pub(super) fn missing(&self, inventory: &Inventory) -> Result<Found, OperatorError> {
        self.collect(inventory, |host, observation, lacking| {
            let mut found = BTreeMap::new();
            for one in plan::shown(self.cluster, host, inventory) {
                let of = (&one, &observation.facts);
                let taken = if is_missing(observation, one.path) {
                    self.signed(host, of, lacking)?
                } else if observation.is_complete() && self.is_unfinished(host, of)? {
                    None
                } else {
                    self.in_use(host, of)?
                };
                found.extend(taken.map(|pem| (one.path.to_owned(), pem)));
            }
            Ok(found)
        })
    }

    /// What takes the place of the files that `replaced` names on each host; and what has taken it already where the host was not started
    /// anew since.
    ///
    /// # Errors
    /// As [`Self::missing`].
    pub(super) fn replacing(
        &self,
        inventory: &Inventory,
        replaced: impl Fn(&HostFacts) -> Vec<String>,
    ) -> Result<Found, OperatorError> {
        let mut found = self.collect(inventory, |host, observation, lacking| {
            let (mut found, replaced) = (BTreeMap::new(), replaced(&observation.facts));
            for one in plan::shown(self.cluster, host, inventory) {
                let of = (&one, &observation.facts);
                if self.is_unfinished(host, of)? || replaced.iter().any(|path| path == one.path) {
                    found.extend(self.signed(host, of, lacking)?.map(|pem| (one.path.to_owned(), pem)));
                }
            }
            Ok(found)
        })?;
        found.signed.unfinished = self.unfinished(inventory)?;
        Ok(found)
    }

    /// Nodes on which a certificate was laid down, and what shows it was not started anew since.
    fn unfinished(&self, inventory: &Inventory) -> Result<BTreeSet<String>, OperatorError> {
        let mut unfinished = BTreeSet::new();
        for host in self.cluster.hosts() {
            let observation = inventory.hosts.get(host.name.as_str());
            let Some(observation) = observation.filter(|one| one.is_complete()) else { continue };
            for one in plan::shown(self.cluster, host, inventory) {
                if self.is_unfinished(host, (&one, &observation.facts))? {
                    unfinished.insert(host.name.to_string());
                }
            }
        }
        Ok(unfinished)
    }

    fn collect(
        &self,
        inventory: &Inventory,
        of: impl Fn(&Host, &Observation, &mut Lacking) -> Result<BTreeMap<String, String>, OperatorError>,
    ) -> Result<Found, OperatorError> {
        let mut all = Found { signed: self.authorities(), lacking: Vec::new() };
        for host in self.cluster.hosts() {
            let Some(observation) = inventory.hosts.get(host.name.as_str()) else { continue };
            let mut lacking = Lacking::default();
            let found = of(host, observation, &mut lacking)?;
            if !found.is_empty() {
                all.signed.certificates.insert(host.name.to_string(), found);
            }
            if !lacking.is_empty() {
                all.lacking.push((host.name.to_string(), lacking));
            }
        }
        Ok(all)
    }

    /// The certificate that was signed for a request that waits on the host.
    fn signed(
        &self,
        host: &Host,
        (one, facts): (&Expected, &HostFacts),
        lacking: &mut Lacking,
    ) -> Result<Option<String>, OperatorError> {
        let Some(text) = facts.requests.get(one.path) else {
            lacking.requests.push(format!("{} on host {}", one.path, host.name));
            return Ok(None);
        };
        let request = self.request(host, one.path, text)?;
        let path = self.certificate_of(host, one);
        let unfit = |problem: String| CustodyError::Unfit { path: path.display().to_string(), problem };
        let certificate = match self.certificate(&path)? {
            None => {
                lacking.certificates.push(path.display().to_string());
                return Ok(None);
            }
            Some(Err(problem)) => {
                lacking.unfit.push(unfit(problem));
                return Ok(None);
            }
            Some(Ok(certificate)) => certificate,
        };
        if is_in_use(facts, one.path, &certificate) {
            if is_for(&certificate, &request) {
                return Ok(Some(certificate.pem()));
            }
            // What is in use lies there until somebody puts another one in its place.
            lacking.certificates.push(format!("{} is the one in use", path.display()));
            return Ok(None);
        }
        let (_, authority) = self.authority(one)?;
        if let Err(why) = check_signed(one.path, &request, &certificate, authority, self.now) {
            lacking.unfit.push(unfit(why.to_string()));
            return Ok(None);
        }
        Ok(Some(certificate.pem()))
    }

    /// Whether a certificate was laid down on the host whose key waits still: what shows it was not started anew since.
    fn is_unfinished(&self, host: &Host, (one, facts): (&Expected, &HostFacts)) -> Result<bool, OperatorError> {
        let Some(request) = facts.requests.get(one.path).and_then(|text| Request::of(text).ok()) else {
            return Ok(false);
        };
        let certificate = self.certificate(&self.certificate_of(host, one))?.and_then(Result::ok);
        Ok(certificate.is_some_and(|found| is_in_use(facts, one.path, &found) && is_for(&found, &request)))
    }

    /// The certificate in the folder, where it is the one that the host shows.
    fn in_use(&self, host: &Host, (one, facts): (&Expected, &HostFacts)) -> Result<Option<String>, OperatorError> {
        let certificate = self.certificate(&self.certificate_of(host, one))?.and_then(Result::ok);
        Ok(certificate.filter(|certificate| is_in_use(facts, one.path, certificate)).map(|one| one.pem()))
    }

    /// Hosts on which what takes the place of what is in use ends sooner than that, in words.
    pub(super) fn ends_sooner(&self, signed: &Signed, inventory: &Inventory) -> Vec<String> {
        let sooner = |host: &String, path: &String, pem: &String| {
            let facts = &inventory.hosts.get(host)?.facts;
            let in_use = facts.certificates.iter().find(|one| one.path == *path && !one.authority)?;
            let ends = Facts::of(pem).ok()?.not_after;
            (ends < in_use.not_after).then(|| (ends, path.clone()))
        };
        let told = signed.certificates.iter().filter_map(|(host, all)| {
            let mut sooner: Vec<_> = all.iter().filter_map(|(path, pem)| sooner(host, path, pem)).collect();
            sooner.sort();
            let (ends, path) = sooner.first()?;
            let number = if sooner.len() == 1 { "1 ends".to_owned() } else { format!("{} end", sooner.len()) };
            Some(format!(
                "{host}: of what was signed {number} sooner than what is in use, the first at {ends} ({path}): was it signed for as long as it should be?"
            ))
        });
        told.collect()
    }

    /// What a host asks for, where it may have that.
    fn request(&self, host: &Host, path: &str, text: &str) -> Result<Request, PlanError> {
        let names = names_of_servers(self.cluster, host);
        let request = Request::of(text).and_then(|request| {
            request.check(path, host.name.as_str(), &names)?;
            Ok(request)
        });
        let refused =
            |why: String| CustodyError::Refused { host: host.name.to_string(), path: plainly(path), problem: why };
        Ok(request.map_err(|why| refused(why.to_string()))?)
    }

    fn authority(&self, one: &Expected) -> Result<(&'a str, &Facts), PlanError> {
        let found = self.authorities.get(one.authority.certificate);
        let missing = || CustodyError::NoAuthority { path: one.path.to_owned() };
        Ok(found.map(|(file, facts)| (*file, facts)).ok_or_else(missing)?)
    }

    /// The only certificate in a file of the folder, or what is wrong with the file; nothing where there is none.
    fn certificate(&self, path: &Path) -> Result<Option<Result<Facts, String>>, OperatorError> {
        let Some(text) = read_at_most(path, LARGEST)? else { return Ok(None) };
        let mut all = Facts::all(&String::from_utf8_lossy(&text));
        Ok(Some(match (all.pop(), all.len()) {
            (Some(certificate), 0) => Ok(certificate),
            (_, others) => {
                let found = if others == 0 { 0 } else { others + 1 };
                Err(format!("it holds {found} certificates (PEM), and the one that was signed is wanted alone"))
            }
        }))
    }

    /// What hosts that were not asked now were asked for before, and nobody has signed yet.
    fn unsigned_of_others(&self, asked: &[Requested]) -> Result<Vec<Requested>, OperatorError> {
        let text = read_at_most(&self.folder().join(INDEX), LONGEST_LIST)?.unwrap_or_default();
        // Whatever else somebody has put there is no list of this program.
        let before: Vec<Requested> = serde_json::from_slice(&text).unwrap_or_default();
        let is_of_others = |one: &Requested| asked.iter().all(|other| other.host != one.host);
        let is_wanted = |one: &Requested| self.cluster.host(&one.host).is_some() && self.is_unsigned(one);
        Ok(before.into_iter().filter(|one| is_of_others(one) && is_wanted(one)).collect())
    }

    /// Writes requests, with the list of them and of what others wait for: all of it or nothing.
    fn write(&self, all: Vec<(Requested, String)>) -> Result<Vec<Requested>, OperatorError> {
        let mut files = Vec::new();
        for (one, text) in &all {
            let path = self.folder().join(&one.request);
            // What cannot be read is not the same.
            if read_at_most(&path, LARGEST).ok().flatten().as_deref() != Some(text.as_bytes()) {
                files.push((path, text.clone().into_bytes()));
            }
        }
        let all: Vec<Requested> = all.into_iter().map(|(one, _)| one).collect();
        let index = self.folder().join(INDEX);
        let listed: Vec<Requested> = all.iter().cloned().chain(self.unsigned_of_others(&all)?).collect();
        let mut list = serde_json::to_vec_pretty(&listed).map_err(|error| OperatorError::Io {
            action: "write",
            path: index.clone(),
            source: error.into(),
        })?;
        list.push(b'\n');
        files.push((index, list));
        save_all(&files)?;
        Ok(all)
    }

    /// Whether there is a request, and the certificate beside it is not for its key: it may be the one of before.
    fn is_unsigned(&self, one: &Requested) -> bool {
        let text = |name: &str| small_text(&self.folder().join(name)).ok();
        let Some(request) = text(&one.request).and_then(|text| Request::of(&text).ok()) else { return false };
        let certificate = text(&one.certificate).and_then(|text| Facts::of(&text).ok());
        certificate.is_none_or(|one| !is_for(&one, &request))
    }

    fn folder(&self) -> PathBuf {
        self.cluster.file(&self.spec.requests)
    }

    fn certificate_of(&self, host: &Host, one: &Expected) -> PathBuf {
        self.folder().join(host.name.as_str()).join(one.certificate)
    }

    /// What hosts ask for, each with what is to come back. Nothing is written.
    ///
    /// # Errors
    /// One asks for what it may not have.
    fn requested(&self, inventory: &Inventory, hosts: &[&str]) -> Result<Vec<(Requested, String)>, PlanError> {
        let mut all = Vec::new();
        let named = self.cluster.hosts().iter().filter(|host| hosts.contains(&host.name.as_str()));
        for host in named {
            let Some(observation) = inventory.hosts.get(host.name.as_str()) else { continue };
            let shown = plan::shown(self.cluster, host, inventory);
            let asked = &observation.facts.requests;
            let is_known = |path: &&String| shown.iter().any(|one| one.path == path.as_str());
            if let Some(path) = asked.keys().find(|path| !is_known(path)) {
                let problem = "this host shows nothing there".to_owned();
                let host = host.name.to_string();
                return Err(CustodyError::Refused { host, path: plainly(path), problem }.into());
            }
            for one in shown {
                let Some(text) = asked.get(one.path) else { continue };
                let request = self.request(host, one.path, text)?;
                let (file, authority) = self.authority(&one)?;
                all.push((requested(host, (&one, &request), (file, authority)), request.pem()));
            }
        }
        Ok(all)
    }
}

impl Operator<'_> {
    /// The plan by which hosts of `cluster` make keys and requests: those called `hosts`, or, where none is named, those that lack something,
    /// and all where none does. Or the one for it that was begun and not finished. Of a cluster that runs, who does not answer is passed over,
    /// unless it was named.
    ///
    /// # Errors
    /// The keys of the cluster's authorities do not stay elsewhere; a host is another's, or cannot be asked; the release lacks something.
    pub async fn plan_requests(&self, cluster: &Cluster, hosts: &[String]) -> Result<Planned, OperatorError> {
        self.check_site(cluster)?;
        self.check_no_adoption()?;
        let outside = outside_of(cluster)?;
        let images = tools::kubernetes_images(&self.toolbox(), cluster)?;
        let (cluster, (connections, inventory), mut passed_over) = self.look_for_requests(cluster, hosts).await?;
        let unfinished = outside.unfinished(&inventory)?;
        if hosts.is_empty() {
            passed_over.extend(unfinished.iter().map(|host| PassedOver::unfinished(host)));
        }
        let signed = Signed { unfinished, ..outside.authorities() };
        let (ground, speaker) = (self.ground(images)?, self.earlier_speaker()?);
        let intent = Intent { signed: Some(&signed), ..ground.intent(&cluster, &speaker) };
        let needs = self.host_needs(&cluster, &inventory, &connections).await?;
        let fresh = plan::plan_requests(&intent, hosts, &plan::with_needs(&inventory, &needs))?.with_needs(&needs);
        let (plan, resumed) = self.taken_up(fresh, &inventory)?;
        Ok(Planned { passed_over, ..self.assess(plan, inventory, resumed, connections).await? })
    }

    /// Nodes that were named are asked alone: another one may be away, whose certificates have ended. Where one of them is to become a node,
    /// all are.
    async fn look_for_requests(
        &self,
        cluster: &Cluster,
        hosts: &[String],
    ) -> Result<(Cluster, super::Looked, Vec<PassedOver>), OperatorError> {
        let named = cluster.only(hosts);
        if !named.hosts().is_empty() {
            let looked = self.look(&named).await?;
            if looked.1.hosts.values().all(Observation::is_complete) {
                return Ok((named, looked, Vec::new()));
            }
        }
        let there = self.look_at_those_there(cluster).await?;
        // Where a cluster begins, all of it is asked: another host would take the place of the one that it is to begin on.
        let begins = !there.has_plane();
        let is_needed = |host: &Host| begins || hosts.iter().any(|name| host.name.as_str() == name);
        there.without_away(cluster, is_needed, |host| {
            format!("`sealock cluster certificates request --host {host}` once it answers")
        })
    }

    /// Writes the requests of the hosts of `planned`, which was carried out, into the folder of requests. All of them are looked at before one
    /// is written.
    ///
    /// # Errors
    /// A host cannot be asked, or asks for what it may not have; a file of the station.
    pub async fn collect_requests(
        &self,
        cluster: &Cluster,
        planned: &Planned,
    ) -> Result<Vec<Requested>, OperatorError> {
        let outside = outside_of(cluster)?;
        let alive = planned.connections.iter().map(async |one| one.alive().await);
        let connections = execute::of_all(alive).await?;
        let inventory = execute::observe(&connections, &self.binary).await?;
        let all = outside.requested(&inventory, &asking(&planned.plan))?;
        outside.write(all)
    }
}

fn outside_of(cluster: &Cluster) -> Result<Outside<'_>, OperatorError> {
    let none = || PlanError::from(CustodyError::NotOutside { cluster: cluster.name().to_string() });
    Ok(Outside::read(cluster)?.ok_or_else(none)?)
}

/// The hosts that make requests by `plan`.
fn asking(plan: &Plan) -> Vec<&str> {
    plan.tasks.iter().filter(|task| plan::makes_requests(task)).map(|task| task.host.as_str()).collect()
}

fn is_in_use(facts: &HostFacts, path: &str, certificate: &Facts) -> bool {
    let digest = certificate.digest();
    facts.certificates.iter().any(|one| one.path == path && one.digest.as_ref() == Some(&digest))
}

/// Whether `certificate` is for the key of `request`.
fn is_for(certificate: &Facts, request: &Request) -> bool {
    certificate.key_hash().is_ok_and(|hash| hash == request.public_key_hash())
}

fn requested(host: &Host, (one, request): (&Expected, &Request), (file, authority): (&str, &Facts)) -> Requested {
    let below = |name: &str| format!("{}/{name}", host.name);
    Requested {
        host: host.name.to_string(),
        request: below(one.request),
        certificate: below(one.certificate),
        authority: authority.name.clone(),
        authority_file: file.to_owned(),
        name: request.name.clone(),
        organizations: request.organizations.clone(),
        names: request.names.clone(),
        usages: one.usages.iter().map(ToString::to_string).collect(),
    }
}

/// What a host says, without what moves a cursor.
fn plainly(path: &str) -> String {
    crate::inventory::host_words(path)
}

/// Each authority of the spec: its field, where kubeadm keeps it, its file, and what it issues.
fn named(spec: &ExternalPki) -> Vec<(&'static str, &'static str, &AuthorityCertificate, Issues)> {
    let [kubernetes, front_proxy, etcd] = kept_files();
    let mut all = vec![
        ("spec.pki.external.kubernetes.certFile", kubernetes, &spec.kubernetes, Issues::Both),
        ("spec.pki.external.frontProxy.certFile", front_proxy, &spec.front_proxy, Issues::Clients),
    ];
    all.extend(spec.etcd.iter().map(|own| ("spec.pki.external.etcd.certFile", etcd, own, Issues::Both)));
    all
}

#[cfg(test)]
mod tests;
