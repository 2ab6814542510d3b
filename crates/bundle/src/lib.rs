//! Sealock bundle: boxes them: spec, lock, manifest, archive, verify, import.
