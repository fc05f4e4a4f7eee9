use apikey_architecture::{Files, Finding, book, contributing, layout, links, pages, words};

use crate::planted::printed;

#[track_caller]
fn assert_none(findings: Vec<Finding>) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), printed(&findings).join("\n"));
}

#[test]
fn the_code_fits_the_layout() {
    assert_none(layout(&Files::of_this_repository().unwrap()));
}

#[test]
fn the_words_are_those_of_the_glossary() {
    assert_none(words(&Files::of_this_repository().unwrap()));
}

#[test]
fn contributing_says_where_every_test_goes() {
    assert_none(contributing(&Files::of_this_repository().unwrap()));
}

#[test]
fn what_the_pages_name_is_there() {
    assert_none(pages(&Files::of_this_repository().unwrap()));
}

#[test]
fn every_link_leads_somewhere() {
    assert_none(links(&Files::of_this_repository().unwrap()));
}
#[test]
fn the_book_is_whole_and_its_code_is_compiled() {
    assert_none(book(&Files::of_this_repository().unwrap()));
}
