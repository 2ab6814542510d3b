//! Specs: what a person asks for, as YAML of the kinds `Bundle` and `Site` (docs/formats/spec.md).

mod bundle;
mod duration;
mod gpg;
mod guesses;
mod os_packages;
mod select;
mod site;
mod verify;

pub use bundle::{
    AcceptedSecret, Audience, Bundle, BundleKind, BundleMetadata, BundleSpec, ChartSource, ChartSpec, ChartValues,
    FileSpec, ImageSpec, KubernetesSpec, PodNetwork, Referrers, Sboms, SealockSpec, Validity,
};
pub use duration::{Days, ParseDaysError};
pub use gpg::{ChartRule, FileRule};
pub use guesses::{GuessDecision, GuessRules, RefusedGuess};
pub use os_packages::{AptArchive, OsPackageSet, OsPackageSetName};
pub use select::{Choice, ComponentSpec, SelectError, Selection, VariantSpec};
pub use site::{EnrolledRoot, ExpiryPolicy, Registry, Retention, Site, SiteKind, SiteMetadata, SiteSpec};
pub use verify::{
    Claims, KeyRule, KeylessRule, KeylessSigner, NotationRule, RuleConflict, VerifyMatch, VerifyRule, rule_for,
};
