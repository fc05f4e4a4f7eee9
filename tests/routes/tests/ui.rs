//! The words of the attribute, with the features of this package. See `tests/ui.rs` of the root.

#[test]
fn error_messages() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
