//! Backup files, restored: the store opens and has what the file contains, or the restore creates none.
#![no_main]

use std::fs;

use apikey_core::{AuthError, KeyFilter, KeyStore, NewKey, OpenError, Pepper, Restore, RestoreError};
use apikey_fuzz::archive::{heal_all, records, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Damaged files belong to the other target; here they would only take time.
    let Some(file) = heal_all(data) else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (backup, into) = (directory.path().join("file.backup"), directory.path().join("store"));
    fs::write(&backup, &file).expect("room in the temporary directory");
    let pepper = || Pepper::new(1, b"a pepper for golden files");
    let report = match KeyStore::restore(&Restore::new(&backup, &into).pepper(pepper())) {
        Ok(report) => report,
        Err(RestoreError::Backup(_) | RestoreError::Store(_)) => {
            let open = KeyStore::builder().create_if_missing(false).open(&into);
            assert!(matches!(open, Err(OpenError::Missing { .. })), "a backup that was refused left a store behind");
            return;
        }
        Err(other) => panic!("{other}"),
    };
    let records = records(&split(&file).expect("it was restored").0).expect("whole items");
    assert_eq!(report.records, records.len() as u64);
    let store = match KeyStore::builder().prefix("acme_live").pepper(pepper()).open(&into) {
        Ok(store) => store,
        // Its prefix or its peppers are others.
        Err(OpenError::Config(_)) => return,
        Err(other) => panic!("a store that was restored does not open: {other}"),
    };
    let mut filter = KeyFilter::default().limit(1);
    let mut found = Vec::new();
    loop {
        let page = store.list(&filter).expect("a store that opens can be listed");
        found.extend(page.keys.iter().map(|key| key.id().as_uuid().as_u128()));
        page.keys.iter().for_each(|key| drop((format!("{key:?}"), key.state(chrono::Utc::now()))));
        let Some(next) = page.next else { break };
        filter = KeyFilter::default().limit(1).after(next);
    }
    assert!(found.iter().eq(records.keys()));
    store.verify_events().expect("a store that opens has events that can be read");
    assert!(matches!(store.verify("acme_live_0"), Err(AuthError::Invalid)));
    // The store accepts changes.
    for _ in 0..2 {
        let created = store.create(NewKey::for_owner("new")).expect("a new key");
        assert!(!found.contains(&created.info.id().as_uuid().as_u128()), "an id that was given before");
        found.push(created.info.id().as_uuid().as_u128());
        assert!(store.verify(created.key.expose_secret()).is_ok());
    }
    store.close().expect("closing");
});
