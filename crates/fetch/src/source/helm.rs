//! Helm: chart repositories (`index.yaml`) and chart archives.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::GzDecoder;
use sealock_trust::Digest;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::discovery::ChartValues;
use crate::error::FetchError;
use crate::http::{Expected, Http};
use crate::upstream::Failure;

/// The largest public repositories have indexes of some 30 MB.
const INDEX_LIMIT: u64 = 128 << 20;
/// A `Chart.yaml` is written by a person.
const METADATA_LIMIT: u64 = 1 << 20;
/// A chart archive is larger nowhere; Helm itself stops at 100 MiB unpacked.
pub(crate) const ARCHIVE_LIMIT: u64 = 100 << 20;

/// The index of a chart repository, as far as it is used here.
#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    entries: BTreeMap<String, Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    version: String,
    #[serde(default)]
    urls: Vec<String>,
    #[serde(default)]
    digest: Option<String>,
}

/// Where a version of a chart is, by its repository.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) url: Url,
    pub(crate) digest: Option<Digest>,
}

impl Http {
    /// Looks a chart up in the index of its repository.
    pub(crate) async fn chart(&self, repository: &str, name: &str, version: &str) -> Result<Listed, FetchError> {
        let base = format!("{}/", repository.trim_end_matches('/'));
        let base = Url::parse(&base).map_err(|_| FetchError::Address { name: repository.to_owned() })?;
        let address = base.join("index.yaml").map_err(|_| FetchError::Address { name: repository.to_owned() })?;
        let request = self.file_request(&address);
        let (bytes, _) = self.read(&request, &Expected::at_most(INDEX_LIMIT)).await?;
        let malformed = |reason: String| FetchError::from(request.failed(Failure::Malformed(reason)));
        let text = String::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8".to_owned()))?;
        let index: Index = serde_saphyr::from_str_with_options(&text, options()).map_err(|error| {
            malformed(format!(
                "it is no index of a chart repository ({})",
                error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ")
            ))
        })?;
        let entry = find(&index, repository, name, version)?;
        let address = entry.urls.first().ok_or_else(|| malformed(format!("it has no URL for {name} {version}")))?;
        let url = base.join(address).map_err(|_| malformed(format!("{address:?} is no URL")))?;
        let digest = entry.digest.as_deref().map(|hex| {
            let hex = hex.strip_prefix("sha256:").unwrap_or(hex);
            format!("sha256:{}", hex.to_ascii_lowercase())
                .parse()
                .map_err(|_| malformed(format!("{hex:?} is no SHA-256")))
        });
        let digest = digest.transpose()?;
        let leaves_tls =
            request.located.url.scheme() == "https" && self.file_request(&url).located.url.scheme() != "https";
        if digest.is_none() && leaves_tls {
            return Err(malformed(format!(
                "{name} {version} is to come from {url}, without TLS and without a SHA-256"
            )));
        }
        Ok(Listed { url, digest })
    }
}

/// An index has far more nodes than documents that people write.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 50_000_000,
            max_nodes: 20_000_000,
            max_total_scalar_bytes: 128 << 20,
        },
    }
}

fn find<'a>(index: &'a Index, repository: &str, name: &str, version: &str) -> Result<&'a Entry, FetchError> {
    let missing = |known: Vec<String>| FetchError::NoChart {
        name: name.to_owned(),
        version: version.to_owned(),
        repository: repository.to_owned(),
        known,
    };
    let entries = index.entries.get(name).ok_or_else(|| missing(Vec::new()))?;
    // `v1.2.3` and `1.2.3` are the same version to Helm.
    let bare = |text: &str| text.strip_prefix('v').unwrap_or(text).to_owned();
    let found = entries.iter().find(|entry| bare(&entry.version) == bare(version));
    found.ok_or_else(|| missing(entries.iter().take(5).map(|entry| entry.version.clone()).collect()))
}

/// `Chart.yaml` of an archive, as JSON.
pub(crate) fn metadata(archive: &[u8]) -> io::Result<Value> {
    let wrong = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut tar = tar::Archive::new(GzDecoder::new(archive).take(ARCHIVE_LIMIT * 4));
    for entry in tar.entries()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        if path.components().count() != 2 || path.file_name().is_none_or(|name| name != "Chart.yaml") {
            continue;
        }
        let mut text = String::new();
        entry.take(METADATA_LIMIT).read_to_string(&mut text)?;
        return serde_saphyr::from_str(&text).map_err(|error| wrong(format!("Chart.yaml: {error}")));
    }
    Err(wrong("there is no Chart.yaml in it".to_owned()))
}

