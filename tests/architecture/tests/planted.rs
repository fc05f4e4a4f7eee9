use apikey_architecture::{Files, Finding};

/// A crate of four rooms whose files are these, beside those that make it whole.
pub(crate) fn house(files: &[(&str, &str)]) -> Files {
    let sound = [
        ("docs/internals/layout.md", LAYOUT),
        ("core/src/lib.rs", "mod base;\nmod index;\nmod key;\nmod storage;\npub use key::Record;\n"),
        ("core/src/index/mod.rs", "use crate::Record;\npub(crate) struct Index(Record);\n"),
        ("core/src/storage/mod.rs", "pub(crate) mod disk;\n"),
        ("core/src/storage/disk.rs", "use crate::key;\npub(crate) struct Disk(sled::Db, key::Record);\n"),
        ("core/src/key/mod.rs", "mod record;\npub use record::Record as Record;\n"),
        ("core/src/key/record.rs", "use crate::base::codec::{self, Frame};\npub struct Record(Frame, codec::Kind);\n"),
        ("core/src/base/mod.rs", "pub(crate) mod codec;\n"),
        ("core/src/base/codec.rs", "pub(crate) struct Frame;\npub(crate) struct Kind;\n"),
    ];
    sound.iter().chain(files).copied().collect()
}

const LAYOUT: &str = "
## The core: `core/src`

| room | what it holds | may use |
|---|---|---|
| `lib.rs` | names | all below |
| `index/` | memory | `key` `base` |
| `storage/` | the disk | `key` `base` |
| `key/` | keys | `base` |
| `base/` | ground | |
";

/// Each finding as it is printed.
pub(crate) fn printed(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(Finding::to_string).collect()
}

/// The only finding.
#[track_caller]
pub(crate) fn only(findings: &[Finding]) -> String {
    assert_eq!(findings.len(), 1, "{:#?}", printed(findings));
    printed(findings).concat()
}
