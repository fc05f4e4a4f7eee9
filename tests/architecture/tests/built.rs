use apikey_architecture::{Files, built};

use crate::planted::printed;

fn findings(html: &str) -> Vec<String> {
    let files: Files = [
        ("index.html", html),
        ("deep/a.html", "<h1 id=\"top\">A</h1>\n<a href=\"../index.html\">up</a>"),
        ("book.css", ""),
    ]
    .into_iter()
    .collect();
    printed(&built(&files))
}

#[test]
fn a_sound_book_has_no_findings() {
    let html = "<link rel=\"stylesheet\" href=\"book.css\"><a href=\"deep/a.html#top\">a</a> <b id=\"x\"></b>\n\
                <a href=\"#x\">x</a> <a href=\"https://docs.rs/#gone\">out</a>";
    assert_eq!(findings(html), [""; 0]);
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let html = "<a href=\"gone.html\">a</a>\n<a href=\"deep/a.html#gone\">b</a> <img src=\"gone.svg\">\n<a href=\"#gone\">c</a>";
    assert_eq!(
        findings(html),
        [
            "index.html:1: leads nowhere: gone.html",
            "index.html:2: leads nowhere: deep/a.html#gone",
            "index.html:2: leads nowhere: gone.svg",
            "index.html:3: leads nowhere: #gone",
        ]
    );
}

#[test]
fn a_book_that_was_not_built_is_found() {
    assert_eq!(printed(&built(&Files::default())), ["index.html: is not there"]);
}
