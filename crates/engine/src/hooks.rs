//! Hooks: what a room needs from the rooms above it, which it does not know.
//!
//! A room states in a trait what it needs, and calls every implementation of that trait. Rooms
//! above implement it; [`crate::engine`] lists the implementations in the order in which they
//! are called.
//!
//! **Elsewhere**: each trait stands in the room that calls it; a room's implementations stand
//! in its `hooks.rs`.
//!
//! **Always**: hooks are listed once, when the engine opens; a trait that nobody implements has
//! no effect.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
};

/// The implementations of all hook traits.
#[derive(Default)]
pub(crate) struct Hooks {
    lists: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl Hooks {
    /// Lists the implementations of a trait: `with::<dyn UndoHook>(&[&Trust, &Devices])`.
    pub(crate) fn with<T: ?Sized + Sync + 'static>(mut self, hooks: &[&'static T]) -> Self {
        let list: Vec<&'static T> = hooks.to_vec();
        self.lists.insert(TypeId::of::<T>(), Box::new(list));
        self
    }

    /// The implementations of a trait, in order.
    pub(crate) fn of<T: ?Sized + Sync + 'static>(&self) -> &[&'static T] {
        let list = self.lists.get(&TypeId::of::<T>());
        list.and_then(|list| list.downcast_ref::<Vec<&'static T>>())
            .map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    trait Bell: Sync {
        fn ring(&self) -> u32;
    }
    struct Low;
    struct High;
    impl Bell for Low {
        fn ring(&self) -> u32 {
            1
        }
    }
    impl Bell for High {
        fn ring(&self) -> u32 {
            2
        }
    }

    #[test]
    fn hooks_are_called_in_the_order_in_which_they_are_listed() {
        let hooks = Hooks::default().with::<dyn Bell>(&[&High, &Low]);
        let rung: Vec<u32> = hooks
            .of::<dyn Bell>()
            .iter()
            .map(|bell| bell.ring())
            .collect();
        assert_eq!(rung, [2, 1]);
    }

    #[test]
    fn a_trait_that_nobody_implements_has_no_hooks() {
        assert!(Hooks::default().of::<dyn Bell>().is_empty());
    }
}
