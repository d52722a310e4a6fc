//! demo
pub mod rpc;
pub mod search;
pub mod smtp;
