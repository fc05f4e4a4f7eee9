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
/// With `panic = "abort"` nothing can be caught: the process ends.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let kept = KEPT.with_borrow_mut(|kept| match kept {
                Some(message) => {
                    *message = info.to_string();
                    true
                }
                None => false,
            });
            if !kept {
                before(info);
            }
        }));
    });
    KEPT.set(Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(work));
    let message = KEPT.take().unwrap_or_default();
    result.map_err(|_| message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(quietly(|| 7), Ok(7));
        let message = quietly(|| panic!("the {} broke", "log")).unwrap_err();
        assert!(message.contains("the log broke"), "{message}");
        assert_eq!(quietly(|| 7), Ok(7));
    }
}
