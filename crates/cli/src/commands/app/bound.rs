//! Which releases an application needs (docs/formats/plan.md): they stay live.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{CommandError, Result};
use crate::files;

#[derive(Default, Serialize, Deserialize)]
struct Bound {
    releases: BTreeSet<u64>,
}

/// The releases that an application needs, written down for as long as it may need them.
pub struct Need<'a> {
    /// What the station keeps of its cluster.
    pub folder: &'a Path,
    pub app: &'a str,
    pub releases: BTreeSet<u64>,
}

impl Need<'_> {
    /// From the first object on, pods may need images of these releases; those of the ones before do until all are ready.
    ///
    /// # Errors
    /// The file is damaged, or cannot be written.
    pub fn begin(&self) -> Result<()> {
        let path = self.path();
        let before = if path.exists() {
            let text = files::read_text(&path)?;
            serde_json::from_str::<Bound>(&text)
                .map_err(|error| CommandError::failed(format!("{} is damaged: {error}", path.display())))?
        } else {
            Bound::default()
        };
        self.write(&before.releases | &self.releases)
    }

    /// All is ready: no other release is needed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn settle(&self) -> Result<()> {
        self.write(self.releases.clone())
    }

    /// The application is gone, and needs none.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(&self) -> Result<()> {
        let path = self.path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CommandError::from(error).context(format!("removing {}", path.display())))
            }
            _ => Ok(()),
        }
    }

    fn write(&self, releases: BTreeSet<u64>) -> Result<()> {
        let made = fs::create_dir_all(self.folder.join("apps"));
        made.map_err(|error| {
            CommandError::from(error).context(format!("making a folder in {}", self.folder.display()))
        })?;
        let text = serde_json::to_vec(&Bound { releases });
        files::replace(&self.path(), &text.map_err(|error| CommandError::internal(error.to_string()))?)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("apps").join(format!("{}.json", self.app))
    }
}
