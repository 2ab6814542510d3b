//! The two programs that bring an app to its cluster.

use std::path::PathBuf;
use std::time::Duration;

use crate::programs::{ProgramError, Surroundings};

/// Helm and kubectl of the release, and what they see.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) helm: PathBuf,
    pub(super) kubectl: PathBuf,
    pub(super) surroundings: Surroundings,
}

impl Programs {
    pub(super) async fn kubectl(
        &self,
        arguments: &[&str],
        stdin: &[u8],
        limit: Duration,
    ) -> Result<Vec<u8>, ProgramError> {
        self.surroundings.run(&self.kubectl, arguments, stdin, limit).await
    }

    pub(super) async fn helm(&self, arguments: &[&str], limit: Duration) -> Result<Vec<u8>, ProgramError> {
        self.surroundings.run(&self.helm, arguments, b"", limit).await
    }
}
