//! A catalogue: an enum of every permission of a service.

use std::fmt;

use apikey_core::{MAX_PERMISSION_BYTES, check_permission, redact};

use super::compile_error::stop;

/// Declares every permission of a service as an enum, so that a typo is a compile error and the list is in one place.
///
/// ```
/// use apikey::permissions;
///
/// permissions! {
///     /// What a key of this service may do.
///     pub enum Perm {
///         /// Read orders.
///         OrdersRead = "orders:read",
///         OrdersWrite = "orders:write",
///     }
/// }
///
/// assert_eq!(Perm::OrdersRead.as_str(), "orders:read");
/// assert_eq!(Perm::ALL.len(), 2);
/// assert_eq!(Perm::named("orders:write"), Some(Perm::OrdersWrite));
/// ```
///
/// The enum has `ALL`, `const fn as_str(self)`, `const fn doc(self)` with the text of its documentation, and `const fn named(&str)`; it is `Copy`, ordered as declared, and has
/// `Display`, `FromStr` and `AsRef<str>`, so you can use it wherever a permission is expected:
///
/// ```
/// # apikey::permissions! { enum Perm { OrdersRead = "orders:read", OrdersWrite = "orders:write" } }
/// use apikey::{KeyFilter, KeyStore, NewKey, Requirement, VerifiedKey, require_api_key};
///
/// #[require_api_key(perm = Perm::OrdersRead)]
/// async fn orders(key: VerifiedKey) -> &'static str {
///     if key.allows(Perm::OrdersWrite) { "yours to change" } else { "yours to read" }
/// }
///
/// let store = KeyStore::builder().catalog(Perm::ALL).temporary()?; // refuses a grant that matches none of them
/// let created = store.create(NewKey::for_owner("alice").permissions([Perm::OrdersRead]))?;
/// assert_eq!(store.list(&KeyFilter::default().permission(Perm::OrdersRead))?.keys.len(), 1);
/// assert!(store.authorize(created.key.expose_secret(), &Requirement::any(Perm::ALL)?).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With `catalog = Perm` the attribute checks string literals against it.
///
/// A malformed permission and a duplicate are compile errors:
///
/// ```compile_fail,E0080
/// apikey::permissions! {
///     enum Perm {
///         Read = "orders:read",
///         AlsoRead = "orders:read",
///     }
/// }
/// ```
#[macro_export]
macro_rules! permissions {
    (
        $(#[$attr:meta])*
        $vis:vis enum $name:ident {
            $($(#[$($variant_attr:tt)*])* $variant:ident = $text:literal),+ $(,)?
        }
    ) => {
        $(#[$attr])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $(
                #[doc = ::core::concat!("`", $text, "`.")]
                $(#[$($variant_attr)*])*
                $variant,
            )+
        }

        impl $name {
            /// Every permission, in the order declared.
            $vis const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the permission, such as `orders:read`.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// Returns what the documentation of the permission says; empty if it has none.
            #[must_use]
            $vis const fn doc(self) -> &'static str {
                match self {
                    $(Self::$variant => $crate::__doc_of!($(#[$($variant_attr)*])*),)+
                }
            }

            /// Returns the permission with this text, if the catalogue has it.
            #[must_use]
            $vis const fn named(text: &str) -> ::core::option::Option<Self> {
                let mut left = Self::ALL;
                while let [one, rest @ ..] = left {
                    if $crate::__private::same(one.as_str(), text) {
                        return ::core::option::Option::Some(*one);
                    }
                    left = rest;
                }
                ::core::option::Option::None
            }
        }

        const _: () = $crate::__private::declared(&[$((
            $text,
            ::core::concat!(
                "`", $text, "` is no permission: write segments of a-z 0-9 _ - . joined by colons, as in `orders:read`"
            ),
            ::core::concat!("`", $text, "` is declared twice"),
        )),+]);

        impl $crate::Offered for $name {
            fn permission(&self) -> &str {
                self.as_str()
            }

            fn description(&self) -> &str {
                Self::doc(*self)
            }
        }

        impl ::core::convert::AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::UnknownPermission;

            fn from_str(text: &str) -> ::core::result::Result<Self, Self::Err> {
                Self::named(text).ok_or_else(|| $crate::__private::unknown(text))
            }
        }

        impl ::core::convert::From<&$name> for $crate::Requirement {
            fn from(permission: &$name) -> Self {
                Self::from(*permission)
            }
        }

        impl ::core::convert::From<$name> for $crate::Requirement {
            fn from(permission: $name) -> Self {
                match permission {
                    $($name::$variant => Self::from(&$crate::Need::Permission($text)),)+
                }
            }
        }
    };
}

/// The text of documentation comments among attributes.
#[doc(hidden)]
#[macro_export]
macro_rules! __doc_of {
    () => { "" };
    (#[doc = $text:literal] $($rest:tt)*) => { ::core::concat!($text, "\n", $crate::__doc_of!($($rest)*)) };
    (#[$($other:tt)*] $($rest:tt)*) => { $crate::__doc_of!($($rest)*) };
}

/// A permission with what it is for: a text, which says nothing of that, or a variant of a
/// [`permissions!`](crate::permissions) enum, which says what its documentation does. `Management::offer` takes them.
pub trait Offered {
    /// Returns the permission: `orders:read`.
    fn permission(&self) -> &str;

    /// Returns what it is for, for people; empty if it does not say.
    fn description(&self) -> &str {
        ""
    }
}

impl<T: Offered + ?Sized> Offered for &T {
    fn permission(&self) -> &str {
        T::permission(self)
    }

    fn description(&self) -> &str {
        T::description(self)
    }
}

impl Offered for str {
    fn permission(&self) -> &str {
        self
    }
}

impl Offered for String {
    fn permission(&self) -> &str {
        self
    }
}

/// The error for a text that is not a permission of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPermission(String);

impl UnknownPermission {
    /// Returns the text, without [tokens](crate::redact) and truncated to 65 characters.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UnknownPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown permission {:?}", self.0)
    }
}

impl std::error::Error for UnknownPermission {}

/// The error for a text that is not in the catalogue. Redacts and truncates it: the text comes from outside.
#[must_use]
pub fn unknown(text: &str) -> UnknownPermission {
    UnknownPermission(redact(text).chars().take(MAX_PERMISSION_BYTES + 1).collect())
}

/// `==` of two texts, as a `const fn`.
#[must_use]
pub const fn same(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let ([x, left @ ..], [y, right @ ..]) = (a, b) {
        if *x != *y {
            return false;
        }
        (a, b) = (left, right);
    }
    a.is_empty() && b.is_empty()
}

/// Stops the compilation at the first text that is malformed or a duplicate, with the message beside the text.
#[track_caller]
pub const fn declared(mut texts: &[(&str, &str, &str)]) {
    while let [(text, no_permission, twice), rest @ ..] = texts {
        if check_permission(text).is_err() {
            stop(no_permission);
        }
        let mut others = rest;
        while let [(other, ..), left @ ..] = others {
            if same(text, other) {
                stop(twice);
            }
            others = left;
        }
        texts = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    permissions! {
        /// For the tests.
        pub(crate) enum Perm {
            OrdersRead = "orders:read",
            /// Change orders.
            OrdersWrite = "orders:write",
        }
    }

    #[test]
    fn a_catalogue_knows_its_permissions() {
        assert_eq!(Perm::ALL, [Perm::OrdersRead, Perm::OrdersWrite]);
        for permission in Perm::ALL {
            assert_eq!(permission.to_string().parse(), Ok(*permission));
            assert_eq!(apikey_core::Requirement::from(*permission).to_string(), permission.as_ref());
        }
        assert_eq!(Perm::named("orders:rea"), None);
        assert_eq!(format!("{:>12}", Perm::OrdersRead), " orders:read");
        assert_eq!(
            Perm::ALL.iter().map(|permission| permission.doc().trim()).collect::<Vec<_>>(),
            ["", "Change orders."]
        );
        let unknown = "orders:delete".parse::<Perm>().unwrap_err();
        assert_eq!(unknown.to_string(), "unknown permission \"orders:delete\"");
        assert_eq!("x".repeat(1000).parse::<Perm>().unwrap_err().text().len(), 65);
    }

    #[test]
    fn equal_texts() {
        for (a, b) in [("", ""), ("a", "a"), ("", "a"), ("a", ""), ("ab", "ac"), ("ab", "a")] {
            assert_eq!(same(a, b), a == b, "{a} {b}");
        }
    }
}
