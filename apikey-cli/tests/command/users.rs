//! Two users: the service owns the store, and root or a stranger runs the command.
//!
//! Only root can give files away and become another user. Run by another user, these tests use a directory that root owns,
//! and links in one of their own; they report on standard error what they skip.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use apikey_testkit::{Process, wait_until};

use super::{Done, Place};

/// The service's user and a stranger, with ids that no user has.
const SERVICE: u32 = 61_234;
const STRANGER: u32 = 61_235;

/// Whether root runs the tests.
fn is_root(claim: &str) -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        // Past the test harness, which would keep it.
        let _ = writeln!(std::io::stderr(), "users: skipped without root: whether {claim}");
    }
    is_root
}

/// A place whose directory `way/` only root may enter, with the service's `keys.db` in it.
struct Closed {
    place: Place,
}

impl Closed {
    fn new() -> Self {
        let place = Place::new();
        fs::set_permissions(place.path(""), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(place.path("way")).unwrap();
        fs::set_permissions(place.path("way"), Permissions::from_mode(0o700)).unwrap();
        give(&place, "way/keys.db", SERVICE);
        // For users who may not enter the build directory.
        for (built, name) in [(env!("CARGO_BIN_EXE_apikey").into(), "apikey"), (service(), "service")] {
            fs::copy::<PathBuf, _>(built, place.path(name)).unwrap();
        }
        Self { place }
    }

    fn store(&self) -> PathBuf {
        self.place.path("way/keys.db")
    }

    fn root(&self, arguments: &[&str]) -> Done {
        self.place.done(self.place.command(arguments).env("APIKEY_STORE", "way/keys.db"), "")
    }

    /// Runs as another user, who may enter `way/`.
    fn user(&self, uid: u32, arguments: &[&str]) -> Done {
        fs::set_permissions(self.place.path("way"), Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(self.place.path("apikey"));
        command.args(arguments).current_dir("/").env("APIKEY_STORE", self.store()).uid(uid).gid(uid);
        let done = self.place.done(&mut command, "");
        fs::set_permissions(self.place.path("way"), Permissions::from_mode(0o700)).unwrap();
        done
    }

    #[track_caller]
    fn is_the_services(&self) {
        let foreign: Vec<PathBuf> = below(&self.store()).into_iter().filter(|path| owner(path) != SERVICE).collect();
        assert_eq!(foreign, <[PathBuf; 0]>::default());
    }
}

/// The example service of docs/operations/command.md, which Cargo builds with the tests.
fn service() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_apikey")).with_file_name("examples").join("service")
}

/// Creates a directory for that user.
fn give(place: &Place, name: &str, uid: u32) {
    fs::create_dir(place.path(name)).unwrap();
    chown(place.path(name), Some(uid), Some(uid)).unwrap();
}

fn owner(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().uid()
}

fn below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if fs::symlink_metadata(path).unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| found.extend(below(&entry.unwrap().path())));
    }
    found
}

#[test]
fn roots_commands_leave_no_file_of_roots() {
    if !is_root("root becomes the owner of a store") {
        return;
    }
    let closed = Closed::new();
    closed.root(&["init"]).ok();
    closed.is_the_services();
    closed.root(&["create", "alice", "--permission", "orders:read"]).ok();
    let id = closed.root(&["--json", "list", "--owner", "alice"]).ok().out;
    let id = id.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
    for arguments in [&["doctor"][..], &["list"], &["events"], &["rotate", id, "--overlap", "none"], &["revoke", id]] {
        closed.root(arguments).ok();
        closed.is_the_services();
    }
    // Events still name root.
    closed.root(&["events", "--kind", "revoked"]).ok().shows("uid:0");
    closed.user(SERVICE, &["doctor"]).ok().shows("good");
    closed.is_the_services();
}

#[test]
fn a_directory_that_its_owner_may_not_read_is_named() {
    if !is_root("a service reads a directory of mode 000") {
        return;
    }
    let closed = Closed::new();
    closed.root(&["init"]).ok();
    fs::set_permissions(closed.store(), Permissions::from_mode(0o000)).unwrap();
    let refused = closed.user(SERVICE, &["list"]).with(7).says("keys.db").says("not readable by this process");
    refused.hides("writable");
}

