//! The words of the attribute: its error messages are part of its interface, and every change of them is reviewed.
//!
//! `TRYBUILD=overwrite cargo test --test ui` writes them anew.

#[test]
fn error_messages() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
