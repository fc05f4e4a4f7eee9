//! The schemas of the document are those that the core gives utoipa.

use std::collections::BTreeMap;
use std::path::Path;

use apikey::{
    EndedSecret, KeyFilter, KeyId, KeyInfo, KeyState, KeyUpdate, Limit, NewKey, Overlap, OverlapEnd, Quota, Revoked,
    Role, RoleInfo, Rotation, RotationPolicy,
};
use serde_json::Value;
use utoipa::{PartialSchema, ToSchema};

fn add<T: ToSchema + PartialSchema>(schemas: &mut BTreeMap<String, Value>) {
    schemas.insert(T::name().into_owned(), serde_json::to_value(T::schema()).unwrap());
}

/// `APIKEY_MAKE_SCHEMAS=1 cargo test -p apikey-management-tests schemas` writes the file.
#[test]
fn the_file_of_schemas_is_that_of_the_core() {
    let mut schemas = BTreeMap::new();
    add::<KeyInfo>(&mut schemas);
    add::<NewKey>(&mut schemas);
    add::<KeyUpdate>(&mut schemas);
    add::<KeyFilter>(&mut schemas);
    add::<KeyId>(&mut schemas);
    add::<KeyState>(&mut schemas);
    add::<Revoked>(&mut schemas);
    add::<EndedSecret>(&mut schemas);
    add::<OverlapEnd>(&mut schemas);
    add::<Overlap>(&mut schemas);
    add::<Rotation>(&mut schemas);
    add::<RotationPolicy>(&mut schemas);
    add::<Limit>(&mut schemas);
    add::<Quota>(&mut schemas);
    add::<Role>(&mut schemas);
    let role = serde_json::to_value(RoleInfo::schema()).unwrap();
    schemas.insert("Role".to_owned(), role);
    let text = serde_json::to_string_pretty(&schemas).unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/management/document/schemas.json");
    if std::env::var_os("APIKEY_MAKE_SCHEMAS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(stored, serde_json::to_value(&schemas).unwrap(), "APIKEY_MAKE_SCHEMAS=1 writes {}", file.display());
}
