//! The spec as it is put together, and what has to be said about it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use sealock_trust::Digest;
use serde::Serialize;

use super::fields::Text;
use crate::document::Place;
use crate::names::Platform;
use crate::plain::Plain;
use crate::reference::Reference;

/// Findings of one file at most; more are counted.
const MAX_FINDINGS: usize = 5000;

/// How a finding is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A credential, or what looks like one, was left out.
    Credential,
    /// It is not in the spec.
    Lost,
    /// It is in the spec in another form.
    Changed,
    /// A person has to decide before the spec can be locked.
    Decide,
}

/// One thing to know about a conversion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Finding {
    /// How it is meant.
    pub level: Level,
    /// Where it stands in the input, from 1.
    pub line: u64,
    /// The column, in characters, from 1.
    pub column: u64,
    /// The path of the field: `components[0].actions`.
    pub at: Plain,
    /// What happened to it and why.
    pub text: Plain,
}

#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) name: Option<String>,
    pub(super) platforms: Vec<Platform>,
    pub(super) images: Vec<Image>,
    pub(super) charts: Vec<Chart>,
    pub(super) manifests: Vec<PathBuf>,
    pub(super) files: Vec<FileEntry>,
    pub(super) findings: Vec<Finding>,
    /// How many findings there were beyond the limit.
    pub(super) left_out: usize,
    seen: BTreeMap<Reference, Place>,
}

#[derive(Debug)]
pub(super) struct Image {
    pub(super) reference: Reference,
    pub(super) line: u64,
    /// The public key file that must have signed it.
    pub(super) key: Option<PathBuf>,
}

#[derive(Debug, Default)]
pub(super) struct Chart {
    pub(super) name: String,
    pub(super) repository: Option<String>,
    pub(super) oci: Option<String>,
    pub(super) version: String,
    pub(super) values: Vec<PathBuf>,
    pub(super) namespace: Option<String>,
    pub(super) images: Vec<Reference>,
    pub(super) line: u64,
}

#[derive(Debug)]
pub(super) struct FileEntry {
    pub(super) url: String,
    pub(super) digest: Digest,
    pub(super) line: u64,
}

impl Draft {
    pub(super) fn find(&mut self, level: Level, place: Place, at: &str, text: &str) {
        if self.findings.len() == MAX_FINDINGS {
            self.left_out += 1;
            return;
        }
        let Place { line, column } = place;
        self.findings.push(Finding { level, line, column, at: Plain::of(at), text: Plain::of(text) });
    }

    pub(super) fn lost(&mut self, text: &Text<'_>, why: &str) {
        self.find(Level::Lost, text.place, &text.at, why);
    }

    /// Adds an image by the reference as written.
    pub(super) fn image(&mut self, text: &Text<'_>, key: Option<PathBuf>) {
        let Some(reference) = self.reference(text) else { return };
        if let Some(first) = self.seen.get(&reference) {
            let first = first.line;
            self.find(
                Level::Changed,
                text.place,
                &text.at,
                &format!("stands in line {first} too, and is carried once"),
            );
            if let Some(twin) = self.images.iter_mut().find(|image| image.reference == reference && image.key.is_none())
            {
                twin.key = key;
            }
            return;
        }
        self.seen.insert(reference.clone(), text.place);
        self.images.push(Image { reference, line: text.place.line, key });
    }

    /// The reference as written, completed; none where it is none, which is then told.
    pub(super) fn reference(&mut self, text: &Text<'_>) -> Option<Reference> {
        if self.is_template(text) {
            return None;
        }
        let plain = text.text.trim().trim_start_matches("docker://");
        let name = plain.rsplit('/').next().unwrap_or(plain);
        match plain.parse::<Reference>() {
            Ok(reference) => {
                if !name.contains([':', '@']) {
                    let why = "names no tag: `latest` is meant, as docker means it";
                    self.find(Level::Changed, text.place, &text.at, why);
                }
                Some(reference)
            }
            Err(error) => {
                self.lost(text, &format!("is no reference: {}", error.rule));
                None
            }
        }
    }

