//! The actor of a change.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::codec::CodecError;
use crate::base::codec::tail::{Field, Tag, TailReader, TailWriter, ignorable};
use crate::base::invalid_field::InvalidField;
use crate::key::bounds;
use crate::token::key_id::KeyId;

/// The actor of a change: an acting key, a user of the machine, or a name that an application chooses.
///
/// `Display` and `FromStr` use the text that JSON and the log contain: `key:01931a4e-7c3b-7def-8123-456789abcdef`,
/// `uid:1000`, or the application's name as it is. Each text names one actor.
///
/// ```
/// use apikey::Actor;
///
/// assert_eq!(Actor::from("uid:1000"), Actor::Uid(1000));
/// assert_eq!(Actor::from("deploy-bot"), Actor::Application("deploy-bot".into()));
/// assert_eq!(Actor::Uid(1000).to_string(), "uid:1000");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
#[non_exhaustive]
pub enum Actor {
    /// A key that capped the change ([`within`](crate::NewKey::within)), or that changed itself.
    Key(KeyId),
    /// A user of the machine, who ran the command or connected to the admin socket.
    Uid(u32),
    /// The name that a program gave the handle ([`KeyStore::as_actor`](crate::KeyStore::as_actor)).
    Application(String),
}

impl Actor {
    /// Checks that the store may keep the actor.
    pub(crate) fn check(&self) -> Result<(), InvalidField> {
        match self {
            Self::Key(_) | Self::Uid(_) => Ok(()),
            Self::Application(name) => {
                bounds::actor(name)?;
                // Each text names one actor: no application can pass for a key or a user.
                let is_name = matches!(Self::from(name), Self::Application(_));
                let refused = || InvalidField::new("actor", name, "names that do not read as key:<id> or uid:<number>");
                if is_name { Ok(()) } else { Err(refused()) }
            }
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Uid(uid) => write!(f, "uid:{uid}"),
            Self::Application(name) => f.write_str(name),
        }
    }
}

impl FromStr for Actor {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text))
    }
}

impl From<&str> for Actor {
    fn from(text: &str) -> Self {
        let key = || Some(Self::Key(text.strip_prefix("key:")?.parse().ok()?));
        let uid = || Some(Self::Uid(text.strip_prefix("uid:")?.parse().ok()?));
        // Another form, such as `uid:007`, is the name of an application.
        let known = key().or_else(uid).filter(|actor| actor.to_string() == text);
        known.unwrap_or_else(|| Self::Application(text.to_owned()))
    }
}

impl From<String> for Actor {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Actor {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<KeyId> for Actor {
    fn from(id: KeyId) -> Self {
        Self::Key(id)
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.to_string()
    }
}

/// One of three fields names the actor.
const KEY: Tag = ignorable(1);
const UID: Tag = ignorable(2);
const APPLICATION: Tag = ignorable(3);
/// The address of the actor.
const PEER: Tag = ignorable(4);

/// The actor of a change and its address, as far as the store knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) actor: Option<Actor>,
    pub(crate) peer: Option<IpAddr>,
}

impl Origin {
    pub(crate) fn actor(actor: impl Into<Actor>) -> Self {
        Self { actor: Some(actor.into()), peer: None }
    }

    pub(crate) fn put(&self, tail: &mut TailWriter) -> Result<(), CodecError> {
        match &self.actor {
            None => {}
            Some(Actor::Key(id)) => tail.bytes(KEY, id.as_u128().to_be_bytes().to_vec()),
            Some(Actor::Uid(uid)) => uid.put(UID, tail)?,
            Some(Actor::Application(name)) => name.put(APPLICATION, tail)?,
        }
        match self.peer {
            None => {}
            Some(IpAddr::V4(v4)) => tail.bytes(PEER, v4.octets().to_vec()),
            Some(IpAddr::V6(v6)) => tail.bytes(PEER, v6.octets().to_vec()),
        }
        Ok(())
    }

    pub(crate) fn take(tail: &mut TailReader<'_>) -> Result<Self, CodecError> {
        let fault = || CodecError::Payload(None);
        let key = tail.bytes(KEY).map(<[u8; 16]>::try_from).transpose().map_err(|_| fault())?;
        let uid: Option<u32> = Field::take(UID, tail)?;
        let name: Option<String> = Field::take(APPLICATION, tail)?;
        let actor = match (key, uid, name) {
            (None, None, None) => None,
            (Some(key), None, None) => Some(Actor::Key(KeyId::from_u128(u128::from_be_bytes(key)))),
            (None, Some(uid), None) => Some(Actor::Uid(uid)),
            (None, None, Some(name)) => Some(Actor::Application(name)),
            _ => return Err(fault()),
        };
        let peer = match tail.bytes(PEER) {
            None => None,
            Some(bytes) => Some(match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
                (Ok(v4), _) => IpAddr::from(v4),
                (_, Ok(v6)) => IpAddr::from(v6),
                _ => return Err(fault()),
            }),
        };
        Ok(Self { actor, peer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_stands_for_one_actor() {
        let id = "01931a4e-7c3b-7def-8123-456789abcdef";
        let key = Actor::Key(id.parse().unwrap());
        let name = |text: &str| Actor::Application(text.to_owned());
        let all = [
            (format!("key:{id}"), key),
            ("uid:0".into(), Actor::Uid(0)),
            ("uid:4294967295".into(), Actor::Uid(u32::MAX)),
            ("deploy-bot".into(), name("deploy-bot")),
            ("uid:007".into(), name("uid:007")),
            ("uid:+7".into(), name("uid:+7")),
            ("uid:4294967296".into(), name("uid:4294967296")),
            (format!("key:{}", id.to_uppercase()), name(&format!("key:{}", id.to_uppercase()))),
            (format!("key:{{{id}}}"), name(&format!("key:{{{id}}}"))),
            (String::new(), name("")),
        ];
        for (text, actor) in all {
            assert_eq!(Actor::from(&text), actor);
            assert_eq!(actor.to_string(), text);
            let json = serde_json::to_string(&actor).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Actor>(&json).unwrap(), actor);
        }
    }

    #[test]
    fn no_application_passes_for_a_key_or_a_user() {
        let check = |name: &str| Actor::Application(name.to_owned()).check();
        assert!(check("deploy-bot").is_ok() && check("uid:007").is_ok());
        assert!(check("uid:0").is_err());
        assert!(check("key:01931a4e-7c3b-7def-8123-456789abcdef").is_err());
    }
}
