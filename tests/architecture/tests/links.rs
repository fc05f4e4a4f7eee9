use apikey_architecture::{Files, links};

use crate::planted::printed;

fn findings(path: &str, text: &str) -> Vec<String> {
    let around = [
        ("README.md", "# Shop\n\n## Two words\n\n## Two words\n\n## The `store`, [again](docs/a.md)\n"),
        ("docs/a.md", "# A\n\n## Part_1\n\n```text\n# no heading\n```\n"),
        ("docs/deep/b.md", "# B\n"),
        ("examples/one/main.rs", ""),
    ];
    let files: Files = around.into_iter().chain([(path, text)]).collect();
    printed(&links(&files))
}

#[test]
fn a_sound_link_is_no_finding() {
    let text = "[a](a.md), [its part](a.md#part_1), [wrapped\ntext](deep/b.md#b), [here](#own), ![b](./deep/../a.md).\n\n\
                # Own\n\n[out](https://docs.rs/metrics) and `[code](gone.md)`, ``[`code`](gone.md)``.\n\n\
                ```text\n[code](gone.md)\n```\n\n[named]: a.md\n";
    assert_eq!(findings("docs/c.md", text), [""; 0]);
    assert_eq!(findings("NOTES.md", "[1](README.md#two-words) [2](README.md#two-words-1) [3](examples/one)"), [""; 0]);
    assert_eq!(findings("NOTES.md", "[4](README.md#the-store-again) [5](docs/a.md)"), [""; 0]);
}

#[test]
fn a_broken_link_is_found_where_it_stands() {
    let text =
        "[a](gone.md)\n[a](a.md#gone)\n[a](#gone)\n[a](a.md#no-heading)\n[long\ntext](deep/gone.md)\n\n[a]: gone.md\n";
    assert_eq!(
        findings("docs/c.md", text),
        [
            "docs/c.md:1: gone.md: there is no docs/gone.md",
            "docs/c.md:2: a.md#gone: docs/a.md has no heading #gone",
            "docs/c.md:3: #gone: docs/c.md has no heading #gone",
            "docs/c.md:4: a.md#no-heading: docs/a.md has no heading #no-heading",
            "docs/c.md:6: deep/gone.md: there is no docs/deep/gone.md",
            "docs/c.md:8: gone.md: there is no docs/gone.md",
        ]
    );
    assert_eq!(findings("docs/c.md", "[a](../../x.md)"), ["docs/c.md:1: ../../x.md leaves the repository"]);
}

#[test]
fn a_page_of_the_book_links_pages_of_the_book() {
    assert_eq!(
        findings("docs/c.md", "[a](../README.md)"),
        ["docs/c.md:1: ../README.md: the built book has no README.md; name it without a link"]
    );
}

#[test]
fn an_external_link_is_https_and_a_host() {
    for bad in ["http://docs.rs", "https://", "https://localhost", "ftp://docs.rs/x", "https://docs rs"] {
        assert_eq!(findings("docs/c.md", &format!("[a]({bad})")).len(), 1, "{bad}");
    }
}

#[test]
fn a_page_that_code_names_is_there() {
    assert_eq!(findings("src/lib.rs", "// see docs/a.md#part_1, or docs/deep/b.md.\n//! ../docs/gone.md"), [""; 0]);
    assert_eq!(
        findings("src/lib.rs", "// see docs/gone.md\n// or docs/a.md#gone, docs/plot.svg"),
        [
            "src/lib.rs:1: there is no docs/gone.md",
            "src/lib.rs:2: docs/a.md has no heading #gone",
            "src/lib.rs:2: there is no docs/plot.svg"
        ]
    );
}
