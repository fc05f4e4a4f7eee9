use apikey_architecture::{Files, words};

use crate::planted::{only, printed};

const GLOSSARY: &str = "
A page may not say gizmo either.

| instead of | write | scope | but |
|---|---|---|---|
| `gizmo`, `gizmos` | part | text | `gizmo of Ulm` |
| `is fed` | who feeds | text | `legacy/` |
| `fish`, `fish tank` | vessel | name | `gold fish` |
| `net` | mesh | whole name | |
| `Reed` | stem | type | |
| `core/src/pond.rs` | lake.rs | file | |
| `Which`, `Which one` | a noun | comment | |
| `That a` | a sentence | opening | |
";

fn findings(path: &str, text: &str) -> Vec<String> {
    let files: Files = [("docs/internals/glossary.md", GLOSSARY.replace("gizmo either", "it").as_str()), (path, text)]
        .into_iter()
        .collect();
    printed(&words(&files))
}

#[track_caller]
fn found_at(path: &str, text: &str, lines: &[usize]) {
    let found = findings(path, text);
    let begins: Vec<_> = lines.iter().map(|line| format!("{path}:{line}: ")).collect();
    let fits = found.len() == lines.len() && begins.iter().zip(&found).all(|(begin, found)| found.starts_with(begin));
    assert!(fits, "{text}\n{found:#?}");
}

#[test]
fn the_page_itself_is_read_and_its_rows_are_not() {
    let files: Files = [("docs/internals/glossary.md", GLOSSARY)].into_iter().collect();
    assert_eq!(
        only(&words(&files)),
        "docs/internals/glossary.md:2: `gizmo`: write part (docs/internals/glossary.md:6)"
    );
}

#[test]
fn a_word_is_found_wherever_it_is_written() {
    found_at("core/src/a.rs", "/// Gizmo\nfn gizmo_of() {}\nlet s = \"the GIZMO's\"; // gizmos\n", &[1, 2, 3, 3]);
    found_at("docs/a.md", "A gizmo,\n`MyGizmo` and gizmology.", &[1, 2]);
    found_at(".ci/run", "gizmo=1\n", &[1]);
    assert_eq!(findings("docs/gizmo.md", "").len(), 1, "a file's name");
}

#[test]
fn a_phrase_is_found_across_lines_and_in_names_and_not_across_a_stop() {
    found_at("core/src/a.rs", "/// The cat is\n/// fed.\nfn it_is_fed() {}\n", &[1, 3]);
    found_at("docs/a.md", "There it is. Fed it was; is, fed; a gizmo of Ulm; this fed", &[]);
    found_at("legacy/a.md", "It is fed.", &[]);
}

#[test]
fn a_name_is_what_the_code_defines() {
    found_at(
        "core/src/a.rs",
        "fn fish() {}\nstruct MyFish { fish_tank: u8 }\nenum E { FishA }\nmod fish;\n",
        &[1, 2, 2, 3, 4],
    );
    found_at(
        "core/src/a.rs",
        "impl S { const FISH: u8 = 1; fn eat(&self) { self.gold_fish(); other::fish() } }\n",
        &[1],
    );
    found_at("core/src/a.rs", "/// fish\nfn gold_fish() { let fish = \"fish\"; }\n#[test] fn fish_are_wet() {}\n", &[]);
    found_at("docs/a.md", "fish", &[]);
    assert_eq!(findings("core/src/fish_pond.rs", "").len(), 1);
}

#[test]
fn a_whole_name_and_a_type_are_all_of_the_name() {
    found_at(
        "core/src/a.rs",
        "fn net() {}\nfn net_of() {}\nstruct Net { a_net: u8, net: u8 }\nconst NET: u8 = 1;\n",
        &[1, 3, 4],
    );
    found_at("core/src/a.rs", "fn reed() {}\nstruct Reed;\nstruct ReedBed;\ntype Reed = u8;\n", &[2, 4]);
}

#[test]
fn a_file_and_the_beginning_of_a_comment_are_found() {
    assert_eq!(
        findings("core/src/pond.rs", ""),
        ["core/src/pond.rs: this name: write lake.rs (docs/internals/glossary.md:11)"]
    );
    let comments = "/// Which.\nfn a() {}\n/// Which one: that.\nfn b() {}\n/// Which of them\nfn c() {}\n/// So.\n/// Which.\nfn d() {}\n";
    found_at("core/src/a.rs", comments, &[1, 3]);
    found_at("core/src/a.rs", "//! That a key ends.\n\n/// That\n/// a key ends.\n/// That a key\n", &[1]);
}

#[test]
fn a_row_that_cannot_be_read_is_found() {
    let table = "| instead of | write | scope | but |\n|---|---|---|---|\n| `a` | b | nowhere | |\n| `a` | b |\n";
    let files: Files = [("docs/internals/glossary.md", table)].into_iter().collect();
    assert_eq!(
        printed(&words(&files)),
        [
            "docs/internals/glossary.md: no table of words",
            "docs/internals/glossary.md:3: \"nowhere\" is no scope",
            "docs/internals/glossary.md:4: a row has four cells"
        ]
    );
}
