use apikey_architecture::contributing;

use crate::planted::{house, printed};

#[test]
fn every_room_has_a_row_and_every_command_a_package() {
    let page = "| you changed | add the test to | run |\n|---|---|---|\n\
                | `core/src/lib.rs`, `core/src/index/`, `core/src/key/` | it | `cargo test -p core -p gone key::` |\n\
                | `core/src/base/` | it | `cargo test --doc -p core` |\n";
    let manifest = "[package]\nname = \"core\"\n\n[[bin]]\nname = \"gone\"\n";
    let files = house(&[("CONTRIBUTING.md", page), ("core/Cargo.toml", manifest)]);
    assert_eq!(
        printed(&contributing(&files)),
        [
            "CONTRIBUTING.md: no row says where a test of core/src/storage/ goes",
            "CONTRIBUTING.md:3: there is no package gone",
        ]
    );
}