#[test]
fn the_error_for_another_user_names_the_owner() {
    if is_root("a stranger is refused at the service's store") {
        let closed = Closed::new();
        closed.root(&["init"]).ok();
        let expected = format!("it belongs to uid {SERVICE}, and this process is uid {STRANGER}: run as that user");
        for arguments in [&["doctor"][..], &["list"], &["create", "alice"], &["init"]] {
            closed.user(STRANGER, arguments).with(7).says(&expected);
        }
        closed.is_the_services();
    } else {
        let empty = ["/srv", "/mnt", "/media", "/opt", "/home"].map(Path::new).into_iter();
        let mut empty = empty.filter(|path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()));
        let empty = empty.next().expect("an empty directory that root owns");
        Place::new().run(&["--store", empty.to_str().unwrap(), "init"]).with(7).says("it belongs to uid 0, and this");
    }
}

/// The service chooses the names in the directory, and root may be at a terminal.
#[test]
fn control_characters_of_file_names_are_not_printed() {
    let place = Place::new();
    place.run(&["init"]).ok();
    symlink("absent", place.path("keys.db/sled/\u{1b}[2Jx")).unwrap();
    let done = place.run(&["doctor"]).with(6).says("\u{fffd}[2Jx is a link");
    done.hides("\u{1b}");
}

/// A command of an earlier version leaves such a file.
#[test]
fn the_error_names_a_file_of_roots_and_how_to_give_it_back() {
    if !is_root("a file of root's in the service's store is named") {
        return;
    }
    let closed = Closed::new();
    closed.root(&["init"]).ok();
    let snapshot = below(&closed.store()).into_iter().find(|path| path.to_string_lossy().contains("snap.")).unwrap();
    chown(&snapshot, Some(0), Some(0)).unwrap();
    let done = closed.user(SERVICE, &["doctor"]).with(7);
    let done = done.says(&format!("its file {} belongs to uid 0, and the store to uid {SERVICE}", snapshot.display()));
    done.says(&format!("`chown -h {SERVICE} {}`", snapshot.display()));
    // Root sees the same, under the name that it gave.
    closed.root(&["doctor"]).with(7).says("its file way/keys.db/sled/snap.");
    chown(&snapshot, Some(SERVICE), Some(SERVICE)).unwrap();
    closed.user(SERVICE, &["doctor"]).ok();
}

/// An attack that worked: root's read-only `doctor` truncated a file and opened it to the service.
#[test]
fn roots_command_follows_no_link_that_the_service_has_planted() {
    let is_root = is_root("root follows a link");
    for name in ["lock", "mark", "sled/in-use", "sled/wal", "sled/blobs/1", "sled/db", "creating-mark"] {
        let closed = is_root.then(Closed::new);
        let own = Place::new();
        let (place, store) = closed.as_ref().map_or((&own, "keys.db"), |closed| (&closed.place, "way/keys.db"));
        let run = |arguments: &[&str]| place.done(place.command(arguments).env("APIKEY_STORE", store), "");
        run(&["init"]).ok();
        let victim = place.path("victim");
        fs::write(&victim, "root:*:1:\n").unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o644)).unwrap();
        let link = place.path(store).join(name);
        let _ = fs::remove_file(&link);
        symlink(&victim, &link).unwrap();
        for arguments in [&["doctor"][..], &["list"], &["create", "alice"]] {
            run(arguments).with(6).says(&format!("{store}/{name} is a link"));
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "root:*:1:\n", "{name}");
        assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o644, "{name}");
    }
}

