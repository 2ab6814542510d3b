//! Why an app is not on its cluster, or not ready there.

use std::io;
use std::path::PathBuf;

use sealock_trust::reason::Code;

use super::Place;
use super::blocked::{Blocked, Trouble};
use super::revision::RevisionsError;
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
    /// One object from two files or charts.
    #[error("{first} comes from {second}, too")]
    TwoOrigins {
        /// The object, and where it was found first.
        first: Place,
        /// Where else.
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
    /// A hook of a chart failed.
    #[error("chart {chart}: {said}{}", pods(.hooks))]
    Hook {
        /// The chart.
        chart: String,
        /// What Helm says.
        said: String,
        /// The pods of hooks that did not end well.
        hooks: Vec<Blocked>,
    },
    /// Somebody else changes the app.
    #[error("another command changes the app {app} just now")]
    Busy {
        /// The app.
        app: String,
    },
    /// What the station knows of the app cannot be read.
    #[error("{path} cannot be read", path = .path.display())]
    Revisions {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RevisionsError,
    },
    /// The station has kept nothing of the app.
    #[error("of the app {app} this station knows no revision")]
    NothingKnown {
        /// The app.
        app: String,
    },
    /// A chart is dropped, and the app has something of it elsewhere now.
    #[error(
        "the chart {chart} is not in the app any more, and with it would go {object}, which the app has elsewhere now"
    )]
    Moved {
        /// The chart.
        chart: String,
        /// What would go.
        object: String,
    },
    /// There is nothing to go back to.
    #[error("of the app {app} nothing earlier is known that was ready")]
    NothingEarlier {
        /// The app.
        app: String,
    },
    /// A revision that is not known, or not any more.
    #[error("of the app {app} no revision {wanted} is known{}", numbers(.known))]
    NoSuchRevision {
        /// The app.
        app: String,
        /// What was asked for.
        wanted: u64,
        /// What is known.
        known: Vec<u64>,
    },
    /// A revision whose charts were not all installed.
    #[error("revision {revision} did not come to the cluster as a whole: there is nothing to go back to")]
    NotWhole {
        /// The revision.
        revision: u64,
    },
    /// Helm does not have what it had.
    #[error("the cluster does not keep any more what chart {chart} was in revision {revision}")]
    NotKept {
        /// The revision.
        revision: u64,
        /// The chart.
        chart: String,
    },
    /// The site does not serve any more what a revision needs.
    #[error("revision {revision} needs what no live release has:{}", texts(.missing))]
    NotLive {
        /// The revision.
        revision: u64,
        /// What is missing, and who needs it.
        missing: Vec<(String, String)>,
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

fn lines(images: &[(String, Place)]) -> String {
    images.iter().map(|(image, place)| format!("\n  {image} ({place})")).collect()
}

fn texts(missing: &[(String, String)]) -> String {
    missing.iter().map(|(what, place)| format!("\n  {what} ({place})")).collect()
}

fn numbers(known: &[u64]) -> String {
    match known {
        [] => String::new(),
        known => format!(", but {}", known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn pods(blocked: &[Blocked]) -> String {
    blocked.iter().map(|pod| format!("\n  {pod}")).collect()
}

impl AppError {
    /// Its reason code, where it is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::NotCarried { .. } | Self::NotInRelease { .. } | Self::NotLive { .. } => Some(Code::NotInRelease),
            Self::Revisions { source, .. } => Some(source.code()),
            Self::Revoked(_) => Some(Code::Revoked),
            Self::TwoCharts { .. }
            | Self::TwoOrigins { .. }
            | Self::OtherCluster { .. }
            | Self::NotAnImage { .. }
            | Self::Render { .. }
            | Self::Yaml { .. } => Some(Code::Spec),
            Self::Tool(error) => error.code(),
            Self::Program(_)
            | Self::NotReady { .. }
            | Self::Hook { .. }
            | Self::Busy { .. }
            | Self::NothingKnown { .. }
            | Self::NothingEarlier { .. }
            | Self::Moved { .. }
            | Self::NoSuchRevision { .. }
            | Self::NotWhole { .. }
            | Self::NotKept { .. }
            | Self::Io { .. } => None,
        }
    }

    /// Whether trying again does not help.
    pub fn is_refusal(&self) -> bool {
        self.code().is_some()
    }

    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Program(_) | Self::NotReady { .. } | Self::Busy { .. } | Self::Io { .. })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotCarried { .. } | Self::NotInRelease { .. } => {
                "nothing was changed on the cluster. Outside, add it to sealock.yaml, lock, build, and carry the bundle in; \
                 `sealock release show` lists what is here"
                    .into()
            }
            Self::TwoOrigins { .. } => {
                "nothing was changed on the cluster. Name only one of them in the app: where several bundles carry files of one name, as manifests/BUNDLE/PATH"
                    .into()
            }
            Self::Revoked(_) => {
                "nothing was changed on the cluster. Import the publisher's newest bundle, and name what takes its place; \
                 `sealock release show` marks what is revoked"
                    .into()
            }
            Self::NotReady { blocked, .. } => what_to_do(blocked).into(),
            Self::Hook { .. } => {
                "what the chart had installed before the hook ran is in the cluster. Correct what the hook needs and apply again, \
                 or go back with `sealock app rollback`"
                    .into()
            }
            Self::Moved { .. } => {
                "nothing was changed on the cluster. Apply the app without the chart and without that object first, and with the object then; or have \
                 Helm keep it (`helm.sh/resource-policy: keep`) before the chart is dropped"
                    .into()
            }
            Self::NothingKnown { .. } => "`sealock app apply` writes down what it does from now on".into(),
            Self::NothingEarlier { .. } | Self::NoSuchRevision { .. } | Self::NotWhole { .. } => {
                "nothing was changed on the cluster. `sealock app history` lists what is known; `sealock app apply` brings what a \
                 spec says"
                    .into()
            }
            Self::NotKept { .. } => {
                "nothing was changed on the cluster. Helm keeps its history in the cluster: if that was made anew, apply the spec"
                    .into()
            }
            Self::NotLive { .. } => {
                "nothing was changed on the cluster. `sealock release list` shows which releases are live; a bundle that is carried \
                 in again brings back what was retired"
                    .into()
            }
            Self::Render { .. } => "the values files of the app spec are what the chart was given".into(),
            _ => return None,
        })
    }
}

/// What helps most pods that are held up.
fn what_to_do(blocked: &[Blocked]) -> &'static str {
    let is_there = |trouble| blocked.iter().any(|pod| pod.trouble == trouble);
    if is_there(Trouble::Pull) {
        "the node cannot pull from the site registry: look at `systemctl status sealock` at the station, then run this again"
    } else if is_there(Trouble::Crash) {
        "what the container logged says why it ends. Correct values or manifests and apply again, or go back with `sealock app rollback`"
    } else if is_there(Trouble::Unscheduled) {
        "no node takes the pod, and the scheduler says what each lacks. Change what the app asks for, or add a node; kubelet goes on trying"
    } else {
        "kubelet goes on trying; run this again to go on waiting"
    }
}
