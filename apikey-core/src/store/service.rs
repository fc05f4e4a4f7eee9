//! Background services of a store.

/// A background service of a store, such as the admin server.
pub(crate) trait Service: Send {
    /// Accepts no more work, and returns once the work in progress is done.
    fn stop(self: Box<Self>);
}
