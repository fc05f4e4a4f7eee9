//! The words of the attribute: its error messages are part of its interface, and every change of them is reviewed.
//!
//! `TRYBUILD=overwrite cargo test -p apikey-ui` writes them anew.

#[test]
fn error_messages() {
    // With one case that passes, every dependency would be compiled to the end for this, and not only checked.
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
