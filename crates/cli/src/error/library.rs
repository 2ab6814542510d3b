//! Errors of the library crates, as the command reports them.

use std::error::Error;

use sealock_trust::format::UnknownFormat;
use sealock_trust::reason::Code;

use super::{CommandError, Kind, kind};
use crate::hsm::HsmError;

/// An error of one of our libraries.
pub trait LibraryError: Error + Send + Sync + 'static {
    /// Whether it is a refusal, and its reason code if it has one.
    fn refusal(&self) -> Option<Option<Code>>;

    /// Whether the library knows that its surroundings are to blame.
    fn environment(&self) -> bool {
        false
    }

    /// What to do about it.
    fn advice(&self) -> Option<String> {
        None
    }
}

impl<E: LibraryError> From<E> for CommandError {
    fn from(error: E) -> Self {
        let token = kind::of_token(&error);
        let mismatch = token.filter(|token| token.is_refusal()).map(|_| Some(Code::Sig));
        let (refusal, environment) = (mismatch.or_else(|| error.refusal()), error.environment());
        let advice = token.map_or_else(|| error.advice().or_else(|| of_version(&error)), HsmError::hint);
        let mut converted = Self::from_library(error, refusal.is_some(), refusal.flatten());
        if environment && converted.kind == Kind::Failed {
            converted.kind = Kind::Environment;
        }
        converted.hints.extend(advice.as_deref().map(sentence));
        converted
    }
}

/// What to do about a document of another version, however deep in the error it lies.
fn of_version(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(unknown) = error.downcast_ref::<UnknownFormat>() {
            return unknown.hint().map(str::to_owned);
        }
        next = error.source();
    }
    None
}

/// Hints are sentences, however the library wrote them.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let rest = characters.as_str();
    let stop = if rest.ends_with(['.', '?', '`']) { "" } else { "." };
    format!("{first}{rest}{stop}")
}

macro_rules! library_error {
    ($error:ty $(, $method:ident)*) => {
        impl LibraryError for $error {
            fn refusal(&self) -> Option<Option<Code>> {
                // Some errors are refusals whatever happened, others only sometimes: `code` is a code or perhaps one.
                self.is_refusal().then(|| self.code().into())
            }
            $(library_error!(@$method);)*
        }
    };
    (@is_environment) => {
        fn environment(&self) -> bool {
            self.is_environment()
        }
    };
    (@is_retryable) => {
        fn environment(&self) -> bool {
            self.is_retryable()
        }
    };
    (@hint) => {
        fn advice(&self) -> Option<String> {
            self.hint().map(Into::into)
        }
    };
    (uncoded $error:ty) => {
        impl LibraryError for $error {
            fn refusal(&self) -> Option<Option<Code>> {
                self.is_refusal().then_some(None)
            }
        }
    };
    (never $error:ty) => {
        impl LibraryError for $error {
            fn refusal(&self) -> Option<Option<Code>> {
                None
            }
        }
    };
}

library_error!(sealock_trust::format::UnknownFormat, hint);
library_error!(never HsmError);
library_error!(sealock_trust::dsse::DsseError);
library_error!(sealock_trust::key::KeyError);
library_error!(sealock_trust::role::RoleError);
library_error!(sealock_trust::tuf::TrustError);
library_error!(sealock_trust::directory::DirectoryError);
library_error!(sealock_trust::receipt::ReceiptError);
library_error!(sealock_trust::resolution::ResolveError);
library_error!(sealock_trust::revocation::RevocationError);
library_error!(sealock_trust::break_glass::BreakGlassError);
library_error!(sealock_trust::site::SiteRootError);
library_error!(sealock_trust::request::RequestError);
library_error!(uncoded sealock_trust::tuf::MakeError);

impl LibraryError for sealock_bundle::document::DocumentError {
    fn refusal(&self) -> Option<Option<Code>> {
        Some(Some(self.code()))
    }

    fn advice(&self) -> Option<String> {
        self.place.map(|place| format!("Look at line {}, column {}.", place.line, place.column))
    }
}

#[cfg(feature = "outside")]
library_error!(sealock_bundle::convert::ConvertError);
library_error!(sealock_bundle::lock::LockError);
library_error!(sealock_bundle::manifest::ManifestError);
#[cfg(feature = "outside")]
library_error!(sealock_bundle::delta::DeltaError, hint);
library_error!(sealock_bundle::delta::WantError);
library_error!(sealock_bundle::delta::BaseMissing, is_environment);
#[cfg(feature = "outside")]
library_error!(sealock_fetch::FetchError, is_environment, hint);
library_error!(sealock_bundle::ArchiveError, is_environment);
library_error!(sealock_bundle::verify::VerifyError, is_environment);
library_error!(sealock_bundle::import::ImportError, is_environment);
library_error!(sealock_bundle::sign::SignBundleError);
library_error!(sealock_bundle::update::UpdateError, is_environment, hint);
#[cfg(feature = "outside")]
library_error!(sealock_bundle::vendors::VendorsError);
library_error!(sealock_bundle::volumes::VolumeError, is_environment, hint);
library_error!(sealock_store::StoreError, is_environment);
library_error!(sealock_store::pushed::PushError, is_environment);
library_error!(sealock_server::ServeError, is_environment);
library_error!(sealock_server::AccessError, is_environment);
library_error!(sealock_server::revoked::RevokedError, is_environment);
library_error!(sealock_server::control::ControlError, is_environment);
library_error!(sealock_cluster::ansible::AnsibleError, hint);
library_error!(sealock_cluster::apps::AppError, hint);
library_error!(sealock_cluster::nodes::NodeError, hint);
library_error!(sealock_cluster::spec::LoadError);
library_error!(sealock_cluster::PlanError, hint);
library_error!(sealock_cluster::execute::ExecuteError, is_retryable, hint);
library_error!(sealock_cluster::operator::OperatorError, is_retryable, hint);
library_error!(sealock_cluster::etcd::machine::MachineError, is_retryable, hint);
library_error!(sealock_cluster::machine::MachineError, is_retryable, hint);
library_error!(sealock_cluster::backup::BackupError, hint);
library_error!(sealock_cluster::tools::ToolError);
library_error!(never sealock_node::host::HostError);
library_error!(uncoded sealock_node::gap::GapError);
library_error!(uncoded sealock_node::credential::CredentialError);

impl LibraryError for sealock_cluster::etcd::EtcdError {
    fn refusal(&self) -> Option<Option<Code>> {
        self.is_refusal().then(|| self.code())
    }

    fn environment(&self) -> bool {
        self.can_retry()
    }

    fn advice(&self) -> Option<String> {
        self.hint().map(str::to_owned)
    }
}
library_error!(never sealock_node::gap::ResponderError);
library_error!(never sealock_node::facts::FactsError);
library_error!(sealock_node::StepError, hint);
library_error!(sealock_node::runner::RunError, hint);
library_error!(never sealock_server::TlsError);
library_error!(never sealock_trust::signer::KeyFileError);
library_error!(never sealock_trust::signer::SignError);
