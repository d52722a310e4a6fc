//! `Debug` for types that can hold an address, a text or recovery words.

/// Gives types a `Debug` that shows their name and none of their content.
macro_rules! closed_debug {
    ($($name:ident),+ $(,)?) => {$(
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), " { .. }"))
            }
        }
    )+};
}
pub(crate) use closed_debug;
