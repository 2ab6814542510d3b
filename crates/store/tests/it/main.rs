//! The store from outside: what importers and servers do with it, and what they find after something went wrong.

mod crash;
mod disk_full;
mod publish;
mod site;
mod staging;
mod stores;
