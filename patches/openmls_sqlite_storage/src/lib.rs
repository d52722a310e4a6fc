//! Stands in for an optional dependency that is never used; see Cargo.toml.
