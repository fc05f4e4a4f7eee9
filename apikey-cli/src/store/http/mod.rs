//! A store that answers over HTTP: the service mounts the API for managing keys, and the command is one of its callers.
//!
//! A request becomes one of the API, or a few, and the answer one of the admin socket, so that commands need not know which
//! of the two they ask. What the API does not have fails with an exit code of its own.

mod client;
mod convert;

use std::collections::HashMap;

use apikey_core::admin::{
    Answer, Changed, MostUsed, NewSecret, Request, RolePage, RolePut, SecretText, TenantChanged, TenantPage,
    UsageAnswer, Verdict,
};
use apikey_core::{EventFilter, EventPage, KeyFilter, KeyId, KeyInfo, KeyUpdate, NewKey, Page, Usage};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::failure::{Code, Failure};
use client::{Client, Method};
pub(crate) use client::{Key, Url};
use convert::{encoded, event_parameters, key_of, key_parameters, unreadable, usage_parameters};

/// A service that has the API at a URL.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client,
    /// The cursors of the pages after those that were read, by the last key or event of each.
    cursors: HashMap<String, String>,
}

impl Http {
    pub(crate) fn new(url: Url, key: Key) -> Self {
        Self { client: Client::new(url, key), cursors: HashMap::new() }
    }

    /// Answers a request as the admin socket would.
    pub(crate) fn ask(&mut self, request: Request) -> Result<Answer, Failure> {
        match request {
            Request::Create(key) => self.create(&key, None),
            Request::InTenant { tenant, request } => self.in_tenant(&tenant, *request),
            Request::Get { id } => Ok(Answer::Key(Box::new(self.key(id)?))),
            Request::List(filter) => Ok(Answer::Keys(self.list(&filter, None)?)),
            Request::Update { id, change } => self.update(id, &change),
            Request::Rotate { id, overlap } => {
                let body = json!({ "overlap": overlap });
                self.secret(self.client.send(Method::Post, &format!("/keys/{id}/rotate"), Some(&body))?)
            }
            Request::Revoke { id, reason } => {
                let was_revoked = self.key(id)?.revoked().is_some();
                let path = format!("/keys/{id}/revoke");
                let key = key_of(self.client.send(Method::Post, &path, Some(&json!({ "reason": reason })))?)?;
                Ok(Answer::Changed(Box::new(Changed { key, changed: !was_revoked })))
            }
            Request::RevokeOwner { owner, reason } => self.revoke_owner(&owner, &reason, None),
            Request::PutRole(role) => self.put_role(&role),
            Request::Roles { after: None } => {
                let roles = read(self.client.send(Method::Get, "/roles", None)?, "roles")?;
                Ok(Answer::Roles(RolePage { roles, next: None }))
            }
            Request::DeleteRole { name } => {
                let path = format!("/roles/{}", encoded(&name));
                let is_there = self.client.find(&path)?.is_some();
                self.client.send(Method::Delete, &path, None)?;
                Ok(Answer::Count(is_there.into()))
            }
            Request::PutTenant(tenant) => {
                let (name, body) = named(&tenant)?;
                self.change_tenant(&name, Method::Put, "", &body)
            }
            Request::Tenants { after: None } => {
                let tenants = read(self.client.send(Method::Get, "/tenants", None)?, "tenants")?;
                Ok(Answer::Tenants(TenantPage { tenants, next: None }))
            }
            Request::EndTenant { name, reason } => {
                self.change_tenant(&name, Method::Post, "/end", &json!({ "reason": reason }))
            }
            Request::Check { token, permissions, peer } => {
                let body = json!({ "key": token, "permissions": permissions, "address": peer });
                self.check(&body)
            }
            Request::Events(filter) => Ok(Answer::Events(self.events(&filter)?)),
            Request::Usage(usage) => self.usage(&usage),
            Request::MostUsed { since, limit } => {
                let path = format!("/usage?by=key&since={}", encoded(&since.to_rfc3339()));
                let document = self.client.send(Method::Get, &path, None)?;
                let covers = serde_json::from_value(document.get("covers").cloned().unwrap_or_default());
                let mut keys: Vec<_> = read(document, "keys")?;
                keys.truncate(limit);
                Ok(Answer::MostUsed(MostUsed {
                    keys,
                    left_out: 0,
                    counting: true,
                    covers: covers.map_err(unreadable)?,
                }))
            }
            other => Err(not_here(other.name())),
        }
    }