/// Files of values are a few hundred kilobytes where they are large.
const VALUES_LIMIT: u64 = 4 << 20;
/// Charts in charts in charts: deeper ones are not looked at.
const CHART_DEPTH: usize = 8;
/// Entries of one archive that are looked at.
const ENTRIES: usize = 100_000;

/// The values of a chart in an archive, and of the charts below it.
pub(crate) fn values(archive: &[u8]) -> io::Result<ChartValues> {
    let mut files = BTreeMap::new();
    read_charts(archive, "", 0, &mut files)?;
    Ok(chart_at(&files, "", 0))
}

/// What is read of one chart.
#[derive(Default)]
struct ChartFiles {
    metadata: Value,
    values: Value,
}

/// The parts of `Chart.yaml` that matter here.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ChartMetadata {
    name: Option<String>,
    app_version: Option<Value>,
    dependencies: Vec<Dependency>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Dependency {
    name: String,
    alias: Option<String>,
}

/// Reads `Chart.yaml` and `values.yaml` of the charts in `archive`, by their folders: `""`, `charts/cache/`.
fn read_charts(archive: &[u8], folder: &str, depth: usize, files: &mut BTreeMap<String, ChartFiles>) -> io::Result<()> {
    let mut tar = tar::Archive::new(GzDecoder::new(archive).take(ARCHIVE_LIMIT * 4));
    for entry in tar.entries()?.take(ENTRIES) {
        let entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        // The first component is the chart's own folder.
        let Some((_, path)) = path.split_once('/') else { continue };
        let (inner, file) = path.rsplit_once('/').map_or(("", path), |(inner, file)| (inner, file));
        let inner = if inner.is_empty() { folder.to_owned() } else { format!("{folder}{inner}/") };
        match file {
            "Chart.yaml" if is_chart(&inner) => files.entry(inner).or_default().metadata = read_yaml(entry, path)?,
            "values.yaml" if is_chart(&inner) => files.entry(inner).or_default().values = read_yaml(entry, path)?,
            file if file.ends_with(".tgz") && inner.ends_with("charts/") && depth < CHART_DEPTH => {
                let mut bytes = Vec::new();
                entry.take(ARCHIVE_LIMIT).read_to_end(&mut bytes)?;
                read_charts(&bytes, &format!("{inner}{file}/"), depth + 1, files)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a folder is that of a chart: the outermost, or `charts/NAME/` any number of times.
fn is_chart(folder: &str) -> bool {
    let parts: Vec<&str> = folder.split_terminator('/').collect();
    parts.chunks(2).all(|pair| pair.len() == 2 && pair.first() == Some(&"charts"))
}

fn read_yaml(entry: impl Read, path: &str) -> io::Result<Value> {
    let mut text = String::new();
    entry.take(VALUES_LIMIT).read_to_string(&mut text)?;
    values_of(&text).map_err(|error| {
        let reason = error.to_string();
        io::Error::new(io::ErrorKind::InvalidData, format!("{path}: {}", reason.lines().next().unwrap_or_default()))
    })
}

/// Values as Helm reads them: where a key stands twice, the last one holds.
pub(crate) fn values_of(text: &str) -> Result<Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
    serde_saphyr::from_str_with_options(text, options)
}

fn chart_at(files: &BTreeMap<String, ChartFiles>, folder: &str, depth: usize) -> ChartValues {
    let own = files.get(folder);
    let metadata = |files: &ChartFiles| serde_json::from_value::<ChartMetadata>(files.metadata.clone()).ok();
    let about = own.and_then(metadata).unwrap_or_default();
    let below = format!("{folder}charts/");
    let is_child = |child: &&String| child.strip_prefix(&below).is_some_and(|rest| rest.matches('/').count() == 1);
    let children = files.keys().filter(is_child).filter(|_| depth < CHART_DEPTH);
    let subcharts = children.map(|child| {
        let mut chart = chart_at(files, child, depth + 1);
        let name = files.get(child).and_then(metadata).and_then(|about| about.name).unwrap_or_default();
        let said = about.dependencies.iter().filter(|dependency| dependency.name == name);
        chart.called = said.map(|dependency| dependency.alias.clone().unwrap_or_else(|| name.clone())).collect();
        if chart.called.is_empty() {
            chart.called.push(name);
        }
        chart
    });
    ChartValues {
        called: Vec::new(),
        app_version: about.app_version.as_ref().and_then(scalar),
        values: own.map(|files| files.values.clone()).unwrap_or_default(),
        subcharts: subcharts.collect(),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
