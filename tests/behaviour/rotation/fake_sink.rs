//! A sink whose answers the test chooses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use apikey::{ApiKey, Delivery, KeyId, KeyInfo, SecretSink, SinkError, SinkState};

/// A sink in memory. The test chooses how it reacts to a delivery, and whether it reports what it has.
#[derive(Clone, Default)]
pub(crate) struct FakeSink(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    tokens: BTreeMap<KeyId, ApiKey>,
    deliveries: Vec<(KeyId, u32)>,
    reports: bool,
    reaction: Reaction,
}

/// What a delivery does.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) enum Reaction {
    /// The sink stores the secret.
    #[default]
    Accepts,
    /// The sink returns an error, to deliveries and to questions.
    Refuses,
    /// The sink panics before it has stored the secret. To the store that is a process that dies: nothing follows.
    Panics,
    /// The sink stores the secret and then panics.
    AcceptsThenPanics,
}

impl FakeSink {
    /// A sink that reports its current token, which a plain one does not know.
    pub(crate) fn that_reports() -> Self {
        let sink = Self::default();
        sink.0.lock().unwrap().reports = true;
        sink
    }

    /// Chooses how it reacts from now on.
    pub(crate) fn react_with(&self, reaction: Reaction) {
        self.0.lock().unwrap().reaction = reaction;
    }

    /// The token that it has for a key.
    pub(crate) fn token(&self, key: KeyId) -> String {
        self.0.lock().unwrap().tokens[&key].expose_secret().to_owned()
    }

    /// Every token that it has.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.0.lock().unwrap().tokens.values().map(|token| token.expose_secret().to_owned()).collect()
    }

    /// The versions of the secrets that the store has delivered, or tried to.
    pub(crate) fn versions(&self) -> Vec<u32> {
        self.0.lock().unwrap().deliveries.iter().map(|(_, version)| *version).collect()
    }
}

impl SecretSink for FakeSink {
    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), SinkError> {
        let id = delivery.info().id();
        let reaction = {
            let mut state = self.0.lock().unwrap();
            state.deliveries.push((id, delivery.info().version()));
            if matches!(state.reaction, Reaction::Accepts | Reaction::AcceptsThenPanics) {
                state.tokens.insert(id, delivery.key().clone());
            }
            state.reaction
        };
        match reaction {
            Reaction::Accepts => Ok(()),
            Reaction::Refuses => Err(SinkError::other(format!("no {}!", delivery.key().expose_secret()))),
            Reaction::Panics | Reaction::AcceptsThenPanics => {
                panic!("the sink broke with {}", delivery.key().expose_secret())
            }
        }
    }

    fn current(&self, info: &KeyInfo) -> Result<SinkState, SinkError> {
        let state = self.0.lock().unwrap();
        if !state.reports {
            return Ok(SinkState::Unknown);
        }
        if state.reaction == Reaction::Refuses {
            return Err(SinkError::other("no answer"));
        }
        Ok(state.tokens.get(&info.id()).cloned().map_or(SinkState::Nothing, SinkState::Token))
    }
}
