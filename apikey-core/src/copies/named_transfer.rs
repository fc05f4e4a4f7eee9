//! Export and import of roles, tenants and owners.

use std::collections::HashSet;

use crate::access::identity;
use crate::access::named::{Kind, NamedId};
use crate::access::owner::Owners;
use crate::copies::key_line::LineOf;
use crate::copies::named_line::{OwnerLine, RoleLine, TenantLine};
use crate::copies::named_lines::NamedLines;
use crate::copies::transfer_report::{ImportOptions, LineFault};
use crate::key::error::StoreError;
use crate::key::named::NamedRecord;
use crate::key::owner::owner::Owner;
use crate::key::record::Record;
use crate::key::role::role::Role;
use crate::key::tenant::record::TenantRecord;
use crate::key::tenant::tenant::Tenant;
use crate::key::tenant::tenant_info::TenantInfo;
use crate::storage::database::disk::Disk;
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Imports a role, unless the store has the same. Returns how many are new.
    pub(super) fn import_role(
        &self,
        role: Role,
        options: ImportOptions,
        named: &mut NamedLines,
    ) -> Result<u64, LineFault> {
        let name = role.name().to_owned();
        // Until it is taken.
        named.refuse(LineOf::Named(Kind::Role, name.clone()));
        let record = role.record(0)?;
        let is_new = match self.role(&name)? {
            None => true,
            Some(held) if held.is_like(&record) => false,
            Some(_) => return Err(LineFault::RoleHeld { name }),
        };
        if is_new && !options.check_only {
            self.put_role(role)?;
        }
        named.take(Kind::Role, name);
        Ok(u64::from(is_new))
    }

    /// Imports a tenant, unless the store has the same. Returns how many are new.
    pub(super) fn import_tenant(
        &self,
        tenant: Tenant,
        ended: Option<String>,
        options: ImportOptions,
        named: &mut NamedLines,
    ) -> Result<u64, LineFault> {
        let name = tenant.name().to_owned();
        // Until it is taken.
        named.refuse(LineOf::Named(Kind::Tenant, name.clone()));
        let given = tenant.record(0)?;
        let disk = self.inner().engine.log.open()?;
        let held = match disk.tenant(&name)? {
            None if disk.ids_of(Owners::AllOf(&name), None)?.next().transpose()?.is_some() => {
                // A tenant that nobody has put, and whose keys rely on having no bounds.
                Some(TenantRecord::unbounded(&name, 0))
            }
            held => held,
        };
        // A change opens it again.
        drop(disk);
        let is_new = match held.map(TenantInfo::of) {
            None => true,
            // The keys of an ended tenant are refused, whatever its bounds.
            Some(held) if held.ended().is_some() && ended.is_some() => false,
            Some(held) if ended.is_none() && held.is_like(&given) => false,
            Some(_) => return Err(LineFault::TenantHeld { name }),
        };
        if is_new && !options.check_only {
            self.put_tenant(tenant)?;
            ended.map_or(Ok(false), |reason| self.end_tenant(&name, reason))?;
        }
        named.take(Kind::Tenant, name);
        Ok(u64::from(is_new))
    }

    /// Imports an owner, unless the store has the same. Returns how many are new.
    pub(super) fn import_owner(
        &self,
        owner: &Owner,
        tenant: Option<String>,
        options: ImportOptions,
        named: &mut NamedLines,
    ) -> Result<u64, LineFault> {
        let given = owner.record(tenant.as_deref(), 0)?;
        let of = given.owner();
        // Until it is taken.
        named.refuse(LineOf::of_owner(of));
        let disk = self.inner().engine.log.open()?;
        let held = disk.owner(of)?;
        // Keys of the owner may rely on having no bounds.
        let has_keys = held.is_none() && disk.ids_of(Owners::One(of), None)?.next().transpose()?.is_some();
        // A change opens it again.
        drop(disk);
        let held = held.map(|held| held.quota());
        if held.map_or(has_keys, |held| held != given.quota()) {
            return Err(LineFault::OwnerHeld { name: owner.name().to_owned(), tenant });
        }
        if held.is_none() && !options.check_only {
            match &tenant {
                Some(tenant) => self.tenant(tenant)?.put_owner(owner.clone())?,
                None => self.put_owner(owner.clone())?,
            };
        }
        named.take(Kind::Owner, identity::owner_text(of).into_owned());
        Ok(u64::from(held.is_none()))
    }
}

impl Inner {
    /// Writes the tenant of a key as a line, before the first of its keys, if nobody has put it: an import takes keys of
    /// tenants that it knows.
    pub(super) fn line_of_tenant(
        &self,
        disk: &Disk,
        key: &Record,
        written: &mut HashSet<String>,
    ) -> Result<Option<String>, StoreError> {
        let Some(name) = key.tenant.as_ref().filter(|name| !written.contains(*name)) else { return Ok(None) };
        written.insert(name.clone());
        match disk.tenant(name)? {
            Some(_) => Ok(None),
            None => Ok(Some(TenantLine::of(TenantRecord::unbounded(name, 0)).text()?)),
        }
    }

    /// Writes every role, tenant and owner, after the one with this id, as a line with its line end, in the order of their ids:
    /// roles first, and then tenants.
    pub(super) fn named_lines(
        &self,
        disk: &Disk,
        after: Option<NamedId>,
    ) -> Result<Vec<(NamedId, String)>, StoreError> {
        let mut named = disk.all_named(Kind::Role)?;
        named.extend(disk.all_named(Kind::Tenant)?);
        named.extend(disk.all_named(Kind::Owner)?);
        let line = |record: NamedRecord| {
            let id = record.id();
            let line = match record {
                NamedRecord::Role(role) => RoleLine::of(role).text()?,
                NamedRecord::Tenant(tenant) => TenantLine::of(tenant).text()?,
                NamedRecord::Owner(owner) => OwnerLine::of(owner).text()?,
            };
            Ok((id, line))
        };
        named.into_iter().filter(|record| after.is_none_or(|after| record.id() > after)).map(line).collect()
    }
}
