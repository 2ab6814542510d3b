//! Why an app is not on its cluster, or not ready there.

use std::fmt;
use std::io;
use std::path::PathBuf;

use sealock_trust::reason::Code;

use super::Place;
use crate::programs::ProgramError;
use crate::revoked::Needed;
use crate::tools::ToolError;

/// Why an app is not on its cluster, or not ready there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// The app is another cluster's.
    #[error("app {app} is for cluster {wanted}, and this is cluster {here}")]
    OtherCluster {
        /// The app.
        app: String,
        /// What the spec says.
        wanted: String,
        /// Which cluster was named.
        here: String,
    },
    /// A program or chart of the release cannot be used.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The release has no such chart or file of manifests.
    #[error("release {release} carries no {what}")]
    NotCarried {
        /// The release's number.
        release: u64,
        /// What was looked for.
        what: String,
    },
    /// Two charts of the release could be meant.
    #[error("{wanted} is {first} or {second}: say which as `chart`")]
    TwoCharts {
        /// What the spec says.
        wanted: String,
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
    /// Images that the release has not.
    #[error("release {release} does not carry {} of the app's images:{}", .images.len(), lines(.images))]
    NotInRelease {
        /// The release's number.
        release: u64,
        /// The images, and who names them.
        images: Vec<(String, Place)>,
    },
    /// The app needs what was revoked.
    #[error("the app needs {} of the release that must not be used any more:{}", .0.len(), Needed::lines(.0))]
    Revoked(Vec<Needed>),
    /// A text in the place of an image that is none.
    #[error("{place}: {text:?} is not an image")]
    NotAnImage {
        /// The text.
        text: String,
        /// Who names it.
        place: Place,
    },
    /// A chart that does not render.
    #[error("chart {chart} does not render: {said}")]
    Render {
        /// The chart.
        chart: String,
        /// What Helm says.
        said: String,
    },
    /// A text that is not YAML.
    #[error("{origin} is not YAML: {problem}")]
    Yaml {
        /// The chart or file of manifests.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Helm or kubectl did not do its work.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// It was applied, but is not ready.
    #[error("not ready after {seconds} s: {}{}", .workloads.join(", "), pods(.blocked))]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// What is not ready, with how far it is.
        workloads: Vec<String>,
        /// The pods that hold it up, and why.
        blocked: Vec<Blocked>,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A pod that does not get ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Namespace and name.
    pub pod: String,
    /// The node, once it has one.
    pub node: Option<String>,
    /// What it waits for, like `container app: ImagePullBackOff`.
    pub state: String,
    /// The last event that warns, as the cluster words it.
    pub event: Option<String>,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node.as_deref().map(|node| format!(" on {node}")).unwrap_or_default();
        write!(f, "pod {}{node}: {}", self.pod, self.state)?;
        self.event.as_deref().map_or(Ok(()), |event| write!(f, " ({event})"))
    }
}

fn lines(images: &[(String, Place)]) -> String {
    images.iter().map(|(image, place)| format!("\n  {image} ({place})")).collect()
}

fn pods(blocked: &[Blocked]) -> String {
    blocked.iter().map(|pod| format!("\n  {pod}")).collect()
}

impl AppError {
    /// Its reason code, where it is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::NotCarried { .. } | Self::NotInRelease { .. } => Some(Code::NotInRelease),
            Self::Revoked(_) => Some(Code::Revoked),
            Self::TwoCharts { .. }
            | Self::OtherCluster { .. }
            | Self::NotAnImage { .. }
            | Self::Render { .. }
            | Self::Yaml { .. } => Some(Code::Spec),
            Self::Tool(error) => error.code(),
            Self::Program(_) | Self::NotReady { .. } | Self::Io { .. } => None,
        }
    }

    /// Whether trying again does not help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Program(_) | Self::NotReady { .. } | Self::Io { .. })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotCarried { .. } | Self::NotInRelease { .. } => {
                "nothing was changed on the cluster. Outside, add it to sealock.yaml, lock, build, and carry the bundle in; \
                 `sealock release show` lists what is here"
                    .into()
            }
            Self::Revoked(_) => {
                "nothing was changed on the cluster. Import the publisher's newest bundle, and name what takes its place; \
                 `sealock release show` marks what is revoked"
                    .into()
            }
            Self::NotReady { blocked, .. } if blocked.iter().any(Blocked::cannot_pull) => {
                "the node cannot pull from the site registry: look at `systemctl status sealock` at the station, then run this again"
                    .into()
            }
            Self::NotReady { .. } => "kubelet goes on trying; run this again to go on waiting".into(),
            Self::Render { .. } => "the values files of the app spec are what the chart was given".into(),
            _ => return None,
        })
    }
}

impl Blocked {
    fn cannot_pull(&self) -> bool {
        self.state.contains("ImagePull") || self.state.contains("ErrImage")
    }
}
