//! Integration tests of the trust crate.

mod attacks;
mod directory;
mod keys;
mod oracle;
mod roots;
mod site;
mod world;
