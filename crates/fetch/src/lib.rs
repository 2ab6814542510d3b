//! Sealock fetch: gathers, outside only: sources, resolution, pulling, upstream signatures.
