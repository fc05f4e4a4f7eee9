//! Messages at the admin socket: each line of an input is the content of a message, and one session gets all of them. What
//! decodes as a request encodes to the same; every answer fits into a message and decodes again. No answer reports a
//! panic, which a session would answer as a fault.
#![no_main]

use std::sync::Mutex;

use apikey_core::admin::{Answer, PROTOCOL, Session};
use apikey_core::{KeyStore, fuzzing};
use libfuzzer_sys::fuzz_target;

/// Messages to one store, which must not fill the memory.
const MAX: usize = 20_000;

/// The number of messages so far, and the store. Never dropped: no destructor of a thread may close a store.
static STORE: Mutex<(usize, Option<KeyStore>)> = Mutex::new((0, None));

fuzz_target!(|data: &[u8]| {
    let mut held = STORE.lock().expect("no input panicked before this one");
    let (messages, store) = &mut *held;
    if *messages > MAX {
        (*messages, *store) = (0, None);
    }
    *messages += data.len() / 8 + 1;
    let store = store.get_or_insert_with(|| KeyStore::temporary().expect("there is room"));
    let mut session = Session::new(store.clone());
    // The input itself, with the head that it has.
    ask(&mut session, data);
    for line in data.split(|byte| *byte == b'\n') {
        let length = u32::try_from(line.len()).expect("an input is short");
        ask(&mut session, &[&[PROTOCOL][..], &length.to_be_bytes(), line].concat());
    }
});

fn ask(session: &mut Session, frame: &[u8]) {
    if let Some(Answer::Fault(fault)) = fuzzing::ask(session, frame) {
        assert!(!fault.text.contains("panicked"), "{fault}");
    }
}
