//! Sealock store: keeps bytes: content-addressed blobs, staging, releases.
