//! Codes: stable words for scripts, each with its text. [`codes!`](crate::error::codes) creates an enum from a list, so
//! that every code has a meaning and an advice.

/// Creates an enum of codes. Each entry is the variant, its stable word, its meaning, and what to do.
macro_rules! codes {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $($variant:ident = $word:literal, $meaning:literal, $advice:literal;)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $meaning] $variant,)+
        }

        impl $name {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The stable word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }

            /// What it means.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $($name::$variant => $meaning,)+
                }
            }

            /// What to do about it.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self {
                    $($name::$variant => $advice,)+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        /// As the stable word.
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(crate) use codes;
