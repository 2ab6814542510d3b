//! Sealock fetch: gathers, outside only: sources, resolution, pulling, upstream signatures.
//!
//! Nothing inside the gap links this crate. It takes everything about its surroundings (mirrors, credentials, proxies) as
//! [`Settings`], tells what it does through [`Progress`], and believes nothing but digests and signatures.

mod auth;
mod blocking;
mod build;
pub mod discovery;
mod error;
mod http;
mod progress;
mod resolve;
mod settings;
mod signature;
mod source;
mod upstream;

pub use build::{build, fill};
pub use error::{FetchError, UndecidedGuess, Unruled};
pub use progress::{Event, Progress};
pub use resolve::{LockRequest, resolve};
pub use settings::{Patience, ProxySettings, Retry, Settings};
pub use source::apt::AptError;
pub use upstream::{Failure, UpstreamError};
