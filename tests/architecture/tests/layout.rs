use apikey_architecture::{Finding, layout};

use crate::planted::{house, only, printed};

fn findings(files: &[(&str, &str)]) -> Vec<Finding> {
    layout(&house(files))
}

#[test]
fn a_sound_house_has_no_findings() {
    assert_eq!(printed(&findings(&[])), Vec::<String>::new());
}

#[test]
fn an_arrow_up_is_found_with_what_is_allowed() {
    let found = only(&findings(&[("core/src/base/mod.rs", "pub(crate) mod codec;\nuse crate::index::Index;\n")]));
    assert_eq!(
        found,
        "core/src/base/mod.rs:2: base/ -> index/ by `crate::index::Index` of core/src/index/mod.rs; \
         base/ may use no other room"
    );
}

#[test]
fn an_arrow_aside_is_found() {
    let found =
        only(&findings(&[("core/src/storage/mod.rs", "pub(crate) mod disk;\nfn f(_: super::index::Index) {}\n")]));
    assert!(found.starts_with("core/src/storage/mod.rs:2: storage/ -> index/ by `super::index::Index`"), "{found}");
    assert!(found.ends_with("storage/ may use key base"), "{found}");
}

#[test]
fn an_arrow_through_re_exports_leads_to_the_file_that_defines() {
    let lib = "mod base;\nmod index;\nmod key;\nmod storage;\npub use key::Record;\npub use key::Entry as Line;\n";
    let found = findings(&[
        ("core/src/lib.rs", lib),
        ("core/src/key/mod.rs", "mod record;\npub use record::Record;\npub use self::record::Record as Entry;\n"),
        (
            "core/src/base/codec.rs",
            "use crate::{Line as Shown};\npub(crate) struct Frame(Shown);\npub(crate) struct Kind;\n",
        ),
    ]);
    let found = printed(&found);
    assert!(
        found.iter().any(|found| found.contains("base/ -> key/ by `crate::Line` of core/src/key/record.rs")),
        "{found:#?}"
    );
    assert!(found.iter().any(|found| found.contains("circle: core/src/base/codec.rs:1")), "{found:#?}");
}

/// Each of these is the only mention of the index in a file of the base.
#[test]
fn an_arrow_is_found_wherever_it_is_written() {
    let mentions = [
        "use crate::{index::{Index as I, self}};",
        "fn f() { let _ = crate::index::Index::new(); }",
        "fn f() { use crate::index; index::Index::new(); }",
        "fn f(it: u8) { if let crate::index::Index { .. } = it {} }",
        "fn f() { println!(\"{}\", 1 + crate::index::Index::SIZE); }",
        "fn f() { println!(\"{:?}\", vec![crate::index::Index::new()]); }",
        "macro_rules! made { () => { $crate::index::Index::new() } }",
        "#[serde(with = \"crate::index::Index\")] struct S;",
        "use crate::index; #[serde(with = \"index::Index\")] struct S;",
        "impl<T: crate::index::Index> Clone for S<T> {}",
        "mod inner { fn f(_: super::super::super::index::Index) {} }",
        "mod inner { use super::Shown; fn f(_: Shown) {} } pub(crate) use crate::index::Index as Shown;",
        "#[cfg(any(test, unix))] use crate::index::Index;",
        "#[cfg(not(test))] use crate::index::Index;",
        "use crate::index::*;",
        "use crate::r#index::Index;",
    ];
    for mention in mentions {
        let found =
            findings(&[("core/src/base/codec.rs", &format!("{mention}\npub struct Frame;\npub struct Kind;\n"))]);
        let found = printed(&found);
        assert!(found.iter().any(|found| found.contains("base/ -> index/")), "{mention}: {found:#?}");
    }
}

