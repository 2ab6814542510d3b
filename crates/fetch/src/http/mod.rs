//! HTTP as this crate needs it: mirrors, own certificate authorities, credentials, retries, resumed and bounded downloads.

mod client;
mod download;
mod failure;
mod mirrors;
mod names;
mod retry;

pub(crate) use client::{Http, Request};
pub(crate) use download::{Expected, FileLanding, Landing};
pub(crate) use mirrors::authority;

#[cfg(test)]
mod tests;
