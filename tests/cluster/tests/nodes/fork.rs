use apikey_core::{AuthError, NewKey};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::fixture::Nodes;

/// The parent acknowledges what the others take away, and the child would never learn of it.
#[test]
fn a_child_that_is_forked_off_refuses_every_key() {
    let nodes = Nodes::in_memory();
    let store = nodes.open("parent");
    let created = store.create(NewKey::for_owner("alice")).unwrap();
    let token = created.key.expose_secret();
    // SAFETY: the child calls one function that takes no lock and needs no thread, and ends.
    #[allow(unsafe_code, reason = "fork is unsafe, and it is what this is about")]
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let refused = store.verify(token).err() == Some(AuthError::Unavailable);
            // SAFETY: it ends the child at once, without the destructors of what the parent has.
            unsafe { nix::libc::_exit(i32::from(!refused)) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
            assert!(store.verify(token).is_ok());
        }
    }
}
