use serde::{Deserialize, Serialize};

use crate::base::codec::tail::Unknown;
use crate::base::invalid_field::InvalidField;
use crate::base::json::from_object;
use crate::key::bounds;
use crate::key::builder_json::only_here;
use crate::key::error::{Conflict, StoreError};
use crate::key::role::record::RoleRecord;
use crate::key::role::role_info::RoleInfo;

/// A named set of grants to put into a store: [`KeyStore::put_role`](crate::KeyStore::put_role). Keys that have the role
/// ([`NewKey::roles`](crate::NewKey::roles)) have its grants besides their own.
///
/// The name is one segment of a permission: 1 to 64 bytes of `a-z 0-9 _ - .`, which begin with a letter or a digit and do
/// not end with a dot. A role has at most 64 grants, a store at most 256 roles.
///
/// ```
/// use apikey::Role;
///
/// let role = Role::new("reader").permissions(["orders:read", "stock:*"]).describe("reads orders and everything in stock");
/// let same: Role = serde_json::from_str(
///     r#"{"name": "reader", "permissions": ["orders:read", "stock:*"], "description": "reads orders and everything in stock"}"#,
/// )?;
/// assert_eq!(role, same);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use = "a role does nothing until a store has it"]
pub struct Role {
    name: String,
    permissions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "only_here")]
    only_if: Option<RoleInfo>,
}

/// How a caller writes it.
#[derive(Deserialize)]
#[serde(remote = "Role", deny_unknown_fields)]
struct RoleJson {
    name: String,
    #[serde(default)]
    permissions: Vec<String>,
    description: Option<String>,
    #[serde(skip)]
    only_if: Option<RoleInfo>,
}

from_object!(Role, RoleJson);

impl Role {
    /// Creates a role without grants.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), permissions: Vec::new(), description: None, only_if: None }
    }

    /// Sets the grants: permissions (`orders:read`) or wildcards (`orders:*`). Another call replaces them.
    pub fn permissions<T: AsRef<str>>(mut self, permissions: impl IntoIterator<Item = T>) -> Self {
        self.permissions = permissions.into_iter().map(|grant| grant.as_ref().to_owned()).collect();
        self
    }

    /// Describes the role for people, in at most 256 bytes.
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Puts the role only if it is still as it was read. Otherwise the call fails with
    /// [`Conflict::Outdated`](crate::Conflict::Outdated), so that of two callers who change it at the same time none undoes the
    /// change of the other unseen.
    ///
    /// ```
    /// use apikey::{KeyStore, Role};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.put_role(Role::new("reader"))?;
    /// let read = store.roles()?.remove(0);
    /// let change = |grant: &str| store.put_role(Role::new("reader").permissions([grant]).only_if(&read));
    /// assert!(change("orders:read").is_ok());
    /// assert_eq!(change("orders:write").unwrap_err().status(), 412);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn only_if(mut self, read: &RoleInfo) -> Self {
        self.only_if = Some(read.clone());
        self
    }

    /// Checks that it is still as the caller has read it.
    pub(crate) fn check_unchanged(&self, held: Option<&RoleRecord>) -> Result<(), StoreError> {
        match &self.only_if {
            Some(read) if held.is_none_or(|held| RoleInfo::of(held.clone()) != *read) => {
                Err(StoreError::Conflict(Conflict::Outdated))
            }
            _ => Ok(()),
        }
    }

    /// The name, as the caller gave it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The grants, as the caller gave them.
    pub(crate) fn given_permissions(&self) -> &[String] {
        &self.permissions
    }

    /// Checks the fields.
    pub(crate) fn record(&self, at: i64) -> Result<RoleRecord, StoreError> {
        bounds::role_name(&self.name).map_err(|fault| InvalidField { field: "name", ..fault })?;
        if let Some(text) = &self.description {
            bounds::description(text)?;
        }
        Ok(RoleRecord {
            name: self.name.clone(),
            permissions: bounds::grants(&self.permissions)?,
            description: self.description.clone(),
            changed_at: at,
            unknown: Unknown::default(),
        })
    }
}
