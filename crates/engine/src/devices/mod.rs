pub(crate) mod pairing;
