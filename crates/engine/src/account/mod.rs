//! This device's account.
pub(crate) const SCHEMA: &str = "";
