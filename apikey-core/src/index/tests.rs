//! Keys that are inserted and removed, compared with a map, and with concurrent readers.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::thread;

use proptest::prelude::*;

use crate::access::control_word;
use crate::access::idle::IdleEnd;
use crate::access::named::{Kind, NamedId};
use crate::access::network::ANYWHERE;
use crate::base::interner::{GRANTS, IDENTITIES, PACKED};
use crate::base::store_time::Moment;
use crate::index::*;
use crate::key::allowance::Allowance;
use crate::key::effective_key::EffectiveSecret;
use crate::key::record::SecretEnd;
use crate::token::api_key;
use crate::token::api_key::{Prefixes, Secret};
use crate::token::key_id::KeyId;

struct Key {
    effective: EffectiveKey,
    token: String,
}

fn key(id: u128, owner: &str, not_before: Option<i64>) -> Key {
    let body = Secret::from_text(b"0123456789ABCDEFGHIJKLMNOPQRSTUV").body(KeyId::from_u128(id));
    let identity = IDENTITIES.number(owner).unwrap();
    let secret = EffectiveSecret {
        digest: Digester::plain().own(&body),
        pepper: 0,
        imported: None,
        identity,
        version: 1,
        end: SecretEnd::Never,
        latest: None,
        unused: false,
        ends: None,
    };
    let effective = EffectiveKey {
        ended: Vec::new(),
        id,
        allowance: Allowance {
            identity,
            grants: GRANTS.number("").unwrap(),
            revoked: false,
            disabled: false,
            expires_at: None,
            not_before,
            limit: None,
            quota: None,
            networks: ANYWHERE,
            idle: None,
        },
        secrets: vec![secret],
    };
    Key { effective, token: api_key::format("ak", &body).expose_secret().to_owned() }
}

fn index() -> Index {
    Index::new(0, 0, vec![Digester::plain()], true)
}

/// Returns the number of the identity, if the token is valid.
fn verify(index: &Index, prefixes: &Prefixes, token: &str, now: i64) -> Option<u32> {
    let matched = index.find_own(prefixes.parse(token.as_bytes()).unwrap())?;
    index.check_use(&matched, Moment { now, raw: now }, None).ok()?;
    Some(matched.identity())
}

proptest! {
    /// A table of 64 lines, so that clusters are long and go round its end; against a map.
    #[test]
    fn keys_come_and_go(steps in proptest::collection::vec((0u128..60, any::<bool>(), any::<bool>()), 1..400)) {
        let prefixes = Prefixes::new("ak".into(), []);
        let (index, mut held) = (index(), HashMap::new());
        for (id, there, later) in steps {
            match (there, held.remove(&id)) {
                (false, Some(old)) => index.publish(Some(&old), None),
                (true, None) => {
                    let new = key(id, "owner", later.then_some(1000));
                    index.publish(None, Some(&new.effective));
                    held.insert(id, new.effective);
                }
                (_, old) => held.extend(old.map(|old| (id, old))),
            }
            prop_assert!(index.table().is_in_order());
        }
        let live = index.table().lines().iter().filter(|line| line.entry().is_some()).count();
        let filled = index.table().lines().iter().filter(|line| line.control() & control_word::OCCUPIED != 0).count();
        prop_assert_eq!((live, filled), (held.len(), held.len()));
        for id in 0..60 {
            let token = key(id, "owner", None).token;
            let waits = held.get(&id).map(|key| key.allowance.not_before.is_some());
            prop_assert_eq!(verify(&index, &prefixes, &token, 999).is_some(), waits == Some(false), "{}", id);
            prop_assert_eq!(verify(&index, &prefixes, &token, 1000).is_some(), waits.is_some(), "{}", id);
        }
    }
}

#[test]
fn a_key_that_stays_is_found_while_others_come_and_go() {
    let (index, prefixes) = (index(), Prefixes::new("ak".into(), []));
    // Enough to fill most of 64 lines, so that what goes makes others move.
    let stay: Vec<Key> = (0..24).map(|id| key(id, &format!("owner {id}"), (id % 3 == 0).then_some(1))).collect();
    let come: Vec<Key> = (100..120).map(|id| key(id, "passing", (id % 2 == 0).then_some(2))).collect();
    stay.iter().for_each(|key| index.publish(None, Some(&key.effective)));
    let (ended, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    for key in &stay {
                        assert_eq!(verify(&index, &prefixes, &key.token, 5000), Some(key.effective.allowance.identity));
                    }
                    for key in &come {
                        let owner = verify(&index, &prefixes, &key.token, 5000);
                        assert!(owner.is_none_or(|owner| owner == key.effective.allowance.identity));
                        seen.fetch_add(u64::from(owner.is_some()), Ordering::Relaxed);
                    }
                }
            });
        }
        for round in 0..4000 {
            let keys = || come.iter().cycle().skip(round % 7).take(come.len());
            keys().for_each(|key| index.publish(None, Some(&key.effective)));
            keys().for_each(|key| index.publish(Some(&key.effective), None));
            // A look-up does not find a key that was removed before it began.
            assert!(come.iter().all(|key| verify(&index, &prefixes, &key.token, 5000).is_none()));
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert!(seen.load(Ordering::Relaxed) > 0);
    assert_eq!(index.current.load(Ordering::Relaxed), 0, "the table never had to grow");
}

