//! The `sealock` command.

fn main() {}
