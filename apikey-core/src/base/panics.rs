//! Catching the panics of the database, and of a program's own functions, without a message on the terminal.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// `Some` while this thread catches panics; with the message of one once there is one.
    static KEPT: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs `work`, and returns the message of a panic in it. Other threads, and this one at other times, keep their hook.
///
/// With `panic = "abort"` no panic can be caught: the process ends, and its own hook prints why.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    if cfg!(panic = "abort") {
        return Ok(work());
    }
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let kept = KEPT.try_with(|kept| match &mut *kept.borrow_mut() {
                Some(message) => {
                    *message = info.to_string();
                    true
                }
                None => false,
            });
            if !kept.unwrap_or(false) {
                before(info);
            }
        }));
    });
    // Calls nest: the inner one leaves the outer one's state. A store in a thread's local that is dropped at the thread's
    // end comes here when this local may be gone; then a panic is caught, and the hook prints it.
    let outer = KEPT.try_with(|kept| kept.replace(Some(String::new())));
    let result = catch_unwind(AssertUnwindSafe(work));
    let message = outer.and_then(|outer| KEPT.try_with(|kept| kept.replace(outer)));
    result.map_err(|thrown| {
        // A payload of a program's own may panic once more when it is dropped.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(thrown))) {
            std::mem::forget(again);
        }
        message.ok().flatten().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(catch_panic(|| panic!("inner")).unwrap_err().lines().last(), Some("inner"));
            assert!(KEPT.with_borrow(Option::is_some));
            panic!("outer");
        });
        assert_eq!(outer.unwrap_err().lines().last(), Some("outer"));
        assert!(KEPT.with_borrow(Option::is_none));
    }
}
