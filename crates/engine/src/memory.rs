//! What features remember for as long as the process runs.
//!
//! Each feature has a state type of its own, which lives in its room; this room does not know
//! them. The engine loop lists them all ([`Memory::with`]).
//!
//! **Always**: everything in here can be thrown away, and is made again from the store and the
//! links. One line resets it all.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
};

use crate::event::LinkKind;

/// A feature's state in memory.
pub(crate) trait Remembered: Default + Send + 'static {
    /// Whether it stays when the engine starts again after an error: it then says how often
    /// somebody did something, and an error must not reset the count.
    const OUTLASTS_ERRORS: bool = false;

    /// A link is lost, and with it whatever was on its way there.
    fn handle_link_lost(&mut self, _link: LinkKind) {}
}

/// The states of all features.
#[derive(Default)]
pub(crate) struct Memory {
    states: HashMap<TypeId, FeatureState>,
}

struct FeatureState {
    state: Box<dyn Any + Send>,
    empty: fn() -> Box<dyn Any + Send>,
    outlasts_errors: bool,
    link_lost: fn(&mut dyn Any, LinkKind),
}

impl Memory {
    /// Adds a feature's state, empty.
    pub(crate) fn with<T: Remembered>(mut self) -> Self {
        let empty = || -> Box<dyn Any + Send> { Box::new(T::default()) };
        let kept = FeatureState {
            state: empty(),
            empty,
            outlasts_errors: T::OUTLASTS_ERRORS,
            link_lost: |state, link| {
                if let Some(state) = state.downcast_mut::<T>() {
                    state.handle_link_lost(link);
                }
            },
        };
        self.states.insert(TypeId::of::<T>(), kept);
        self
    }

    /// A feature's state.
    pub(crate) fn get<T: Remembered>(&self) -> &T {
        let kept = self.states.get(&TypeId::of::<T>());
        match kept.and_then(|kept| kept.state.downcast_ref()) {
            Some(state) => state,
            None => unreachable!("the engine lists every state"),
        }
    }

    /// The same, to be changed.
    pub(crate) fn get_mut<T: Remembered>(&mut self) -> &mut T {
        let kept = self.states.get_mut(&TypeId::of::<T>());
        match kept.and_then(|kept| kept.state.downcast_mut()) {
            Some(state) => state,
            None => unreachable!("the engine lists every state"),
        }
    }

    /// Tells every feature that a link is lost.
    pub(crate) fn handle_link_lost(&mut self, link: LinkKind) {
        for kept in self.states.values_mut() {
            (kept.link_lost)(kept.state.as_mut(), link);
        }
    }

    /// Forgets everything, but for what outlasts errors.
    pub(crate) fn reset(&mut self) {
        for kept in self
            .states
            .values_mut()
            .filter(|kept| !kept.outlasts_errors)
        {
            kept.state = (kept.empty)();
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
    impl Remembered for Names {}

    #[test]
    fn a_reset_empties_what_does_not_outlast_errors() {
        let mut memory = Memory::default().with::<Counter>().with::<Names>();
        memory.get_mut::<Counter>().0 = 3;
        memory.get_mut::<Names>().0.push("alice".to_owned());
        assert_eq!(memory.get::<Names>().0, ["alice"]);
        memory.reset();
        assert_eq!(memory.get::<Counter>().0, 3);
        assert!(memory.get::<Names>().0.is_empty());
    }
}
