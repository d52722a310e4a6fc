//! Enums that programs and documentation go through.

/// Gives an enum the list of its variants, and from the comment above each its meaning.
macro_rules! listed {
    (
        $(#[$about:meta])*
        pub enum $name:ident {$(
            $(#[doc = $meaning:literal])+
            $variant:ident,
        )+}
    ) => {
        $(#[$about])*
        pub enum $name {$(
            $(#[doc = $meaning])+
            $variant,
        )+}

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// What it means, for programs and documentation.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($meaning),+).trim_ascii(),)+
                }
            }
        }
    };
}

pub(crate) use listed;