    /// Whether `text` is filled in by the other tool, which is then told.
    pub(super) fn is_template(&mut self, text: &Text<'_>) -> bool {
        let found = ["###ZARF", "{{", "[[", "${"].into_iter().find(|mark| text.text.contains(mark));
        if let Some(mark) = found {
            self.lost(text, &format!("is a template ({mark}…): write the value it is to have into the spec"));
        }
        found.is_some()
    }

    /// A URL without anything secret in it.
    pub(super) fn url(&mut self, text: &Text<'_>) -> Option<String> {
        if self.is_template(text) {
            return None;
        }
        let Some((scheme, rest)) = text.text.trim().split_once("://") else {
            self.lost(text, "is no URL");
            return None;
        };
        let (rest, query) = rest.split_once(['?', '#']).map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
        let host = match authority.rsplit_once('@') {
            Some((_, host)) => {
                let why = "holds a user name or password: it goes into docker's configuration or the settings, not into a spec";
                self.find(Level::Credential, text.place, &text.at, why);
                host
            }
            None => authority,
        };
        if query.is_some() {
            let why = "has a query, which may hold a token: it is left out";
            self.find(Level::Credential, text.place, &text.at, why);
        }
        let url = format!("{scheme}://{host}/{path}");
        if scheme == "http" {
            self.find(Level::Decide, text.place, &text.at, "is not https: find one that is, or `lock` refuses it");
        }
        Some(url.trim_end_matches('/').to_owned())
    }

    /// A path beside the input, as it is taken over: relative, and not out of the folder.
    pub(super) fn path(&mut self, text: &Text<'_>, what: &str) -> Option<PathBuf> {
        if self.is_template(text) {
            return None;
        }
        if text.text.contains("://") {
            self.lost(text, &format!("is a URL: download {what} beside the spec and name the file there"));
            return None;
        }
        let path = Path::new(text.text.trim());
        let stays = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !stays || text.text.chars().any(char::is_control) {
            self.lost(text, "leads out of the folder: copy it beside the spec and name it there");
            return None;
        }
        Some(path.to_owned())
    }

    /// The public key file of a rule.
    pub(super) fn key(&mut self, text: &Text<'_>) -> Option<PathBuf> {
        self.path(text, "the public key")
    }

    /// A platform that is wanted, `amd64` being `linux/amd64`.
    pub(super) fn platform(&mut self, text: &Text<'_>) {
        let written = text.text.trim();
        if written.is_empty() || matches!(written, "all" | "*") {
            self.lost(text, "means every platform: name those that the site has under `platforms`");
            return;
        }
        let full = if written.contains('/') { written.to_owned() } else { format!("linux/{written}") };
        match full.parse::<Platform>() {
            Ok(platform) if !self.platforms.contains(&platform) => self.platforms.push(platform),
            Ok(_) => {}
            Err(error) => self.lost(text, &format!("is no platform: {}", error.rule)),
        }
    }

    /// Adds a file that is downloaded; `sum` is its SHA-256, bare or behind `sha256:`.
    pub(super) fn file(&mut self, source: &Text<'_>, sum: Option<&Text<'_>>) {
        let Some(url) = self.url(source) else { return };
        let Some(sum) = sum else {
            let why =
                "has no SHA-256, and files are named by their digest: download it, compare, and add it under `files`";
            self.lost(source, why);
            return;
        };
        let full = if sum.text.contains(':') { sum.text.to_owned() } else { format!("sha256:{}", sum.text) };
        match full.to_ascii_lowercase().parse() {
            Ok(digest) => self.files.push(FileEntry { url, digest, line: source.place.line }),
            Err(_) => self.lost(sum, "is no SHA-256, so the file is not carried"),
        }
    }

    /// Adds a chart, once it has all that a chart needs.
    pub(super) fn chart(&mut self, chart: Chart, place: Place, at: &str) {
        let has_source = chart.repository.is_some() != chart.oci.is_some();
        let missing = match (chart.name.is_empty(), chart.version.is_empty(), has_source) {
            (true, ..) => "has no name",
            (_, true, _) => "names no exact version, which a chart needs",
            (_, _, false) => "comes from no chart repository and no registry",
            _ => return self.charts.push(chart),
        };
        self.find(Level::Lost, place, at, &format!("{missing}: the chart is not carried"));
    }
}
