//! Octets that are taken from the front, one field after the other.
//!
//! **Elsewhere**: the caller knows what the fields mean.
//!
//! **Always**: what is not there is an error that names the field.

use crate::tpdu::TpduError;

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    pub(crate) fn octet(&mut self, field: &'static str) -> Result<u8, TpduError> {
        let (first, rest) = self
            .rest
            .split_first()
            .ok_or(TpduError::Truncated { field })?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn octets(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], TpduError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(TpduError::Truncated { field })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], TpduError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(TpduError::Truncated { field })?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
