//! Catching the panics of the database, and of a program's own functions, without a message on the terminal.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

thread_local! {
    /// `Some` while this thread catches panics; with the message of one once there is one.
    static KEPT: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs `work`, and returns the message of a panic in it. The program's panic hook still runs for panics of other
/// threads, and of this one at other times.
///
/// With `panic = "abort"` nothing can catch a panic: the process ends, and its own hook prints the message.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    if cfg!(panic = "abort") {
        return Ok(work());
    }
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let kept = KEPT.try_with(|kept| match &mut *kept.borrow_mut() {
                Some(message) => {
                    *message = message_of(info);
                    true
                }
                None => false,
            });
            if !kept.unwrap_or(false) {
                before(info);
            }
        }));
    });
    // Calls nest, and the inner one restores the state of the outer one. A store in a thread-local value can be dropped
    // at the thread's end, after this local: then this still catches a panic, but the hook prints it.
    let outer = KEPT.try_with(|kept| kept.replace(Some(String::new())));
    let result = catch_unwind(AssertUnwindSafe(work));
    let message = outer.and_then(|outer| KEPT.try_with(|kept| kept.replace(outer)));
    result.map_err(|thrown| {
        // A program's own panic payload may panic when it is dropped.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(thrown))) {
            std::mem::forget(again);
        }
        message.ok().flatten().unwrap_or_default()
    })
}

/// What a panic says, and where, in one line. The place begins with the crate: the path before it is one of the machine
/// that built the program.
fn message_of(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a panic without a text").split_whitespace().collect::<Vec<_>>().join(" ");
    match info.location() {
        Some(place) => format!("{text} ({}:{})", within_crate(place.file()), place.line()),
        None => text,
    }
}

/// A path of a source file from the directory of its crate on.
fn within_crate(file: &str) -> &str {
    let is_separator = ['/', '\\'];
    let source = file.rfind("/src/").or_else(|| file.rfind("\\src\\"));
    let before = source.and_then(|at| file.get(..at)).unwrap_or_default();
    let begin = before.rfind(is_separator).map_or(0, |at| at + 1);
    file.get(begin..).unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_names_no_directory_of_the_build() {
        let message = catch_panic(|| panic!("the log\nbroke")).unwrap_err();
        assert!(message.starts_with("the log broke (") && message.contains("src/base/panics.rs:"), "{message}");
        for (file, shown) in [
            (
                "/home/a/.cargo/registry/src/index.crates.io-1/sled-0.34.7/src/pagecache/mod.rs",
                "sled-0.34.7/src/pagecache/mod.rs",
            ),
            ("C:\\build\\sled-0.34.7\\src\\db.rs", "sled-0.34.7\\src\\db.rs"),
            ("apikey-core/src/lib.rs", "apikey-core/src/lib.rs"),
            ("src/main.rs", "src/main.rs"),
            ("/build/examples/a.rs", "/build/examples/a.rs"),
        ] {
            assert_eq!(within_crate(file), shown);
        }
        assert!(catch_panic(|| panic::panic_any(7)).unwrap_err().starts_with("a panic without a text ("));
    }

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(catch_panic(|| 7), Ok(7));
        let message = catch_panic(|| panic!("the {} broke", "log")).unwrap_err();
        assert!(message.contains("the log broke"), "{message}");
        assert_eq!(catch_panic(|| 7), Ok(7));
    }

    #[test]
    fn a_payload_may_panic_when_it_is_dropped() {
        struct Thrown;

        impl Drop for Thrown {
            fn drop(&mut self) {
                panic!("again");
            }
        }

        assert!(catch_panic(|| panic::panic_any(Thrown)).is_err());
        assert_eq!(catch_panic(|| 7), Ok(7));
    }

    #[test]
    fn at_the_end_of_a_thread_there_is_no_message() {
        struct AtTheEnd;

        impl Drop for AtTheEnd {
            fn drop(&mut self) {
                assert_eq!(catch_panic(|| 7), Ok(7));
            }
        }

        thread_local! {
            static LAST: AtTheEnd = const { AtTheEnd };
        }
        let thread = std::thread::spawn(|| {
            // The local that is used first is dropped last.
            LAST.with(|_| ());
            catch_panic(|| ())
        });
        assert_eq!(thread.join().unwrap(), Ok(()));
    }

    #[test]
    fn calls_nest() {
        let outer = catch_panic(|| {
            assert!(catch_panic(|| panic!("inner")).unwrap_err().starts_with("inner ("));
            assert!(KEPT.with_borrow(Option::is_some));
            panic!("outer");
        });
        assert!(outer.unwrap_err().starts_with("outer ("));
        assert!(KEPT.with_borrow(Option::is_none));
    }
}