#[test]
fn an_idle_end_goes_with_its_key_and_its_number_is_used_again() {
    let (index, prefixes) = (index(), Prefixes::new("ak".into(), []));
    let idle = Some(IdleEnd { at: 5000, after_ms: 3000 });
    let mut keys: Vec<Key> = (0..10).map(|id| key(id, "owner", None)).collect();
    for key in &mut keys {
        key.effective.allowance.idle = idle;
    }
    for _ in 0..10 {
        keys.iter().for_each(|key| index.publish(None, Some(&key.effective)));
        let accepted = |now| keys.iter().filter(|key| verify(&index, &prefixes, &key.token, now).is_some()).count();
        assert_eq!([accepted(4000), accepted(6999), accepted(8999)], [10, 10, 10], "each use moves the end");
        assert_eq!(accepted(11_000), 0, "the last use counts to the second");
        keys.iter().for_each(|key| index.publish(Some(&key.effective), None));
        #[cfg(feature = "cluster")]
        assert_eq!(index.extending_uses(), []);
    }
    assert!(index.idle_ends.get(10).is_some() && index.idle_ends.get(11).is_none());
}

#[test]
fn side_entries_are_used_again() {
    let index = index();
    let keys: Vec<Key> = (0..10).map(|id| key(id, "owner", Some(1))).collect();
    for _ in 0..100 {
        keys.iter().for_each(|key| index.publish(None, Some(&key.effective)));
        keys.iter().for_each(|key| index.publish(Some(&key.effective), None));
    }
    assert!(index.side_table.read(9).is_some() && index.side_table.read(10).is_none());
}

fn identity_of(owner: &str) -> u32 {
    IDENTITIES.number(owner).unwrap()
}

fn id_of_owner(owner: &str) -> NamedId {
    Kind::Owner.id(owner)
}

#[test]
fn every_identity_of_an_owner_leads_to_its_quota() {
    let quotas = OwnerQuotas::default();
    let mut ids = HashMap::new();
    let name = |at: u32| format!("an owner of quotas {at}");
    let texts = |at: u32| {
        // The name of a key, and a tenant of the same owner.
        [name(at), format!("{}\u{3}ci", name(at)), format!("{}\u{1}acme", name(at))]
    };
    let find = |quotas: &OwnerQuotas, ids: &HashMap<u32, NamedId>, text: &str| {
        quotas.find(identity_of(text), |number| ids.get(&number).copied())
    };
    for at in 0..1000 {
        for text in texts(at) {
            assert_eq!(find(&quotas, &ids, &text), 0);
        }
        ids.insert(at + 1, id_of_owner(&name(at)));
        quotas.add(id_of_owner(&name(at)), at + 1, |number| ids.get(&number).copied());
        quotas.add(id_of_owner(&name(at)), at + 1, |number| ids.get(&number).copied());
        assert_eq!(texts(at).map(|text| find(&quotas, &ids, &text)), [at + 1, at + 1, 0]);
    }
    for at in 0..1000 {
        assert_eq!(texts(at).map(|text| find(&quotas, &ids, &text)), [at + 1, at + 1, 0]);
    }
}

#[test]
fn identities_that_were_packed_have_notes_as_well() {
    let packed: Vec<u32> = (0..5000).map(|at| IDENTITIES.pack(&format!("packed {at:20}")).unwrap()).collect();
    IDENTITIES.finish();
    assert!(packed.iter().any(|number| number & PACKED != 0));
    let quotas = OwnerQuotas::default();
    let id = id_of_owner(IDENTITIES.text(packed[4999]));
    quotas.add(id, 1, |_| Some(id));
    for _ in 0..2 {
        let found: u32 = packed.iter().map(|identity| quotas.find(*identity, |_| Some(id))).sum();
        assert_eq!(found, 1);
    }
}
