//! The command as a person runs it: one module per command.

mod binary;
mod completion;
mod docs;
mod explain;
mod help;
mod init;
mod release;
mod sandbox;
mod serve;
mod settings;
mod site;
mod trust;
mod version;
