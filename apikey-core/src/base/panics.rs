//! Panics of the database, caught without a word on the terminal.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// `Some` while a panic of this thread is to be kept, with its message once there is one.
    static KEPT: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs `work`; a panic in it becomes its message. Other threads, and this one at other times, keep the hook they had.
///
/// With `panic = "abort"` nothing can be caught: the process ends, and the hook it had shows why.
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
    // One within another leaves the outer quiet. A store that is kept in a thread's local and dropped at the thread's end
    // comes here when this local may be gone; then a panic is caught, and heard.
    let outer = KEPT.try_with(|kept| kept.replace(Some(String::new())));
    let result = catch_unwind(AssertUnwindSafe(work));
    let message = outer.and_then(|outer| KEPT.try_with(|kept| kept.replace(outer)));
    result.map_err(|thrown| {
        // What a program's own function has thrown may panic once more when it is dropped.
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
    fn what_is_thrown_may_panic_when_it_is_dropped() {
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
            // What is used first goes last.
            LAST.with(|_| ());
            catch_panic(|| ())
        });
        assert_eq!(thread.join().unwrap(), Ok(()));
    }

    #[test]
    fn one_within_another_leaves_the_outer_quiet() {
        let outer = catch_panic(|| {
            assert_eq!(catch_panic(|| panic!("inner")).unwrap_err().lines().last(), Some("inner"));
            assert!(KEPT.with_borrow(Option::is_some));
            panic!("outer");
        });
        assert_eq!(outer.unwrap_err().lines().last(), Some("outer"));
        assert!(KEPT.with_borrow(Option::is_none));
    }
}
