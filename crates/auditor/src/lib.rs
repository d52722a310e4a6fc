//! Follows a relay's key log: checks that it only ever grows, and co-signs its heads.
//!
//! Anybody can be an auditor. One asks a relay for its log's heads, from the first one
//! that it has not checked, and for each log epoch for the proof that it only adds to the
//! one before. What holds is co-signed, and clients that name the auditor require its
//! word. What does not is told, and never co-signed.
//!
//! - [`follower`]: what to ask next, and what an answer means. No network and no files.
//! - [`append_only`]: the one check that needs akd itself.
//! - [`round`](mod@round): one round of asking, given somebody who asks.
//! - [`folder`]: the auditor's key and what it knows, on disk.
//!
//! It is a crate of its own so that akd, with its storage and its threads, stays out of
//! what clients are built of (the engine runs in browsers too).
//!
//! **Elsewhere**: heads, chains, co-signatures and evidence are `waxwing_transparency`'s;
//! HTTP is `waxwing_client`'s; what people see is `waxwing audit`.
//!
//! **Always**: nothing is co-signed that was not checked from the log's first epoch on,
//! without a hole. Memory does not grow with the log. After a lie, nothing is co-signed
//! for that relay any more.

pub mod append_only;
pub mod folder;
pub mod follower;
pub mod round;
