//! Pairing.
pub(crate) mod agreement;
pub(crate) mod code;
pub(crate) mod session;
pub(crate) mod steps;

#[cfg(test)]
mod tests;
