//! Sealock testkit: for tests only: real upstreams on loopback, a site in a temporary folder.
