//! Export and import of keys as lines of JSON.

use apikey::admin::{Answer, Request, Session};
use apikey::{
    Conflict, ExportOptions, ImportOptions, ImportScheme, Imported, KeyFilter, KeyInfo, KeyState, KeyStore, LineFault,
    NewKey, Overlap, Pepper, Role, StoreError, Tenant,
};
use apikey_testkit::{TokenParts, alice, all, clocked, code, start};
use chrono::TimeDelta;
use serde_json::Value;

fn export(store: &KeyStore, digests: bool) -> Vec<Value> {
    let mut lines = Vec::new();
    let count = store.export(&mut lines, &ExportOptions::default().digests(digests)).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    assert_eq!(lines.lines().count() as u64, count);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn import(store: &KeyStore, lines: &[Value]) -> apikey::ImportReport {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    store.import(text.as_bytes(), &ImportOptions::default()).unwrap()
}

/// A store with keys in many states, and the tokens of those that are good.
fn filled() -> (KeyStore, Vec<String>) {
    let store = KeyStore::builder().pepper(Pepper::new(1, [1; 32])).temporary().unwrap();
    let keys = store
        .create_many((0..6).map(|n| alice().name(format!("key {n}")).permissions(["a:*"]).metadata("n", n.to_string())))
        .unwrap();
    let ids: Vec<_> = keys.iter().map(|key| key.info.id()).collect();
    store.revoke(ids[1], "leaked").unwrap();
    store.update(ids[2], apikey::KeyUpdate::new().disabled(true)).unwrap();
    let rotated = store.rotate(ids[3], Overlap::For(chrono::TimeDelta::hours(1))).unwrap();
    let legacy = "legacy-0123456789abcdefghij";
    store.create(NewKey::for_owner("bob").imported(Imported::raw(legacy), ImportScheme::Whole)).unwrap();
    let good = [&keys[0], &keys[3], &rotated, &keys[4]].map(|key| key.key.expose_secret().to_owned());
    (store, good.into_iter().chain([legacy.to_owned()]).collect())
}

#[test]
fn a_line_names_its_kind_and_one_of_a_later_kind_is_refused() {
    let (store, _) = filled();
    let lines = export(&store, true);
    assert!(lines.iter().all(|line| line["kind"] == "key"));
    let plan = serde_json::json!({ "kind": "plan", "id": "pro", "permissions": ["orders:read"] });
    let other = KeyStore::builder().pepper(Pepper::new(1, [1; 32])).temporary().unwrap();
    let report = import(&other, &[lines[0].clone(), plan]);
    assert_eq!((report.imported, report.refused.len()), (1, 1));
    assert!(matches!(report.refused[0].fault, LineFault::Kind), "{}", report.refused[0]);
    // Versions before 0.1.0 named none.
    let mut line = lines[1].clone();
    line.as_object_mut().unwrap().remove("kind");
    assert_eq!(import(&other, &[line]).imported, 1);
}

/// A later version may export what limits a key: to leave it out would give more than was exported.
#[test]
fn a_line_with_a_field_of_a_later_version_is_refused() {
    let (store, _) = filled();
    let line = export(&store, true).remove(0);
    let other = KeyStore::builder().pepper(Pepper::new(1, [1; 32])).temporary().unwrap();
    for (name, shown) in [("frozen", Some("frozen")), ("Sk_LIVE0", None)] {
        let mut line = line.clone();
        line[name] = "acme".into();
        let report = import(&other, &[line]);
        let fault = &report.refused[0].fault;
        assert!(matches!(fault, LineFault::Field { name } if name.as_deref() == shown), "{fault}");
        assert_eq!((report.imported, fault.to_string().contains(name)), (0, shown.is_some()), "{fault}");
    }
    assert_eq!(import(&other, &[line]).imported, 1);
}

/// With a time that has not come a secret would outlive what the store allows.
#[test]
fn a_line_that_was_made_in_the_future_is_refused() {
    let (store, clock) = clocked();
    store.create(alice()).unwrap();
    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let line: Value = serde_json::from_slice(&lines).unwrap();
    let with = |minutes: i64, secret: bool| {
        let mut line = line.clone();
        let at = serde_json::to_value(start() + TimeDelta::minutes(minutes)).unwrap();
        let place = if secret { &mut line["secrets"][0]["created_at"] } else { &mut line["created_at"] };
        *place = at;
        let other = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
        let report = other.import(line.to_string().as_bytes(), &ImportOptions::default()).unwrap();
        (report.imported, report.refused.first().map(|line| line.to_string()).unwrap_or_default())
    };
    for secret in [false, true] {
        assert_eq!(with(5, secret).0, 1, "clocks differ a little");
        let (imported, text) = with(6, secret);
        assert!(imported == 0 && text.contains("created_at") && text.contains("2031-05-04 12:06:00 UTC"), "{text}");
        assert_eq!(with(-1_000_000, secret).0, 1);
    }
}

#[test]
fn with_digests_the_keys_go_on_working() {
    let (store, tokens) = filled();
    let lines = export(&store, true);
    let other = KeyStore::builder().pepper(Pepper::new(1, [1; 32])).temporary().unwrap();
    let report = import(&other, &lines);
    assert_eq!((report.imported, report.refused.len(), report.awaiting_rotation.len()), (7, 0, 0));
    let [imported, own] = [&other, &store].map(|store| {
        // The number of an event of this store.
        let without = |mut line: Value| line.as_object_mut().unwrap().remove("last_event").map(|_| line).unwrap();
        export(store, true).into_iter().map(without).collect::<Vec<_>>()
    });
    assert_eq!(imported, own);
    assert!(tokens.iter().all(|token| code(&other, token) == "ok"));
    assert!(other.verify_events().unwrap().is_whole());
    // New ids follow those that were imported.
    assert!(other.create(alice()).unwrap().info.id() > all(&store, &KeyFilter::default())[6].id());
}

#[test]
fn no_secret_leaves_and_no_digest_unless_asked() {
    let (store, tokens) = filled();
    for digests in [false, true] {
        let text = export(&store, digests).iter().map(Value::to_string).collect::<String>();
        for token in &tokens[..4] {
            assert!(!text.contains(&TokenParts::of(token).secret));
        }
        assert_eq!(text.contains("digest"), digests);
    }
}

#[test]
fn a_line_without_a_digest_awaits_rotation() {
    let (store, tokens) = filled();
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::open(directory.path()).unwrap();
    let other = open();
    let report = import(&other, &export(&store, false));
    assert_eq!((report.imported, report.awaiting_rotation.len()), (7, 7));
    assert!(tokens.iter().all(|token| code(&other, token) == "invalid_api_key"));
    other.close().unwrap();
    let other = open();
    let before = all(&store, &KeyFilter::default());
    let after = all(&other, &KeyFilter::default());
    assert_eq!(after.len(), 7);
    assert!(after.iter().zip(&before).all(|(one, other)| {
        (one.id(), one.name(), one.revoked(), one.version())
            == (other.id(), other.name(), other.revoked(), other.version())
    }));
    // A key without a secret is not active.
    let states = |keys: &[KeyInfo]| keys.iter().map(|key| key.state(chrono::Utc::now())).collect::<Vec<_>>();
    let without = states(&before).into_iter().map(|state| match state {
        KeyState::Active | KeyState::NotYetValid => KeyState::NoSecret,
        state => state,
    });
    assert_eq!(states(&after), without.collect::<Vec<_>>());
    assert!(after.iter().all(|key| !key.has_secret() && key.secret_until().is_none()));
    assert!(before.iter().all(|key| key.has_secret() && key.secret_until().is_none()));
    let found = |state| all(&other, &KeyFilter::default().state(state)).iter().map(KeyInfo::id).collect::<Vec<_>>();
    assert!(found(KeyState::NoSecret).contains(&after[3].id()) && found(KeyState::Active).is_empty());
    let created = other.rotate(after[3].id(), Overlap::For(chrono::TimeDelta::hours(1))).unwrap();
    assert_eq!(created.info.version(), 3);
    assert_eq!(created.info.state(chrono::Utc::now()), KeyState::Active);
    assert_eq!(code(&other, created.key.expose_secret()), "ok");
    assert!(other.rotate(after[1].id(), Overlap::None).is_err(), "revoked it stays");
    other.close().unwrap();
    assert_eq!(code(&open(), created.key.expose_secret()), "ok");
}

#[test]
fn a_bad_line_is_refused_by_its_number_and_the_others_are_taken() {
    let (store, _) = filled();
    let lines = export(&store, true);
    let with = |line: usize, field: &str, value: Value| {
        let mut changed = lines[line].clone();
        changed[field] = value;
        changed
    };
    let secret = lines[0]["secrets"][0].clone();
    let mut newer = secret.clone();
    newer["version"] = 7.into();
    let mut unpeppered = secret.clone();
    unpeppered["pepper"] = 9.into();
    let mut foreign = secret;
    foreign["prefix"] = "other".into();
    let text = [
        lines[0].to_string(),
        "{\"secret\": ak_not_json".to_owned(),
        lines[0].to_string(),
        String::new(),
        with(1, "owner", "".into()).to_string(),
        with(1, "id", "00000000-0000-4000-8000-000000000000".into()).to_string(),
        with(1, "id", "ffffffff-ffff-7000-8000-000000000000".into()).to_string(),
        with(1, "permissions", Value::from(vec!["NOT:ok"])).to_string(),
        with(1, "secrets", Value::from(vec![newer])).to_string(),
        with(1, "secrets", Value::from(vec![unpeppered])).to_string(),
        with(1, "secrets", Value::from(vec![foreign])).to_string(),
        "x".repeat(200_000),
        lines[6].to_string(),
        with(6, "id", lines[5]["id"].clone()).to_string(),
        lines[4].to_string(),
    ]
    .join("\n");
    let open = || KeyStore::builder().pepper(Pepper::new(1, [1; 32])).temporary().unwrap();
    let checked = open().import(text.as_bytes(), &ImportOptions::default().check_only(true)).unwrap();
    let store = open();
    let report = store.import(text.as_bytes(), &ImportOptions::default()).unwrap();
    assert_eq!(report.imported, 3);
    assert_eq!(checked.imported, 3);
    let refused: Vec<_> = report.refused.iter().map(|refused| refused.line).collect();
    assert_eq!(refused, [2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 14]);
    assert!(matches!(report.refused[0].fault, LineFault::Json { .. }));
    assert!(matches!(report.refused[1].fault, LineFault::Exists(_)));
    assert!(matches!(report.refused[2].fault, LineFault::Key(StoreError::Invalid { field: "owner", .. })));
    assert!(matches!(report.refused[3].fault, LineFault::Id));
    assert!(matches!(report.refused[4].fault, LineFault::Id));
    assert!(matches!(report.refused[5].fault, LineFault::Key(StoreError::Permission(_))));
    assert!(matches!(report.refused[6].fault, LineFault::Secrets));
    assert!(matches!(report.refused[7].fault, LineFault::Pepper(9)));
    assert!(matches!(report.refused[8].fault, LineFault::Prefix));
    assert!(matches!(report.refused[9].fault, LineFault::TooLong));
    assert!(matches!(report.refused[10].fault, LineFault::Key(StoreError::Conflict(Conflict::DigestTwice))));
    assert!(!format!("{report:?}").contains("ak_not_json"));
    // Again: the store has every key of the first import.
    let again = store.import(text.as_bytes(), &ImportOptions::default()).unwrap();
    assert_eq!(again.imported, 0);
    assert!(matches!(again.refused[0].fault, LineFault::Exists(_)));
    assert_eq!(all(&store, &KeyFilter::default()).len(), 3);
}

/// A key would have what the role of this store grants, or what this store's tenant leaves it, which may be more.
#[test]
fn a_key_is_not_taken_with_a_role_or_tenant_of_which_the_line_is_refused() {
    let from = KeyStore::temporary().unwrap();
    from.put_role(Role::new("staff").permissions(["orders:read"])).unwrap();
    from.put_tenant(Tenant::new("acme").permissions(["orders:read"])).unwrap();
    let acme = from.tenant("acme").unwrap();
    from.create(alice().roles(["staff"])).unwrap();
    acme.create(alice().permissions(["*"])).unwrap();
    let other = from.create(alice()).unwrap();
    let mut lines = Vec::new();
    from.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let store = KeyStore::temporary().unwrap();
    store.put_role(Role::new("staff").permissions(["*"])).unwrap();
    store.put_tenant(Tenant::new("acme")).unwrap();
    for check_only in [true, false] {
        let report = store.import(lines.as_slice(), &ImportOptions::default().check_only(check_only)).unwrap();
        let faults: Vec<&LineFault> = report.refused.iter().map(|refused| &refused.fault).collect();
        assert_eq!(report.imported, 1);
        assert!(
            matches!(&faults[..], [
            LineFault::RoleHeld { name: role },
            LineFault::TenantHeld { name: tenant },
            LineFault::RoleRefused { name: role_of_key },
            LineFault::TenantRefused { name: tenant_of_key },
        ] if [role, role_of_key] == ["staff"; 2] && [tenant, tenant_of_key] == ["acme"; 2]),
            "{faults:?}"
        );
    }
    assert!(store.verify(other.key.expose_secret()).is_ok());
    // The command sends the lines in parts.
    let mut session = Session::new(store.clone());
    let mut send =
        |line: &str| match session.ask(Request::ImportLines { lines: line.to_owned().into(), check_only: false }) {
            Answer::Imports(imports) => imports.refused.len(),
            other => panic!("{other:?}"),
        };
    let lines = String::from_utf8(lines).unwrap();
    assert_eq!(lines.lines().map(&mut send).collect::<Vec<_>>(), [1; 5]);
    assert_eq!(store.list(&KeyFilter::default()).unwrap().keys.len(), 1);
}

/// A line of a role or a tenant may be refused for a field of a later version, a value out of bounds, or because it is cut
/// off. The keys that it limits are not let in without it, not even where the store has wider ones of these names.
#[test]
fn no_key_is_taken_without_the_line_that_limits_it() {
    let from = KeyStore::temporary().unwrap();
    from.put_role(Role::new("reader").permissions(["orders:read"])).unwrap();
    from.put_tenant(Tenant::new("acme").permissions(["orders:read"])).unwrap();
    from.tenant("acme").unwrap().create(alice().permissions(["*"])).unwrap();
    from.create(alice().roles(["reader"])).unwrap();
    from.create(alice()).unwrap();
    let mut lines = Vec::new();
    from.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let lines: Vec<String> = String::from_utf8(lines).unwrap().lines().map(str::to_owned).collect();
    let wider = || {
        let store = KeyStore::temporary().unwrap();
        store.put_role(Role::new("reader").permissions(["*"])).unwrap();
        store.tenant("acme").unwrap().create(alice()).unwrap();
        store
    };
    let is_named = |line: &&String| !line.contains(r#""kind":"key""#);
    assert_eq!(lines.iter().filter(is_named).count(), 2);
    type Damage = fn(&str) -> String;
    let cases: [(&str, Damage); 6] = [
        ("a field of a later version", |line| line.replace(r#"{"kind""#, r#"{"frozen":true,"kind""#)),
        ("a grant that is none", |line| line.replace("orders:read", "Orders")),
        ("of a kind of a later version", |line| line.replace(r#"{"kind":""#, r#"{"kind":"other-"#)),
        ("two kinds", |line| line.replace(r#"{"kind""#, r#"{"kind":"key","kind""#)),
        ("cut off", |line| line[..line.len() / 2].to_owned()),
        ("far too long", |line| format!("{line}{}", " ".repeat(200_000))),
    ];
    for (name, damage) in cases {
        for store in [KeyStore::temporary().unwrap(), wider()] {
            let before = store.list(&KeyFilter::default()).unwrap().keys.len();
            let text: String =
                lines.iter().map(|line| if is_named(&line) { damage(line) } else { line.clone() } + "\n").collect();
            for check_only in [true, false] {
                let options = ImportOptions::default().check_only(check_only);
                let report = store.import(text.as_bytes(), &options).unwrap();
                assert_eq!((report.imported, report.refused.len()), (1, 4), "{name}: {:?}", report.refused);
            }
            let keys = store.list(&KeyFilter::default()).unwrap().keys;
            assert_eq!(keys.len(), before + 1, "{name}");
            // The keys follow once their lines are whole.
            if before == 0 {
                let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
                let report = store.import(text.as_bytes(), &ImportOptions::default()).unwrap();
                assert_eq!((report.imported, report.roles, report.tenants), (2, 1, 1), "{name}: {:?}", report.refused);
            }
        }
    }
    // Keys before what limits them, as a program that sorts lines leaves them.
    let mut sorted = lines.clone();
    sorted.sort_unstable();
    let text: String = sorted.iter().map(|line| format!("{line}\n")).collect();
    let store = KeyStore::temporary().unwrap();
    let report = store.import(text.as_bytes(), &ImportOptions::default()).unwrap();
    assert_eq!((report.imported, report.roles, report.tenants), (1, 1, 1), "{:?}", report.refused);
    let field = |refused: &apikey::RefusedLine| match &refused.fault {
        LineFault::Key(StoreError::Invalid { field, .. }) => *field,
        other => panic!("{other:?}"),
    };
    assert_eq!(report.refused.iter().map(field).collect::<Vec<_>>(), ["tenant", "roles"]);
}

/// The export says of which tenants there are keys, also of one that nobody has put.
#[test]
fn keys_of_a_tenant_without_bounds_are_exported_with_it() {
    let from = KeyStore::temporary().unwrap();
    let keys = ["acme", "acme", "apex"].map(|name| from.tenant(name).unwrap().create(alice()).unwrap());
    from.put_tenant(Tenant::new("apex").permissions(["orders:read"])).unwrap();
    let mut lines = Vec::new();
    assert_eq!(from.export(&mut lines, &ExportOptions::default().digests(true)).unwrap(), 3);
    let whole = String::from_utf8(lines).unwrap();
    assert_eq!(whole.lines().count(), 5);
    let mut session = Session::new(from.clone());
    let part = match session.ask(Request::Export { after: None, digests: true }) {
        Answer::Lines(part) => part.lines.expose_secret().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(part, whole);
    let store = KeyStore::temporary().unwrap();
    let report = store.import(whole.as_bytes(), &ImportOptions::default()).unwrap();
    assert_eq!((report.imported, report.tenants, report.refused.len()), (3, 2, 0), "{:?}", report.refused);
    assert!(keys.iter().all(|key| store.verify(key.key.expose_secret()).is_ok()));
    // Where the tenant has keys and no bounds, the line asks for nothing.
    let other = KeyStore::temporary().unwrap();
    other.tenant("acme").unwrap().create(alice()).unwrap();
    let report = other.import(whole.as_bytes(), &ImportOptions::default()).unwrap();
    assert_eq!((report.imported, report.tenants, report.refused.len()), (3, 1, 0), "{:?}", report.refused);
}

/// A tenant that nobody has put bounds nothing, and has keys all the same: no line of another store narrows or ends it.
#[test]
fn an_import_bounds_no_tenant_that_has_keys_already() {
    let from = KeyStore::temporary().unwrap();
    from.put_tenant(Tenant::new("apex").permissions(["orders:*"])).unwrap();
    from.end_tenant("acme", "left").unwrap();
    let mut lines = Vec::new();
    from.export(&mut lines, &ExportOptions::default()).unwrap();
    let store = KeyStore::temporary().unwrap();
    let keys =
        ["acme", "apex"].map(|name| store.tenant(name).unwrap().create(alice().permissions(["stock:read"])).unwrap());
    let import = |options: &ImportOptions| store.import(lines.as_slice(), options).unwrap();
    for check_only in [true, false] {
        let report = import(&ImportOptions::default().check_only(check_only));
        assert_eq!((report.tenants, report.refused.len()), (0, 2), "{:?}", report.refused);
        assert!(report.refused.iter().all(|refused| matches!(refused.fault, LineFault::TenantHeld { .. })));
    }
    assert!(keys.iter().all(|key| store.verify(key.key.expose_secret()).unwrap().allows("stock:read")));
    assert!(store.tenants().unwrap().is_empty());
}

/// A store may have any number of tenants, and a message to a running service has a bound.
#[test]
fn roles_and_tenants_are_exported_in_parts() {
    let store = KeyStore::temporary().unwrap();
    let grants: Vec<String> = (0..64).map(|number| format!("orders:{number}:{}", "a".repeat(50))).collect();
    for number in 0..150 {
        store.put_role(Role::new(format!("role{number}")).permissions(&grants)).unwrap();
        store.put_tenant(Tenant::new(format!("tenant{number}")).permissions(&grants)).unwrap();
    }
    store.create_many((0..3).map(|_| alice().roles(["role7"]))).unwrap();
    let mut session = Session::new(store.clone());
    let (mut parts, mut lines, mut keys, mut after) = (0, String::new(), 0, None);
    loop {
        let part = match session.ask(Request::Export { after, digests: true }) {
            Answer::Lines(part) => part,
            other => panic!("{other:?}"),
        };
        assert!(part.lines.expose_secret().len() <= 1024 * 1024 / 4);
        (parts, keys, after) = (parts + 1, keys + part.count, part.next);
        lines.push_str(part.lines.expose_secret());
        if after.is_none() {
            break;
        }
    }
    assert!(parts > 4 && keys == 3);
    let mut whole = Vec::new();
    store.export(&mut whole, &ExportOptions::default().digests(true)).unwrap();
    assert_eq!(lines.as_bytes(), whole);
    let report = KeyStore::temporary().unwrap().import(lines.as_bytes(), &ImportOptions::default()).unwrap();
    assert_eq!((report.roles, report.tenants, report.imported, report.refused.len()), (150, 150, 3, 0));
}