    fn in_tenant(&mut self, tenant: &str, request: Request) -> Result<Answer, Failure> {
        match request {
            Request::Create(key) => self.create(&key, Some(tenant)),
            Request::List(filter) => Ok(Answer::Keys(self.list(&filter, Some(tenant))?)),
            Request::RevokeOwner { owner, reason } => self.revoke_owner(&owner, &reason, Some(tenant)),
            other => Err(not_here(&format!("{} in a tenant", other.name()))),
        }
    }

    fn create(&self, key: &NewKey, tenant: Option<&str>) -> Result<Answer, Failure> {
        let mut body = serde_json::to_value(key).map_err(unreadable)?;
        if let (Some(tenant), Some(fields)) = (tenant, body.as_object_mut()) {
            fields.insert("tenant".into(), tenant.into());
        }
        self.secret(self.client.send(Method::Post, "/keys", Some(&body))?)
    }

    /// The answer with a key's new secret.
    fn secret(&self, mut document: Value) -> Result<Answer, Failure> {
        let secret = document.as_object_mut().and_then(|fields| fields.remove("key"));
        let secret: SecretText = serde_json::from_value(secret.unwrap_or_default()).map_err(unreadable)?;
        Ok(Answer::NewSecret(Box::new(NewSecret { secret, key: key_of(document)? })))
    }

    fn key(&self, id: KeyId) -> Result<KeyInfo, Failure> {
        key_of(self.client.send(Method::Get, &format!("/keys/{id}?activity"), None)?)
    }

    fn update(&self, id: KeyId, change: &KeyUpdate) -> Result<Answer, Failure> {
        let body = serde_json::to_value(change).map_err(unreadable)?;
        let before = self.key(id)?.last_event();
        let tag = format!("\"{before}\"");
        let key = key_of(self.client.patch(&format!("/keys/{id}"), &body, &tag)?)?;
        let changed = key.last_event() != before;
        Ok(Answer::Changed(Box::new(Changed { key, changed })))
    }

    fn list(&mut self, filter: &KeyFilter, tenant: Option<&str>) -> Result<Page, Failure> {
        let (mut parameters, after) = key_parameters(filter)?;
        if let Some(tenant) = tenant {
            parameters.push(("tenant".to_owned(), tenant.to_owned()));
        }
        let whole = "over HTTP a key is named by its whole id";
        let mut cursor = self.cursor(after, whole)?;
        loop {
            let mut document = self.client.send(Method::Get, &path("/keys", &parameters, cursor.as_deref()), None)?;
            let next = document.get_mut("next").map(Value::take).unwrap_or_default();
            let keys = document.get_mut("keys").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
            let keys = keys.into_iter().map(key_of).collect::<Result<Vec<KeyInfo>, _>>()?;
            cursor = next.as_str().map(str::to_owned);
            // A page may be empty, and go on.
            if keys.is_empty() && cursor.is_some() {
                continue;
            }
            let last = keys.last().map(KeyInfo::id).filter(|_| cursor.is_some());
            if let (Some(last), Some(cursor)) = (last, cursor) {
                self.cursors.insert(last.to_string(), cursor);
            }
            return serde_json::from_value(json!({ "keys": keys, "next": last })).map_err(unreadable);
        }
    }

    fn events(&mut self, filter: &EventFilter) -> Result<EventPage, Failure> {
        let (parameters, after) = event_parameters(filter)?;
        let mut cursor = self.cursor(after, "events before a number are not read over HTTP")?;
        loop {
            let document = self.client.send(Method::Get, &path("/events", &parameters, cursor.as_deref()), None)?;
            cursor = document.get("next").and_then(Value::as_str).map(str::to_owned);
            let events = document.get("events").cloned().unwrap_or_default();
            let last = events.as_array().and_then(|events| events.last()?.get("number")?.as_u64());
            if last.is_none() && cursor.is_some() {
                continue;
            }
            let last = last.filter(|_| cursor.is_some());
            if let (Some(last), Some(cursor)) = (last, cursor) {
                self.cursors.insert(last.to_string(), cursor);
            }
            return serde_json::from_value(json!({ "events": events, "next": last })).map_err(unreadable);
        }
    }

    /// The cursor of the page after this key or event, which was the last of a page before.
    fn cursor(&self, after: Option<String>, otherwise: &str) -> Result<Option<String>, Failure> {
        let Some(after) = after else { return Ok(None) };
        let cursor = self.cursors.get(&after).cloned();
        cursor.map(Some).ok_or_else(|| Failure::new(Code::NotOverHttp, otherwise))
    }