#[test]
fn what_is_there_for_tests_alone_may_look_up() {
    let tests = "
        pub(crate) struct Frame { #[cfg(test)] index: crate::index::Index }
        pub(crate) struct Kind;
        enum E { A, #[cfg(test)] B(crate::index::Index) }
        fn e(e: E) { match e { E::A => {} #[cfg(test)] E::B(_) => crate::index::Index::check() } }
        impl Frame { #[cfg(test)] fn index(&self) -> crate::index::Index {} }
        fn f() { #[cfg(test)] crate::index::Index::check()?; }
        #[cfg(all(test, unix))] use crate::index::Index;
        #[cfg(test)] mod tests { use crate::index::Index; fn f() -> Index {} }
        #[cfg(test)] mod more;
    ";
    let files = [("core/src/base/codec.rs", tests), ("core/src/base/codec/more.rs", "use crate::index::Index;\n")];
    assert_eq!(printed(&findings(&files)), Vec::<String>::new());
}

#[test]
fn a_circle_of_two_is_found() {
    let found = only(&findings(&[
        ("core/src/storage/mod.rs", "pub(crate) mod disk;\npub(crate) struct Options;\nfn open() -> disk::Disk {}\n"),
        ("core/src/storage/disk.rs", "use super::Options;\npub(crate) struct Disk(Options);\n"),
    ]));
    assert_eq!(
        found,
        "core/src/storage/disk.rs:1: circle: core/src/storage/disk.rs:1 by `super::Options` -> \
         core/src/storage/mod.rs:3 by `disk::Disk` -> core/src/storage/disk.rs"
    );
}

#[test]
fn the_shortest_circle_of_three_is_found() {
    let found = only(&findings(&[
        ("core/src/key/mod.rs", "pub mod a;\npub mod b;\npub mod c;\nmod record;\npub use record::Record;\n"),
        ("core/src/key/a.rs", "use super::b::B;\npub struct A(B);\n"),
        ("core/src/key/b.rs", "use super::c::C;\nuse super::Record;\npub struct B(C, Record);\n"),
        ("core/src/key/c.rs", "pub struct C(super::a::A);\n"),
    ]));
    assert_eq!(
        found,
        "core/src/key/a.rs:1: circle: core/src/key/a.rs:1 by `super::b::B` -> core/src/key/b.rs:1 by `super::c::C` -> \
         core/src/key/c.rs:1 by `super::a::A` -> core/src/key/a.rs"
    );
}

#[test]
fn a_parent_that_only_shows_its_children_is_no_circle() {
    let files = [
        (
            "core/src/storage/mod.rs",
            "pub(crate) mod disk;\npub(crate) use disk::Disk;\npub(crate) const SIZE: usize = 1;\n",
        ),
        ("core/src/storage/disk.rs", "use super::SIZE;\npub(crate) struct Disk([u8; SIZE]);\n"),
    ];
    assert_eq!(printed(&findings(&files)), Vec::<String>::new());
    let used =
        "pub(crate) mod disk;\npub(crate) use disk::Disk;\npub(crate) const SIZE: usize = 1;\nfn f() -> Disk {}\n";
    only(&findings(&[("core/src/storage/mod.rs", used), files[1]]));
}

#[test]
fn only_storage_names_the_database_in_code() {
    let found =
        only(&findings(&[("core/src/base/mod.rs", "//! sled\npub(crate) mod codec;\nfn f(_: sled::Db) {} // sled\n")]));
    assert_eq!(found, "core/src/base/mod.rs:3: only storage/ of apikey-core names sled");
}

#[test]
fn a_glob_that_shows_another_room_is_found() {
    let lib = "mod base;\nmod index;\nmod key;\nmod storage;\npub use key::*;\n";
    assert_eq!(
        only(&findings(&[("core/src/lib.rs", lib)])),
        "core/src/lib.rs:5: a glob shows all of key/: name what is shown"
    );
    let within = "mod record;\npub use record::*;\n";
    assert_eq!(printed(&findings(&[("core/src/key/mod.rs", within)])), Vec::<String>::new());
}

#[test]
fn a_long_file_and_a_full_folder_are_found() {
    let lines = |count: usize| format!("pub(crate) struct Frame;\npub(crate) struct Kind;\n{}", "\n".repeat(count - 2));
    assert_eq!(printed(&findings(&[("core/src/base/codec.rs", &lines(600))])), Vec::<String>::new());
    let found = only(&findings(&[("core/src/base/codec.rs", &lines(601))]));
    assert_eq!(found, "core/src/base/codec.rs: 601 lines; a file has at most 600");

    let full = |count: usize| {
        let names: Vec<_> = (2..count).map(|file| format!("file{file}")).collect();
        let root = names.iter().map(|name| format!("mod {name};\n")).collect::<String>() + "pub(crate) mod codec;\n";
        let mut files: Vec<_> = names.iter().map(|name| (format!("core/src/base/{name}.rs"), String::new())).collect();
        files.push(("core/src/base/mod.rs".to_owned(), root));
        findings(&files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>())
    };
    assert_eq!(printed(&full(20)), Vec::<String>::new());
    assert_eq!(only(&full(21)), "core/src/base/: 21 files; a folder has at most 20");
}

#[test]
fn rooms_and_rows_are_the_same() {
    let found = only(&findings(&[
        ("core/src/extra/mod.rs", ""),
        ("core/src/base/mod.rs", "pub(crate) mod codec;\n#[path = \"../extra/mod.rs\"] mod extra;\n"),
    ]));
    assert_eq!(found, "core/src/extra/mod.rs: no row of docs/internals/layout.md holds this file");

    let table = |rows: &str| {
        let table = format!(
            "## `core/src`\n\n| room | what it holds | may use |\n|---|---|---|\n| `lib.rs` | | all below |\n{rows}"
        );
        printed(&findings(&[("docs/internals/layout.md", &table)]))
    };
    let sound = "| `index/` | | `key` |\n| `storage/` | | `key` |\n| `key/` | | `base` |\n| `base/` | | |\n";
    assert_eq!(table(sound), Vec::<String>::new());
    assert_eq!(
        table(&format!("{sound}| `usage/` | | |\n")),
        ["core/src/usage/: has a row in docs/internals/layout.md (line 10), and is not there"]
    );
    let up = sound.replace("| `base/` | | |", "| `base/` | | `key` `cellar` |");
    assert_eq!(
        table(&up),
        [
            "docs/internals/layout.md:9: base/ may not use key, whose row is not below",
            "docs/internals/layout.md:9: cellar has no row"
        ]
    );
}

#[test]
fn a_file_that_nobody_declares_and_a_module_without_a_file_are_found() {
    assert_eq!(
        only(&findings(&[("core/src/key/left.rs", "")])),
        "core/src/key/left.rs: no module of the crate declares this file"
    );
    let found = only(&findings(&[("core/src/base/mod.rs", "pub(crate) mod codec;\nmod gone;\n")]));
    assert_eq!(found, "core/src/base/mod.rs:2: the file of `mod gone;` is not there");
}
