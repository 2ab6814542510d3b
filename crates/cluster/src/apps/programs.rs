//! The two programs that bring an app to its cluster.

use std::path::PathBuf;
use std::time::Duration;

use crate::programs::{ProgramError, Surroundings};

/// How long a call may take that asks nobody.
const CALL: Duration = Duration::from_secs(120);

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

    /// Where things go that name no namespace. As a flag it would forbid every other.
    pub(super) async fn use_namespace(&self, namespace: &str) -> Result<(), ProgramError> {
        let arguments = ["config", "set-context", "--current", "--namespace", namespace];
        self.kubectl(&arguments, b"", CALL).await.map(drop)
    }

    pub(super) async fn helm(&self, arguments: &[&str], limit: Duration) -> Result<Vec<u8>, ProgramError> {
        self.surroundings.run(&self.helm, arguments, b"", limit).await
    }
}