    fn revoke_owner(&self, owner: &str, reason: &str, tenant: Option<&str>) -> Result<Answer, Failure> {
        let path = format!("/owners/{}/revoke", encoded(owner));
        let body = json!({ "reason": reason, "tenant": tenant });
        let count = read(self.client.send(Method::Post, &path, Some(&body))?, "count")?;
        Ok(Answer::Count(count))
    }

    fn put_role(&self, role: &apikey_core::Role) -> Result<Answer, Failure> {
        let (name, body) = named(role)?;
        let path = format!("/roles/{}", encoded(&name));
        let before = self.client.find(&path)?;
        let after = self.client.send(Method::Put, &path, Some(&body))?;
        let changed = before.as_ref() != Some(&after);
        Ok(Answer::RolePut(Box::new(RolePut { role: serde_json::from_value(after).map_err(unreadable)?, changed })))
    }

    fn change_tenant(&self, name: &str, method: Method, below: &str, body: &Value) -> Result<Answer, Failure> {
        let path = format!("/tenants/{}", encoded(name));
        let before = self.client.find(&path)?;
        let after = self.client.send(method, &format!("{path}{below}"), Some(body))?;
        let changed = before.as_ref() != Some(&after);
        let tenant = serde_json::from_value(after).map_err(unreadable)?;
        Ok(Answer::TenantChanged(Box::new(TenantChanged { tenant, changed })))
    }

    fn check(&self, question: &Value) -> Result<Answer, Failure> {
        let verdict = self.client.send(Method::Post, "/verify", Some(question))?;
        let id = verdict.get("key").cloned().map(serde_json::from_value::<KeyId>).transpose().map_err(unreadable)?;
        let key = id.map(|id| self.key(id)).transpose()?.map(Box::new);
        let field = |name: &str| verdict.get(name).cloned().unwrap_or_default();
        let secret_version = serde_json::from_value(field("secret_version")).map_err(unreadable)?;
        Ok(Answer::Verdict(Box::new(match (field("valid") == true, key, secret_version) {
            (true, Some(key), Some(secret_version)) => Verdict::Good {
                key,
                secret_version,
                superseded: field("superseded") == true,
                superseded_until: serde_json::from_value(field("superseded_until")).map_err(unreadable)?,
                quota: None,
            },
            (_, key, secret_version) => {
                let code = field("code").as_str().unwrap_or_default().to_owned();
                let missing: Vec<String> = serde_json::from_value(field("missing")).unwrap_or_default();
                let lacks =
                    if missing.is_empty() { String::new() } else { format!(": it lacks {}", missing.join(", ")) };
                let text = format!("the service answers {code}{lacks}");
                Verdict::Bad { code, text, why: None, key, secret_version }
            }
        })))
    }

    fn usage(&self, usage: &Usage) -> Result<Answer, Failure> {
        let path = path("/usage", &usage_parameters(usage)?, None);
        let report = serde_json::from_value(self.client.send(Method::Get, &path, None)?).map_err(unreadable)?;
        Ok(Answer::Usage(Box::new(UsageAnswer { report, counting: true })))
    }
}

/// What the API has no operation for.
fn not_here(name: &str) -> Failure {
    let name = name.replace('_', " ");
    Failure::new(Code::NotOverHttp, format!("{name}: there is no such operation over HTTP; run it where the store is"))
}

/// A field of an answer.
fn read<T: DeserializeOwned>(mut document: Value, name: &str) -> Result<T, Failure> {
    let field = document.get_mut(name).map(Value::take).unwrap_or_default();
    serde_json::from_value(field).map_err(unreadable)
}

/// The name of a role or a tenant, and the rest of it.
fn named(of: &impl serde::Serialize) -> Result<(String, Value), Failure> {
    let mut fields: Map<String, Value> =
        serde_json::to_value(of).and_then(serde_json::from_value).map_err(unreadable)?;
    let name = fields.remove("name").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
    Ok((name, fields.into()))
}

fn path(path: &str, parameters: &[(String, String)], cursor: Option<&str>) -> String {
    let cursor = cursor.map(|cursor| format!("cursor={}", encoded(cursor)));
    let pairs = parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    let query = pairs.chain(cursor).collect::<Vec<_>>().join("&");
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}
