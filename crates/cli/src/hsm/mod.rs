//! Keys in PKCS#11 tokens. This binary is static and loads no library: `sealock-hsm` does, in a process of its own, and is
//! asked over its standard input and output (docs/formats/hsm.md).

mod error;
mod helper;
mod key;
mod protocol;

pub use error::HsmError;
pub use key::{HsmKey, Token, open};
pub use protocol::{LoginBy, PinState};
