//! Who makes the changes of a thread, where that was told.

use std::cell::RefCell;

thread_local! {
    static ACTOR: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What `work` changes is done by this actor. A change is decided on the thread that asked for it, so that what other
/// threads do meanwhile is not laid to its charge.
pub(crate) fn by<T>(actor: Option<String>, work: impl FnOnce() -> T) -> T {
    struct Outer(Option<String>);
    impl Drop for Outer {
        fn drop(&mut self) {
            ACTOR.set(self.0.take());
        }
    }
    let _outer = Outer(ACTOR.replace(actor));
    work()
}

/// The actor of this thread.
pub(super) fn actor() -> Option<String> {
    ACTOR.with_borrow(Option::clone)
}