/// Neither at the store's own path nor on the path to it: a link may lead to a directory of root's.
#[test]
fn roots_command_goes_through_no_link_to_the_store_that_is_not_roots() {
    if !is_root("root goes through a link to a store") {
        return;
    }
    let place = Place::new();
    place.run(&["--store", "roots/keys.db", "init"]).ok();
    fs::create_dir(place.path("empty")).unwrap();
    give(&place, "home", SERVICE);
    let link = |to: &str, name: &str, uid: u32| {
        symlink(place.path(to), place.path(name)).unwrap();
        lchown(place.path(name), Some(uid), Some(uid)).unwrap();
    };
    link("roots/keys.db", "home/keys.db", SERVICE);
    link("roots", "home/way", SERVICE);
    link("empty", "home/empty", SERVICE);
    link("absent", "home/absent", SERVICE);
    for (store, name) in [
        ("home/keys.db", "home/keys.db"),
        ("home/../home/way/keys.db", "home/../home/way"),
        ("home/way/new.db", "home/way"),
        ("home/empty", "home/empty"),
        ("home/absent", "home/absent"),
    ] {
        let refused = format!("{name} is a link of uid {SERVICE}, to ");
        for arguments in [&["init"][..], &["doctor"], &["create", "alice"], &["bench", "--keys", "1"]] {
            // The benchmark's store lies beside this one, whose own name is not resolved.
            if arguments[0] != "bench" || name.ends_with("way") {
                place
                    .run(&[&["--store", store], arguments].concat())
                    .with(7)
                    .says(&refused)
                    .says("root does not follow");
            }
        }
        place.run(&["--store", "roots/keys.db", "salvage", "--into", store]).with(7).says(&refused);
        place.run(&["restore", "absent", "--over", store, "--into", "restored"]).with(7).says(&refused);
    }
    assert!(fs::read_dir(place.path("empty")).unwrap().next().is_none());
    assert!(!place.path("absent").exists() && !place.path("restored").exists());

    // Root follows its own links, and those in a directory where nobody else may write.
    link("roots", "home/roots", 0);
    link("roots", "by-the-service", SERVICE);
    for store in ["home/roots/keys.db", "by-the-service/keys.db"] {
        place.run(&["--store", store, "doctor"]).ok();
    }
    // Not one that another user may have hard-linked there, where the system allows that.
    fs::hard_link(place.path("home/roots"), place.path("home/second")).unwrap();
    place.run(&["--store", "home/second/keys.db", "doctor"]).with(7).says("home/second is a link of uid 0");
    // A loop of links.
    link("round", "round", 0);
    place.run(&["--store", "round/keys.db", "doctor"]).with(7).says("round: Too many levels of symbolic links");
}

/// The service can later put a link, or a directory, in its place.
#[test]
fn a_file_in_place_of_a_store_is_opened_as_its_owner() {
    if !is_root("root looks at a file as its owner") {
        return;
    }
    let closed = Closed::new();
    let place = &closed.place;
    give(place, "home", SERVICE);
    fs::write(place.path("home/file"), "").unwrap();
    closed.root(&["init"]).ok();
    closed.root(&["backup", "home/keys.backup"]).ok();
    fs::rename(place.path("home/keys.backup"), place.path("way/roots.backup")).unwrap();
    let arguments = ["restore", "way/roots.backup", "--into", "home/file", "--old-is-gone"];
    closed.root(&arguments).with(7).says("Permission denied").says(&format!("works as uid {SERVICE}"));
    closed.root(&["salvage", "--into", "home/file"]).with(6).says("home/file is no key store: it is a file");
    // The same holds for a file of root's.
    fs::write(place.path("file"), "").unwrap();
    closed.root(&["salvage", "--into", "file"]).with(6).says("file is no key store: it is a file");
    closed.root(&["--store", "home/file/keys.db", "init"]).with(7).says("Not a directory");
}

/// Also if root creates it: root's own files stay in root's directories.
#[test]
fn a_new_store_belongs_to_the_owner_of_its_directory() {
    if !is_root("root makes a store in another user's directory") {
        return;
    }
    let place = Place::new();
    give(&place, "home", SERVICE);
    place.run(&["--store", "home/data/keys.db", "init"]).ok();
    assert!(below(&place.path("home")).iter().all(|path| owner(path) == SERVICE));
    place.run(&["--store", "keys.db", "init"]).ok();
    assert!(below(&place.path("keys.db")).iter().all(|path| owner(path) == 0));
}

