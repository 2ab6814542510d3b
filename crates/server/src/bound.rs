//! What was made from which release: the clusters and applications that may need its content at any moment.

use std::fs;
use std::io;
use std::path::Path;

use sealock_store::Bound;
use serde::Deserialize;

use crate::revoked::{APPLIED, RevokedError, failed, read};

/// A plan, as far as it is read here (docs/formats/plan.md).
#[derive(Deserialize)]
struct Plan {
    release: Release,
}

#[derive(Deserialize)]
struct Release {
    number: u64,
}

/// What `app apply` keeps of an application (docs/formats/plan.md).
#[derive(Deserialize)]
struct App {
    releases: Vec<u64>,
}

/// Reads from the folder `clusters` which release each cluster was made from, those of plans that are being carried out, and
/// those of applications.
///
/// # Errors
/// [`RevokedError`]: it is not known what is needed.
pub fn bound(clusters: &Path) -> Result<Bound, RevokedError> {
    let mut bound = Bound::new();
    let mut bind = |release: u64, who: String| {
        bound.entry(release).or_default().insert(who);
    };
    for (cluster, folder) in entries(clusters)? {
        if let Some(plan) = read::<Plan>(&folder.join(APPLIED))? {
            bind(plan.release.number, format!("the cluster {cluster}"));
        }
        // Of a plan that is open, nobody knows how far it is.
        for (_, path) in entries(&folder.join("plans"))?.into_iter().filter(|(name, _)| name.ends_with(".json")) {
            if let Some(plan) = read::<Plan>(&path)? {
                bind(plan.release.number, format!("the newest plan of the cluster {cluster}"));
            }
        }
        for (name, path) in entries(&folder.join("apps"))? {
            let name = name.trim_end_matches(".json");
            for release in read::<App>(&path)?.map(|app| app.releases).unwrap_or_default() {
                bind(release, format!("the application {name} on {cluster}"));
            }
        }
    }
    Ok(bound)
}

/// What stands in the folder, by name, sorted; nothing where there is no folder.
fn entries(folder: &Path) -> Result<Vec<(String, std::path::PathBuf)>, RevokedError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(failed(folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed(folder))?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_plans_and_applications_bind_their_releases() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert!(bound(&folder.path().join("none")).unwrap().is_empty());
        write("a/applied.json", r#"{"release":{"number":3,"digest":"sha256:00"},"tasks":[]}"#);
        write("b/plans/0a.json", r#"{"release":{"number":5},"tasks":[]}"#);
        write("b/plans/0b.json.superseded", r#"{"release":{"number":1},"tasks":[]}"#);
        write("b/apps/shop.json", r#"{"releases":[3,4]}"#);
        let described: Vec<_> = bound(folder.path())
            .unwrap()
            .into_iter()
            .map(|(number, who)| format!("{number}: {}", who.into_iter().collect::<Vec<_>>().join(", ")))
            .collect();
        insta::assert_snapshot!(described.join("\n"), @"
        3: the application shop on b, the cluster a
        4: the application shop on b
        5: the newest plan of the cluster b
        ");
        write("a/applied.json", "{");
        assert!(bound(folder.path()).is_err(), "what is needed is not known");
    }
}
