//! What a method is, and the macro that makes everything about one from its entry in the list.
//!
//! **Elsewhere**: the list itself is in [`mod@crate::methods`]. The engine's handlers are one `match`
//! in its `commands.rs`, the client's in its `rpc/service.rs`; both are complete by construction.
//!
//! **Always**: a method has an example of its parameters exactly if it has parameters.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What a call does to what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only reads.
    Reads,
    /// It sets something: called twice, it does the same as called once.
    Repeats,
    /// Each call does something.
    Changes,
}

impl Effect {
    /// Whether a call can be made again if nobody knows whether it was carried out.
    pub const fn can_be_repeated(self) -> bool {
        matches!(self, Self::Reads | Self::Repeats)
    }
}

/// Everything about a method except what carries it out.
pub struct Method {
    /// As in JSON.
    pub name: &'static str,
    /// What it does, as `docs/rpc.md` says it: Markdown, line by line.
    pub docs: &'static [&'static str],
    /// What a call does to what is stored.
    pub effect: Effect,
    /// Whether this device must belong to an account for it.
    pub needs_admission: bool,
    /// Its parameters, if it takes any.
    pub params: Option<Data>,
    /// Its result.
    pub result: Data,
}

/// A type that is written as JSON, with an example.
pub struct Data {
    /// JSON, as `docs/rpc.md` shows it.
    pub example: &'static str,
    /// The schema of the type.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads JSON as the type and writes it again.
    pub rewrite: fn(Value) -> serde_json::Result<Value>,
}

impl Data {
    pub(crate) const fn of<T: JsonSchema + Serialize + DeserializeOwned>(
        example: &'static str,
    ) -> Self {
        Self {
            example,
            schema: SchemaGenerator::subschema_for::<T>,
            rewrite: |json| serde_json::to_value(serde_json::from_value::<T>(json)?),
        }
    }
}

/// Makes the enum of requests from the list of methods, and what is known about each.
///
/// An entry is `name = Variant(Params) -> Result: effect, admitted { params: …, result: … }`,
/// below the text of `docs/rpc.md`. `(Params)`, `params` and `admitted` may be absent. `Result` is
/// the variant of [`crate::Response`]; where its type has another name, it is `Variant(Type)`.
macro_rules! methods {
    (
        $(#[$about:meta])*
        pub enum $Request:ident;

        $(
            $(#[doc = $docs:literal])+
            $name:ident = $Variant:ident $(($params:ty))? -> $Result:ident $(($type:ty))?:
                $effect:ident $(, $admitted:ident)?
            {
                $(params: $params_example:literal,)?
                result: $result_example:literal,
            }
        )+
    ) => {
        $(#[$about])*
        #[derive(Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "method", content = "params", rename_all = "snake_case")]
        pub enum $Request {
            $(
                $(#[doc = $docs])+
                $Variant $(($params))?,
            )+
        }

        impl $Request {
            /// Every method, in the order of `docs/rpc.md`.
            pub const METHODS: &'static [$crate::method::Method] = &[$(
                $crate::method::Method {
                    name: stringify!($name),
                    docs: &[$($docs),+],
                    effect: $crate::method::effect!($effect),
                    needs_admission: $crate::method::admission!($($admitted)?),
                    params: $crate::method::option!(
                        $($crate::method::Data::of::<$params>($params_example))?
                    ),
                    result: $crate::method::Data::of::<
                        $crate::method::result_type!($Result $($type)?)
                    >($result_example),
                },
            )+];

            /// The name of the method.
            pub const fn method(&self) -> &'static str {
                match self {
                    $(Self::$Variant { .. } => stringify!($name),)+
                }
            }

            /// What the call does to what is stored.
            pub const fn effect(&self) -> $crate::method::Effect {
                match self {
                    $(Self::$Variant { .. } => $crate::method::effect!($effect),)+
                }
            }

            /// Which [`Response`](crate::Response) the method returns: its `kind`.
            pub const fn returns(&self) -> &'static str {
                match self {
                    $(Self::$Variant { .. } => stringify!($Result),)+
                }
            }

            /// Whether this device must belong to an account for it.
            pub const fn needs_admission(&self) -> bool {
                match self {
                    $(Self::$Variant { .. } => $crate::method::admission!($($admitted)?),)+
                }
            }
        }

        impl core::fmt::Debug for $Request {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($Request), "({})"), self.method())
            }
        }
    };
}

macro_rules! effect {
    (reads) => {
        $crate::Effect::Reads
    };
    (repeats) => {
        $crate::Effect::Repeats
    };
    (changes) => {
        $crate::Effect::Changes
    };
}

macro_rules! admission {
    () => {
        false
    };
    (admitted) => {
        true
    };
}

macro_rules! option {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

macro_rules! result_type {
    ($same:ident) => {
        $crate::$same
    };
    ($variant:ident $type:ty) => {
        $type
    };
}

pub(crate) use {admission, effect, methods, option, result_type};
