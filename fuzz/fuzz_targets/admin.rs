//! What comes over the admin socket: each line of an input is the content of a message, and all are asked of one session.
//! A message is one or it is not; it reads back as it was read; every answer has room in a message and reads back, too.
//! None has a panic in it: a session would tell it as a fault.
#![no_main]

use std::cell::RefCell;

use apikey_core::admin::{Answer, PROTOCOL, Session};
use apikey_core::{KeyStore, fuzzing};
use libfuzzer_sys::fuzz_target;

/// Messages of one store: what they make of it must not fill the memory.
const MOST: usize = 20_000;

thread_local! {
    static STORE: RefCell<(usize, Option<KeyStore>)> = const { RefCell::new((0, None)) };
}

fuzz_target!(|data: &[u8]| {
    let store = STORE.with_borrow_mut(|(asked, store)| {
        if *asked > MOST {
            (*asked, *store) = (0, None);
        }
        *asked += data.len() / 8 + 1;
        store.get_or_insert_with(|| KeyStore::temporary().expect("there is room")).clone()
    });
    let mut session = Session::new(store);
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
