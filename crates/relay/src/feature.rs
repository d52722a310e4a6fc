//! What each feature of the relay does when something happens that is not a request to it.
//!
//! **Elsewhere**: [`crate::relay`] lists the features in their order and calls them; what
//! they do as time passes is in [`crate::chores`].

use crate::{
    context::Context,
    link::{Link, LinkId},
    store::Store,
};

/// A feature of the relay.
pub(crate) trait Feature<S: Store> {
    /// A link was closed; `was` is what was known of it.
    fn link_closed(&mut self, _context: &mut Context<S>, _link: LinkId, _was: &Link) {}

    /// What has gathered is being written.
    fn batch_taken(&mut self) {}

    /// What was being written is on disk.
    fn batch_written(&mut self, _context: &mut Context<S>) {}

    /// What was being written never gets onto the disk.
    fn batch_lost(&mut self, _context: &mut Context<S>) {}

    /// What has gathered is lost: goes back to what is on disk, or still being written.
    fn forget_unwritten(&mut self, _context: &mut Context<S>) {}

    /// A sweep begins.
    fn sweep_begins(&mut self) {}
}
