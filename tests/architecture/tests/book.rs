use apikey_architecture::{Files, book};

use crate::planted::printed;

fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let sound = [
        ("README.md", "# Shop\n"),
        ("docs/SUMMARY.md", "# Summary\n\n- [A](a.md)\n"),
        ("docs/a.md", "# A\n\n```rust,no_run\n```\n\n```sh\n```\n"),
        ("tests/book/src/lib.rs", "#[doc = include_str!(\"../docs/a.md\")]\n#[doc = include_str!(\"../README.md\")]\n"),
    ];
    printed(&book(&sound.iter().chain(files).copied().collect::<Files>()))
}

#[test]
fn a_sound_book_has_no_findings() {
    assert_eq!(findings(&[]), [""; 0]);
}

#[test]
fn the_summary_lists_every_page_once() {
    assert_eq!(findings(&[("docs/b.md", "")]), ["docs/b.md: docs/SUMMARY.md does not list it"]);
    assert_eq!(
        findings(&[("docs/SUMMARY.md", "- [A](a.md)\n- [A](a.md)\n")]),
        ["docs/a.md: docs/SUMMARY.md lists it twice"]
    );
    assert_eq!(
        findings(&[("docs/SUMMARY.md", "")]),
        ["docs/SUMMARY.md: names no page", "docs/a.md: docs/SUMMARY.md does not list it"]
    );
}

#[test]
fn a_doc_test_includes_every_page() {
    assert_eq!(
        findings(&[("tests/book/src/lib.rs", "// docs/a.md\n#[doc = include_str!(\"../README.md\")]")]),
        ["docs/a.md: no doc test includes it: tests/book/src/lib.rs or tests/frameworks/src/lib.rs"]
    );
}

#[test]
fn every_block_says_what_it_is_and_rust_is_compiled() {
    let page = "```\n```\n```rust,ignore\n```\n```sh,no_run\n```\n~~~text\n```rust,ignore\n~~~\n";
    assert_eq!(
        findings(&[("docs/a.md", page)]),
        [
            "docs/a.md:1: a block is one of diff, html, json, nginx, python, rust, sh, text, toml, yaml: ``",
            "docs/a.md:3: a Rust block is compiled, or is compile_fail or no_run or should_panic: `ignore`",
            "docs/a.md:5: a Rust block is compiled, or is compile_fail or no_run or should_panic: `no_run`",
        ]
    );
}

#[test]
fn the_readme_stays_short() {
    assert_eq!(findings(&[("README.md", &"line\n".repeat(150))]), [""; 0]);
    assert_eq!(findings(&[("README.md", &"line\n".repeat(151))]), ["README.md: 151 lines; at most 150"]);
}
