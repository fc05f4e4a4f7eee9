//! The operations: the table that routes requests and makes the document, and a file for each subject with their functions.

mod body;
mod create;
mod events;
mod health;
mod keys;
mod list;
mod named;
mod overview;
mod parameters;
mod revoke;
mod roles;
mod rotate;
mod tenants;
mod update;
mod usage;
mod verify;

use apikey_core::Need;

use super::operation::{Listed, Needs, Operation, Run, Success};
use super::parameter::Body;
use parameters::{ACTIVITY, EVENTS, IDEMPOTENCY_KEY, IF_MATCH, IF_MATCH_NEEDED, IF_NONE_MATCH, KEYS, USAGE};

const fn key(permission: &'static Need) -> Needs {
    Needs::Key(permission)
}

const READ: Needs = key(&Need::Permission("keys:read"));
const REVOKE: Needs = key(&Need::Permission("keys:revoke"));
const UPDATE: Needs = key(&Need::Permission("keys:update"));
const ROTATE: Needs = key(&Need::Permission("keys:rotate"));
const VERIFY: Needs = key(&Need::Permission("keys:verify"));
const TENANTS: Needs = key(&Need::Permission("tenants:manage"));
const ROLES: Needs = key(&Need::Permission("roles:manage"));

/// An answer with a body.
const fn body(status: u16, schema: &'static str, headers: &'static [&'static str]) -> Success {
    Success { status, schema: Some(schema), headers }
}

const EMPTY: Success = Success { status: 204, schema: None, headers: &[] };
const NOT_MODIFIED: Success = Success { status: 304, schema: None, headers: &["ETag"] };

const NOT_FOUND: (u16, &[&str]) = (404, &["not_found"]);
const EXCEEDS: (u16, &[&str]) = (403, &["exceeds_actor"]);
const ENDED: (u16, &[&str]) = (409, &["tenant_ended"]);

/// An operation without parameters and a body.
const fn operation(
    id: &'static str,
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    needs: Needs,
    success: &'static [Success],
    run: Run,
) -> Operation {
    Operation {
        id,
        method,
        path,
        summary,
        needs,
        query: &[],
        headers: &[],
        body: Body::None,
        success,
        errors: &[],
        run,
    }
}

/// Every operation. Those with a fixed segment come before those with a parameter in its place.
pub(super) static OPERATIONS: &[Operation] = &[
    operation(
        "me",
        "GET",
        "/me",
        "Reads the calling key",
        Needs::Key(&Need::Authenticated),
        &[body(200, "Me", &[])],
        Run::Read(keys::me),
    ),
    Operation {
        query: KEYS,
        errors: &[(400, &["invalid_cursor"])],
        ..operation(
            "listKeys",
            "GET",
            "/keys",
            "Lists keys",
            READ,
            &[body(200, "KeyList", &["Link"])],
            Run::Read(list::list),
        )
    },
    Operation {
        headers: IDEMPOTENCY_KEY,
        body: Body::Json("CreateKey"),
        errors: &[EXCEEDS, (409, &["already_made", "idempotency_key_reused", "tenant_ended"])],
        ..operation(
            "createKey",
            "POST",
            "/keys",
            "Creates a key",
            key(&Need::Permission("keys:create")),
            &[body(201, "KeyWithSecret", &["Location", "ETag"])],
            Run::Change(create::create),
        )
    },
    Operation {
        body: Body::Json("RevokeKeys"),
        errors: &[EXCEEDS, (409, &["unexpected_count"])],
        ..operation(
            "revokeKeys",
            "POST",
            "/keys/revoke",
            "Revokes the keys that a filter selects, if they are as many as expected",
            REVOKE,
            &[body(200, "Count", &[])],
            Run::Restrict(revoke::revoke_keys),
        )
    },
    Operation {
        query: ACTIVITY,
        headers: IF_NONE_MATCH,
        errors: &[NOT_FOUND],
        ..operation(
            "getKey",
            "GET",
            "/keys/{id}",
            "Reads a key",
            READ,
            &[body(200, "Key", &["ETag"]), NOT_MODIFIED],
            Run::Read(keys::get),
        )
    },
    Operation {
        headers: IF_MATCH_NEEDED,
        body: Body::MergePatch("UpdateKey"),
        errors: &[
            EXCEEDS,
            NOT_FOUND,
            (409, &["revoked_key", "tenant_ended"]),
            (412, &["precondition_failed"]),
            (428, &["precondition_required"]),
        ],
        ..operation(
            "updateKey",
            "PATCH",
            "/keys/{id}",
            "Changes fields of a key",
            UPDATE,
            &[body(200, "Key", &["ETag"])],
            Run::Change(update::update),
        )
    },
    Operation {
        errors: &[EXCEEDS, NOT_FOUND],
        ..operation(
            "deleteKey",
            "DELETE",
            "/keys/{id}",
            "Revokes a key, as revokeKey does without a reason",
            REVOKE,
            &[EMPTY],
            Run::Restrict(revoke::delete),
        )
    },
    Operation {
        body: Body::MaybeJson("RotateKey"),
        headers: IDEMPOTENCY_KEY,
        errors: &[
            EXCEEDS,
            NOT_FOUND,
            (
                409,
                &[
                    "being_rotated",
                    "revoked_key",
                    "disabled_key",
                    "expired_key",
                    "idle_key",
                    "already_made",
                    "idempotency_key_reused",
                    "tenant_ended",
                ],
            ),
        ],
        ..operation(
            "rotateKey",
            "POST",
            "/keys/{id}/rotate",
            "Gives a key a new secret",
            ROTATE,
            &[body(200, "KeyWithSecret", &["ETag"])],
            Run::Change(rotate::rotate),
        )
    },
    Operation {
        body: Body::MaybeJson("Reason"),
        errors: &[EXCEEDS, NOT_FOUND, (409, &["revoked_key", "tenant_ended"])],
        ..operation(
            "replaceKey",
            "POST",
            "/keys/{id}/replace",
            "Replaces every secret of a leaked key",
            ROTATE,
            &[body(200, "KeyWithSecret", &["ETag"])],
            Run::Restrict(rotate::replace),
        )
    },
    Operation {
        body: Body::MaybeJson("Reason"),
        errors: &[EXCEEDS, NOT_FOUND],
        ..operation(
            "revokeKey",
            "POST",
            "/keys/{id}/revoke",
            "Revokes a key, which is final",
            REVOKE,
            &[body(200, "Key", &["ETag"])],
            Run::Restrict(revoke::revoke),
        )
    },
    Operation {
        errors: &[EXCEEDS, NOT_FOUND, (409, &["revoked_key", "tenant_ended"])],
        ..operation(
            "disableKey",
            "POST",
            "/keys/{id}/disable",
            "Disables a key",
            UPDATE,
            &[body(200, "Key", &["ETag"])],
            Run::Restrict(update::disable),
        )
    },
    Operation {
        errors: &[EXCEEDS, NOT_FOUND, (409, &["revoked_key", "tenant_ended"])],
        ..operation(
            "enableKey",
            "POST",
            "/keys/{id}/enable",
            "Enables a disabled key",
            UPDATE,
            &[body(200, "Key", &["ETag"])],
            Run::Change(update::enable),
        )
    },
    Operation {
        body: Body::MaybeJson("RevokeOwner"),
        errors: &[EXCEEDS],
        ..operation(
            "revokeOwner",
            "POST",
            "/owners/{owner}/revoke",
            "Revokes every key of an owner",
            REVOKE,
            &[body(200, "Count", &[])],
            Run::Restrict(revoke::revoke_owner),
        )
    },
    operation(
        "listTenants",
        "GET",
        "/tenants",
        "Lists the tenants that were put, or have ended",
        TENANTS,
        &[body(200, "TenantList", &[])],
        Run::Read(tenants::list),
    ),
    Operation {
        headers: IF_NONE_MATCH,
        errors: &[NOT_FOUND],
        ..operation(
            "getTenant",
            "GET",
            "/tenants/{tenant}",
            "Reads the bounds of a tenant",
            TENANTS,
            &[body(200, "Tenant", &["ETag"]), NOT_MODIFIED],
            Run::Read(tenants::get),
        )
    },
    Operation {
        headers: IF_MATCH,
        body: Body::Json("PutTenant"),
        errors: &[EXCEEDS, ENDED, (412, &["precondition_failed"])],
        ..operation(
            "putTenant",
            "PUT",
            "/tenants/{tenant}",
            "Sets the bounds of a tenant",
            TENANTS,
            &[body(200, "Tenant", &["ETag"])],
            Run::Change(tenants::put),
        )
    },
    Operation {
        body: Body::MaybeJson("Reason"),
        errors: &[EXCEEDS],
        ..operation(
            "endTenant",
            "POST",
            "/tenants/{tenant}/end",
            "Ends a tenant with all of its keys, which is final",
            TENANTS,
            &[body(200, "Tenant", &["ETag"])],
            Run::Restrict(tenants::end),
        )
    },
    operation(
        "listRoles",
        "GET",
        "/roles",
        "Lists the roles",
        ROLES,
        &[body(200, "RoleList", &[])],
        Run::Read(roles::list),
    ),
    Operation {
        headers: IF_NONE_MATCH,
        errors: &[NOT_FOUND],
        ..operation(
            "getRole",
            "GET",
            "/roles/{role}",
            "Reads a role",
            ROLES,
            &[body(200, "Role", &["ETag"]), NOT_MODIFIED],
            Run::Read(roles::get),
        )
    },
    Operation {
        headers: IF_MATCH,
        body: Body::Json("PutRole"),
        errors: &[EXCEEDS, (412, &["precondition_failed"])],
        ..operation(
            "putRole",
            "PUT",
            "/roles/{role}",
            "Creates or replaces a role",
            ROLES,
            &[body(200, "Role", &["ETag"])],
            Run::Change(roles::put),
        )
    },
    Operation {
        errors: &[EXCEEDS, (409, &["role_in_use"])],
        ..operation(
            "deleteRole",
            "DELETE",
            "/roles/{role}",
            "Deletes a role that no key has",
            ROLES,
            &[EMPTY],
            Run::Change(roles::delete),
        )
    },
    Operation {
        query: EVENTS,
        errors: &[(400, &["invalid_cursor"]), EXCEEDS, NOT_FOUND],
        ..operation(
            "listEvents",
            "GET",
            "/events",
            "Lists events, the newest first; with `after` the oldest first, to follow them",
            key(&Need::Permission("events:read")),
            &[body(200, "EventList", &["Link"])],
            Run::Read(events::list),
        )
    },
    Operation {
        query: USAGE,
        errors: &[EXCEEDS, NOT_FOUND],
        ..operation(
            "getUsage",
            "GET",
            "/usage",
            "Reads how often keys were used and refused",
            key(&Need::Permission("usage:read")),
            &[body(200, "Usage", &[])],
            Run::Read(usage::usage),
        )
    },
    Operation {
        body: Body::Json("VerifyKey"),
        ..operation(
            "verifyKey",
            "POST",
            "/verify",
            "Checks a key, without using it",
            VERIFY,
            &[body(200, "Verdict", &[])],
            Run::Read(verify::verify),
        )
    },
    Operation {
        body: Body::Form("Introspect"),
        ..operation(
            "introspect",
            "POST",
            "/introspect",
            "Checks a key, as OAuth 2.0 Token Introspection (RFC 7662) does",
            VERIFY,
            &[body(200, "Introspection", &[])],
            Run::Read(verify::introspect),
        )
    },
    operation(
        "listPermissions",
        "GET",
        "/permissions",
        "Lists what may be put on keys",
        READ,
        &[body(200, "PermissionList", &[])],
        Run::List(Listed::Permissions),
    ),
    Operation {
        errors: &[NOT_FOUND],
        ..operation(
            "health",
            "GET",
            "/health",
            "Reads the health of the store",
            Needs::KeyOfNoTenant(&Need::Permission("keys:read")),
            &[body(200, "Health", &[])],
            Run::Here(health::health),
        )
    },
    operation(
        "overview",
        "GET",
        "/overview",
        "Counts the keys by state, and those that need somebody",
        READ,
        &[body(200, "Overview", &[])],
        Run::Read(overview::overview),
    ),
    operation(
        "openapi",
        "GET",
        "/openapi.json",
        "Reads this document",
        Needs::Nothing,
        &[body(200, "Document", &[])],
        Run::List(Listed::Document),
    ),
];
