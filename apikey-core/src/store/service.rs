//! What works for a store in the background.

/// Something that works for a store in the background, such as the admin server.
pub(crate) trait Service: Send {
    /// Takes no more work, and returns when what is under way is done.
    fn stop(self: Box<Self>);
}
