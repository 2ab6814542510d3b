//! Sealock server: listens: the site registry.
