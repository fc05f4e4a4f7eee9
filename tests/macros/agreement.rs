//! The macro and the core each implement the grammar of permissions, since neither can use the other. These tests compare
//! them.

use apikey::{PermissionFault, check_permission};
use proptest::prelude::*;

#[path = "../../apikey-macros/src/permission.rs"]
mod of_the_macro;

fn agree(text: &str) {
    match (check_permission(text), of_the_macro::fault(text)) {
        (Ok(()), None) => {}
        (Err(fault), Some(message)) => assert!(message.contains(&fault.to_string()), "{text:?}: {fault}, {message}"),
        (core, attribute) => panic!("{text:?}: {core:?}, {attribute:?}"),
    }
}

#[test]
fn on_every_fault() {
    for (text, fault) in [
        ("", PermissionFault::Empty),
        (&"a".repeat(65), PermissionFault::TooLong),
        ("a:b:c:d:e:f:g:h:i", PermissionFault::TooManySegments),
        ("a::b", PermissionFault::EmptySegment),
        ("A", PermissionFault::UpperCase),
        ("a b", PermissionFault::Character),
        ("a:*", PermissionFault::Wildcard),
    ] {
        assert_eq!(check_permission(text), Err(fault));
        agree(text);
    }
    agree("a:b:c:d:e:f:g:h");
    agree(&"a".repeat(64));
}

proptest! {
    #[test]
    fn on_texts_near_the_grammar(text in "[aZ0:*._ -]{0,12}") {
        agree(&text);
    }

    #[test]
    fn on_every_text(text in "\\PC{0,70}") {
        agree(&text);
    }
}
