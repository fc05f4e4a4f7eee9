//! Requirements as types: one permission, or a tree of them.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "this code runs at compile time, where a panic is a compile error"
)]

use apikey_core::{MAX_PERMISSION_BYTES as MAX, Need, check_permission};

use super::compile_error::stop;
use super::required::Required;

macro_rules! perm {
    ($($letter:ident)*) => {
        /// One permission, letter by letter: on stable Rust a string cannot be a const parameter. The compiler omits
        /// default letters, so errors and documentation show `Perm<'o', 'r', 'd', ...>`.
        #[derive(Debug, Clone, Copy)]
        pub enum Perm<$(const $letter: char = '\0'),*> {}

        impl<$(const $letter: char),*> Perm<$($letter),*> {
            const BYTES: [u8; MAX] = ascii([$($letter),*]);
        }

        impl<$(const $letter: char),*> Required for Perm<$($letter),*> {
            const NEED: &'static Need = &Need::Permission(text(&Self::BYTES));
        }
    };
}

perm!(
    C0 C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C11 C12 C13 C14 C15
    C16 C17 C18 C19 C20 C21 C22 C23 C24 C25 C26 C27 C28 C29 C30 C31
    C32 C33 C34 C35 C36 C37 C38 C39 C40 C41 C42 C43 C44 C45 C46 C47
    C48 C49 C50 C51 C52 C53 C54 C55 C56 C57 C58 C59 C60 C61 C62 C63
);

const fn ascii(letters: [char; MAX]) -> [u8; MAX] {
    let mut bytes = [0; MAX];
    let mut at = 0;
    while at < MAX {
        let letter = letters[at];
        assert!(letter.is_ascii(), "a permission consists of ASCII characters");
        bytes[at] = letter as u8;
        at += 1;
    }
    bytes
}

/// The permission of a constant expression: the bytes of its text in four numbers, which [`chunk`] computes.
#[derive(Debug, Clone, Copy)]
pub enum PermExpr<const A: u128, const B: u128, const C: u128, const D: u128> {}

impl<const A: u128, const B: u128, const C: u128, const D: u128> PermExpr<A, B, C, D> {
    const BYTES: [u8; MAX] = {
        let chunks = [A.to_be_bytes(), B.to_be_bytes(), C.to_be_bytes(), D.to_be_bytes()];
        let mut bytes = [0; MAX];
        let mut at = 0;
        while at < MAX {
            bytes[at] = chunks[at / CHUNK][at % CHUNK];
            at += 1;
        }
        bytes
    };
}

impl<const A: u128, const B: u128, const C: u128, const D: u128> Required for PermExpr<A, B, C, D> {
    const NEED: &'static Need = &Need::Permission(text(&Self::BYTES));
}

const CHUNK: usize = size_of::<u128>();

/// The bytes `16 * at ..` of a permission, as a number. Only the first chunk checks the text, so that a fault is one
/// error and not four.
#[must_use]
#[track_caller]
pub const fn chunk(permission: &str, at: usize) -> u128 {
    if at == 0 {
        check(permission);
    }
    let bytes = permission.as_bytes();
    let mut number = 0;
    let mut next = at * CHUNK;
    while next < (at + 1) * CHUNK {
        let byte = if next < bytes.len() { bytes[next] } else { 0 };
        number = number << 8 | byte as u128;
        next += 1;
    }
    number
}

/// The text in the bytes before the first zero.
const fn text(bytes: &'static [u8; MAX]) -> &'static str {
    let mut length = 0;
    while length < MAX && bytes[length] != 0 {
        length += 1;
    }
    match str::from_utf8(bytes.split_at(length).0) {
        Ok(text) => {
            check(text);
            text
        }
        Err(_) => panic!("a permission consists of ASCII characters"),
    }
}

/// Stops the compilation if the text is not a permission.
#[track_caller]
const fn check(permission: &str) {
    if let Err(fault) = check_permission(permission) {
        stop(fault.message());
    }
}

/// At least one of a tuple of requirements.
#[derive(Debug, Clone, Copy)]
pub struct Any<T>(T);

/// Every one of a tuple of requirements.
#[derive(Debug, Clone, Copy)]
pub struct All<T>(T);

/// The largest of some costs.
const fn largest(mut costs: &[u32]) -> u32 {
    let mut largest = 0;
    while let [cost, rest @ ..] = costs {
        if *cost > largest {
            largest = *cost;
        }
        costs = rest;
    }
    largest
}

macro_rules! tuples {
    ($(($($one:ident)*))*) => {$(
        impl<$($one: Required),*> Required for Any<($($one,)*)> {
            const NEED: &'static Need = &Need::Any(&[$($one::NEED),*]);
            const NO_TENANT: bool = $($one::NO_TENANT)||*;
            const COST: u32 = largest(&[$($one::COST),*]);
        }

        impl<$($one: Required),*> Required for All<($($one,)*)> {
            const NEED: &'static Need = &Need::All(&[$($one::NEED),*]);
            const NO_TENANT: bool = $($one::NO_TENANT)||*;
            const COST: u32 = largest(&[$($one::COST),*]);
        }
    )*};
}

// The attribute enforces the same limit.
tuples! {
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
    (A B C D E F G)
    (A B C D E F G H)
    (A B C D E F G H I)
    (A B C D E F G H I J)
    (A B C D E F G H I J K)
    (A B C D E F G H I J K L)
}

#[cfg(test)]
mod tests {
    use super::super::required::Authenticated;
    use super::*;

    type Read = PermExpr<{ chunk("orders:read", 0) }, { chunk("orders:read", 1) }, 0, 0>;

    #[test]
    fn types_give_their_requirements() {
        assert_eq!(<Perm<'a', ':', 'b'>>::NEED, &Need::Permission("a:b"));
        assert_eq!(Read::NEED, &Need::Permission("orders:read"));
        type Tree = Any<(Read, All<(Perm<'x'>, Perm<'y'>)>)>;
        assert_eq!(Tree::NEED.to_string(), "any(orders:read, all(x, y))");
        assert_eq!(<Any<(Read, Authenticated)>>::NEED.to_string(), "any(orders:read, any valid key)");
    }

    #[test]
    fn the_longest_permission_fits() {
        const LONGEST: &str = "a234567890123456:b234567890123456789012345678901:c2345678901234z";
        const { assert!(LONGEST.len() == MAX) };
        type Longest =
            PermExpr<{ chunk(LONGEST, 0) }, { chunk(LONGEST, 1) }, { chunk(LONGEST, 2) }, { chunk(LONGEST, 3) }>;
        assert_eq!(Longest::NEED, &Need::Permission(LONGEST));
    }
}
