//! The memory: what is remembered for as long as the process runs, and can be done without.
//!
//! Each room has state types of its own, which live in the room; this module does not know
//! them. A state is made, empty, when its room first changes it, so there is no list of states
//! that could lack one.
//!
//! **Always**: everything in here can be thrown away, and is made again from the store and the
//! links. One line resets it all.

use std::{any::Any, collections::HashMap};

use waxwing_protocol::{ids::GroupId, time::Time};

use crate::{account::Account, event::LinkKind, link::Links, mls, turn::Postponed};

/// What the process remembers, and can do without.
#[derive(Default)]
pub(crate) struct Memory {
    pub links: Links,
    /// This account, once it is registered.
    pub account: Option<Account>,
    /// The MLS state of groups that were used lately.
    pub mls_groups: HashMap<GroupId, mls::Group>,
    /// What is left alone until a time, because the relay said so.
    pub postponed: HashMap<Postponed, Time>,
    /// Whether the rooms have looked for what the store has to do ([`crate::turn::ResumeHook`]).
    is_resumed: bool,
    /// What rooms remember.
    pub states: States,
}

impl Memory {
    /// Whether this is a device that its account does not have any more.
    pub(crate) fn is_revoked(&self) -> bool {
        self.account.as_ref().is_some_and(|own| !own.is_admitted())
    }

    /// Whether the rooms have looked for what the store has to do.
    pub(crate) const fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Forgets what may be ahead of the store: it is read from there again.
    pub(crate) fn forget_groups(&mut self) {
        self.mls_groups.clear();
        self.is_resumed = false;
    }

    /// Everything that is due is looked for again with the next event.
    pub(crate) const fn look_again(&mut self) {
        self.is_resumed = false;
    }

    /// All that is due is known.
    pub(crate) const fn mark_resumed(&mut self) {
        self.is_resumed = true;
    }

    /// Forgets everything, except what outlasts errors.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            states: std::mem::take(&mut self.states).reset(),
            ..Self::default()
        };
    }
}

/// A room's state in memory.
pub(crate) trait Remembered: Default + Send + 'static {
    /// Whether it stays when the engine starts again after an error: it then says how often
    /// somebody did something, and an error must not reset the count.
    const OUTLASTS_ERRORS: bool = false;

    /// A link is lost, and with it everything that was on its way there.
    fn handle_link_lost(&mut self, _link: LinkKind) {}
}

/// The states of all rooms: a chain, in which each state is followed by those that were first
/// changed after it.
#[derive(Default)]
pub(crate) struct States(Option<Box<Node>>);

struct Node {
    state: Box<dyn State>,
    rest: States,
}

/// A [`Remembered`] of which only this module's callers know the type.
trait State: Any + Send {
    fn outlasts_errors(&self) -> bool;
    fn handle_link_lost(&mut self, link: LinkKind);
}

impl<T: Remembered> State for T {
    fn outlasts_errors(&self) -> bool {
        T::OUTLASTS_ERRORS
    }

    fn handle_link_lost(&mut self, link: LinkKind) {
        Remembered::handle_link_lost(self, link);
    }
}

impl States {
    /// A room's state; `None` while it is empty, because it was never changed.
    pub(crate) fn get<T: Remembered>(&self) -> Option<&T> {
        let node = self.0.as_ref()?;
        let state: &dyn Any = node.state.as_ref();
        state.downcast_ref().or_else(|| node.rest.get())
    }

    /// A room's state, to be changed.
    pub(crate) fn get_mut<T: Remembered>(&mut self) -> &mut T {
        let node = self.0.get_or_insert_with(|| {
            Box::new(Node {
                state: Box::new(T::default()),
                rest: Self::default(),
            })
        });
        let state: &mut dyn Any = node.state.as_mut();
        match state.downcast_mut() {
            Some(state) => state,
            None => node.rest.get_mut(),
        }
    }

    /// Tells every room that a link is lost.
    pub(crate) fn handle_link_lost(&mut self, link: LinkKind) {
        if let Some(node) = &mut self.0 {
            node.state.handle_link_lost(link);
            node.rest.handle_link_lost(link);
        }
    }

    /// What is left when everything is forgotten, except what outlasts errors.
    pub(crate) fn reset(self) -> Self {
        let Some(node) = self.0 else {
            return self;
        };
        let Node { state, rest } = *node;
        let rest = rest.reset();
        if state.outlasts_errors() {
            Self(Some(Box::new(Node { state, rest })))
        } else {
            rest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Counter(u32);
    impl Remembered for Counter {
        const OUTLASTS_ERRORS: bool = true;
    }

    #[derive(Default)]
    struct Names(Vec<String>);
    impl Remembered for Names {
        fn handle_link_lost(&mut self, _: LinkKind) {
            self.0.clear();
        }
    }

    #[derive(Default)]
    struct Total(u32);
    impl Remembered for Total {}

    fn some() -> States {
        let mut states = States::default();
        states.get_mut::<Names>().0.push("alice".to_owned());
        states.get_mut::<Counter>().0 = 3;
        states.get_mut::<Total>().0 = 7;
        states
    }

    #[test]
    fn each_room_finds_its_own_state() {
        let states = some();
        assert_eq!(states.get::<Names>().unwrap().0, ["alice"]);
        assert_eq!(states.get::<Counter>().unwrap().0, 3);
        assert_eq!(states.get::<Total>().unwrap().0, 7);
        assert!(States::default().get::<Total>().is_none());
    }

    #[test]
    fn a_reset_empties_what_does_not_outlast_errors() {
        let mut states = some().reset();
        assert_eq!(states.get::<Counter>().unwrap().0, 3);
        assert!(states.get::<Names>().is_none());
        assert_eq!(states.get_mut::<Total>().0, 0);
    }

    #[test]
    fn every_room_learns_that_a_link_is_lost() {
        let mut states = some();
        states.handle_link_lost(LinkKind::Posting);
        assert!(states.get::<Names>().unwrap().0.is_empty());
        assert_eq!(states.get::<Total>().unwrap().0, 7);
    }
}
