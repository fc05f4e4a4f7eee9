//! Schemas of roles.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::access::permission::MAX_PERMISSION_BYTES;
use crate::key::bounds::{MAX_DESCRIPTION, MAX_GRANTS};
use crate::key::role::role::Role;
use crate::key::role::role_info::RoleInfo;
use crate::key::schema::object::{closed, list, or_null, text, time, whole};

fn name() -> RefOr<Schema> {
    text("The name of the role: `reader`.").min_length(Some(1)).max_length(Some(MAX_PERMISSION_BYTES)).into()
}

fn permissions() -> RefOr<Schema> {
    let grant = text("A permission (`orders:read`), or a wildcard (`orders:*`).");
    list("What the role grants.", grant).max_items(Some(MAX_GRANTS)).into()
}

fn description() -> RefOr<Schema> {
    or_null(text("What the role is for.").max_length(Some(MAX_DESCRIPTION)))
}

impl PartialSchema for Role {
    fn schema() -> RefOr<Schema> {
        let members = [("name", name()), ("permissions", permissions()), ("description", description())];
        closed("A role to put: it replaces the one of its name.", members).required("name").into()
    }
}

impl ToSchema for Role {
    fn name() -> Cow<'static, str> {
        "KeyRole".into()
    }
}

impl PartialSchema for RoleInfo {
    fn schema() -> RefOr<Schema> {
        let changed_at = time("The time at which the role was put last.").into();
        let members = [
            ("name", name()),
            ("permissions", permissions()),
            ("description", description()),
            ("changed_at", changed_at),
        ];
        whole("A named set of grants that keys have.", members).into()
    }
}

impl ToSchema for RoleInfo {}
