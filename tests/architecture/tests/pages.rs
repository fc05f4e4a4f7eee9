use apikey_architecture::{Files, pages};

use crate::planted::printed;

#[test]
fn what_a_page_names_must_be_there() {
    let page = "Read `apikey-core/src/key/` and `key/record.rs`, `key/record.rs::begin`, `key/gone.rs`.\n\
                `key/record.rs::ended`, `key/record.rs::beg`, `gone/`, `orders:*`, `any/all`, `sled`.\n\
                ```sh\ncat `key/gone.rs`\n```\n\
                | instead of | write |\n|---|---|\n| `key/old.rs` | it |\n";
    let record = "#[test]\nfn begin() {}\n";
    let files: Files = [
        ("docs/internals/layout.md", ""),
        ("docs/internals/glossary.md", page),
        ("docs/internals/sled.md", ""),
        ("CONTRIBUTING.md", ""),
        ("apikey-core/src/key/record.rs", record),
    ]
    .into_iter()
    .collect();
    assert_eq!(
        printed(&pages(&files)),
        [
            "docs/internals/glossary.md:1: there is no key/gone.rs",
            "docs/internals/glossary.md:2: key/record.rs has no function ended",
            "docs/internals/glossary.md:2: key/record.rs has no function beg",
            "docs/internals/glossary.md:2: there is no gone/",
        ]
    );
    let missing = pages(&[("docs/internals/layout.md", "")].into_iter().collect());
    assert_eq!(
        printed(&missing),
        [
            "docs/internals/glossary.md: is not there",
            "docs/internals/sled.md: is not there",
            "CONTRIBUTING.md: is not there"
        ]
    );
}
