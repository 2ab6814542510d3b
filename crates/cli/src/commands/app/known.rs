//! Which applications this station has brought to which clusters.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use sealock_cluster::apps::{self, AppError, Revisions};

use crate::context::Context;
use crate::error::{CommandError, Result};

/// The flags that name an application.
#[derive(Debug, clap::Args)]
pub struct NameArgs {
    /// The application, as its spec calls it
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Its cluster, where several have an application of that name
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

/// An application on a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    pub app: String,
    pub cluster: String,
}

impl NameArgs {
    /// The application that is meant.
    ///
    /// # Errors
    /// As [`find`].
    pub fn find(&self, context: &Context) -> Result<Known> {
        find(&self.name, self.cluster.as_deref(), context)
    }
}

/// The application `name`, on `cluster` where that is said.
///
/// # Errors
/// There is none, or several could be meant.
pub fn find(name: &str, cluster: Option<&str>, context: &Context) -> Result<Known> {
    let all = all(context)?;
    let fits = |known: &&Known| known.app == name && cluster.is_none_or(|cluster| known.cluster == cluster);
    let mut found: Vec<&Known> = all.iter().filter(fits).collect();
    match (found.pop(), found.pop()) {
        (Some(known), None) => Ok(known.clone()),
        (Some(one), Some(other)) => {
            let problem = format!("{name} is on the clusters {} and {}", other.cluster, one.cluster);
            Err(CommandError::usage(problem).hint("Say which one with --cluster NAME."))
        }
        (None, _) => {
            let on = cluster.map(|cluster| format!(" on {cluster}")).unwrap_or_default();
            let problem = format!("this station has brought no application {name}{on} to a cluster");
            Err(CommandError::failed(problem).hint("`sealock app list` shows those that it has."))
        }
    }
}

/// All applications, sorted.
///
/// # Errors
/// A folder cannot be read.
pub fn all(context: &Context) -> Result<BTreeSet<Known>> {
    let mut found = BTreeSet::new();
    let clusters = context.paths.clusters();
    for cluster in names(&clusters)? {
        for kind in ["apps", "revisions"] {
            let files = names(&clusters.join(&cluster).join(kind))?;
            let apps = files.into_iter().filter_map(|file| Some(file.strip_suffix(".json")?.to_owned()));
            found.extend(apps.map(|app| Known { app, cluster: cluster.clone() }));
        }
    }
    Ok(found)
}

impl Known {
    /// What is known of it; none where nothing was kept.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn revisions(&self, context: &Context) -> Result<Option<Revisions>> {
        Ok(apps::read_records(&context.paths.cluster(&self.cluster), &self.app)?)
    }

    /// What is known of it, which must be something.
    ///
    /// # Errors
    /// Nothing was kept; it cannot be read.
    pub fn needed_revisions(&self, context: &Context) -> Result<Revisions> {
        let revisions = self.revisions(context)?;
        Ok(revisions.ok_or_else(|| AppError::NothingKnown { app: self.app.clone() })?)
    }
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let failed = |error: io::Error| CommandError::from(error).context(format!("reading {}", folder.display()));
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(failed)?,
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name()).map_err(failed);
    let text = |name: &OsStr| name.to_string_lossy().into_owned();
    entries.map(|entry| name(entry).map(|name| text(&name))).collect()
}
