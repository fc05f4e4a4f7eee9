//! The words of the attribute, with the features of this package. See `tests/ui/axum/ui.rs`.

#[test]
fn error_messages() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