#[test]
fn files_beside_the_store_are_read_and_created_as_its_owner() {
    if !is_root("files are made as the owner of a store") {
        return;
    }
    let closed = Closed::new();
    let place = &closed.place;
    let hint = format!("works as uid {SERVICE}, the owner of the store");
    closed.root(&["init", "--out", "way/admin.key"]).with(7).says("way/admin.key: Permission denied").says(&hint);
    assert!(!place.path("way/admin.key").exists());
    give(place, "out", SERVICE);
    closed.root(&["init", "--out", "out/admin.key"]).ok();
    closed.root(&["backup", "out/keys.backup"]).ok();
    closed.root(&["backup", "way/keys.backup"]).with(7).says("Permission denied").says(&hint);
    closed.root(&["export", "--out", "out/keys.jsonl"]).ok();
    assert!(below(&place.path("out")).iter().all(|path| owner(path) == SERVICE));
    // No file of root's stays in the store's own directory, either.
    fs::set_permissions(place.path("way"), Permissions::from_mode(0o755)).unwrap();
    closed.root(&["create", "alice", "--out", "way/keys.db/alice.key"]).ok();
    fs::set_permissions(place.path("way"), Permissions::from_mode(0o700)).unwrap();
    closed.is_the_services();

    // The owner owns what restore and salvage create beside the old store, in root's directory.
    closed.root(&["backup", "out/keys.backup"]).ok();
    closed.root(&["restore", "out/keys.backup", "--into", "way/new/keys.db", "--over", "way/keys.db"]).ok();
    closed.root(&["salvage", "--into", "way/saved.db"]).ok();
    for made in ["way/new", "way/saved.db"] {
        assert!(below(&place.path(made)).iter().all(|path| owner(path) == SERVICE), "{made}");
    }
    closed.root(&["--store", "way/new/keys.db", "doctor"]).ok();
    // A backup that only root may read.
    fs::copy(place.path("out/keys.backup"), place.path("way/roots.backup")).unwrap();
    let arguments = ["restore", "way/roots.backup", "--into", "way/third.db", "--over", "way/keys.db"];
    closed.root(&arguments).with(7).says("Permission denied").says(&hint);
    closed.root(&["bench", "--keys", "10", "--time", "10ms"]).ok();
    give(place, "sealed", SERVICE);
    fs::set_permissions(place.path("sealed"), Permissions::from_mode(0o500)).unwrap();
    let sealed = closed.root(&["--store", "sealed/keys.db", "bench", "--keys", "1"]).with(7);
    sealed.says("\"sealed/.apikey-bench-").says(&hint).hides("/proc/self");
}

/// The program could type there: a terminal does not check the user of a process that has it open.
#[test]
fn no_program_of_the_service_gets_roots_terminal() {
    if !is_root("a program gets root's terminal") {
        return;
    }
    let closed = Closed::new();
    closed.root(&["init"]).ok();
    let run = format!("{} run-due --deliver-by true", env!("CARGO_BIN_EXE_apikey"));
    let at_a_terminal = |run: &str| {
        let mut script = Command::new("script");
        script.args(["-qec", run, "/dev/null"]).current_dir(closed.place.path("")).env("APIKEY_STORE", "way/keys.db");
        closed.place.done(&mut script, "")
    };
    let is_off = fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").is_ok_and(|set| set.trim() == "0");
    if is_off {
        at_a_terminal(&run).ok();
    } else {
        at_a_terminal(&run).with(7).shows("could type commands at root's terminal");
    }
    at_a_terminal(&format!("setsid -w {run}")).ok().shows("delivered 0");
    // With root's own store, the program runs as root.
    at_a_terminal(&format!("{} --store own.db init", env!("CARGO_BIN_EXE_apikey"))).ok();
    at_a_terminal(&run.replace("run-due", "--store own.db run-due")).ok();
}

/// A pepper that only root may read, as systemd provides it.
#[test]
fn peppers_are_read_before_root_changes_its_user() {
    if !is_root("root reads a pepper for the service's store") {
        return;
    }
    let closed = Closed::new();
    let pepper = closed.place.path("way/pepper");
    fs::write(&pepper, [7; 32]).unwrap();
    fs::set_permissions(&pepper, Permissions::from_mode(0o400)).unwrap();
    closed.root(&["--pepper", "1=way/pepper", "init"]).ok();
    closed.root(&["--pepper", "1=way/pepper", "doctor"]).ok();
    closed.root(&["doctor"]).with(2).says("pepper 1 is missing");
    closed.is_the_services();
}

#[test]
fn root_reaches_a_running_service_on_a_closed_path() {
    if !is_root("root asks a service of another user") {
        return;
    }
    let closed = Closed::new();
    closed.root(&["init"]).ok();
    fs::set_permissions(closed.place.path("way"), Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(closed.place.path("service"));
    command.arg(closed.store()).current_dir("/").uid(SERVICE).gid(SERVICE).stderr(Stdio::null());
    let _service = Process::start(&mut command);
    wait_until("the service listens", || closed.store().join("admin.sock").exists());
    fs::set_permissions(closed.place.path("way"), Permissions::from_mode(0o700)).unwrap();
    closed.root(&["doctor"]).ok().says("asking it at way/keys.db/admin.sock").shows("good");
    closed.root(&["create", "bob"]).ok();
    closed.is_the_services();
}
