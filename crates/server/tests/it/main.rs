//! The registry as its clients see it: over TLS, on a real socket, from a real store.

mod client;
mod hostile;
mod idle;
mod life;
mod pull;
mod site;
mod skopeo;
