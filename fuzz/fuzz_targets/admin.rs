//! What comes over the admin socket: each line of an input is the content of a message, and all are asked of one session.
//! A message is one or it is not; it reads back as it was read; every answer has room in a message and reads back, too.
//! None has a panic in it: a session would tell it as a fault.
#![no_main]

use std::sync::Mutex;

use apikey_core::admin::{Answer, PROTOCOL, Session};
use apikey_core::{KeyStore, fuzzing};
use libfuzzer_sys::fuzz_target;

/// Messages of one store: what they make of it must not fill the memory.
const MOST: usize = 20_000;

/// With how many messages it was asked. Never dropped: no destructor of a thread's own may close a store.
static STORE: Mutex<(usize, Option<KeyStore>)> = Mutex::new((0, None));

fuzz_target!(|data: &[u8]| {
    let mut held = STORE.lock().expect("no input panicked before this one");
    let (asked, store) = &mut *held;
    if *asked > MOST {
        (*asked, *store) = (0, None);
    }
    *asked += data.len() / 8 + 1;
    let store = store.get_or_insert_with(|| KeyStore::temporary().expect("there is room"));
    let mut session = Session::new(store.clone());
    // As it is, with a head of its own.
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
