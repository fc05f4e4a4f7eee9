//! The settings of a cluster, which its ledger holds: what every node must agree on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::tail::{Field, Tag, TailReader, TailWriter, Unknown, critical};
use crate::base::codec::{self, CodecError, Frame};
use crate::token::digest::{Digest, Digester};

/// The settings of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterSettings {
    /// Random, for ever.
    pub(crate) uuid: u128,
    /// The generation of the log. A restore from a backup begins another.
    pub(crate) generation: u64,
    /// `max_staleness`, in milliseconds.
    pub(crate) bound: u64,
    /// The prefix of new tokens.
    pub(crate) prefix: String,
    /// The number of the pepper for new secrets, 0 for none.
    pub(crate) pepper: u32,
    /// A check value of each pepper, by number.
    #[serde(with = "codec::entries::map")]
    pub(crate) peppers: BTreeMap<u32, Digest>,
    /// Which engine it was, so that another one is noticed.
    pub(crate) system: String,
    /// Whether the keys are being replaced: no node opens until the former ones can serve no longer.
    pub(crate) is_sealed: bool,
    /// The other prefixes of tokens, sorted.
    #[serde(skip)]
    pub(crate) accepted: Vec<String>,
}

/// The tag is critical: a node that does not accept a prefix refuses keys that are valid on the others.
const ACCEPTED: Tag = critical(1);

impl Frame for ClusterSettings {
    const KIND: u8 = b'S';

    fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
        payload.put(self)?;
        let mut tail = TailWriter::new(&Unknown::default());
        self.accepted.put(ACCEPTED, &mut tail)?;
        tail.end(payload)
    }

    fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let settings: Self = payload.take()?;
        let mut tail = TailReader::new(payload)?;
        let accepted = Field::take(ACCEPTED, &mut tail)?;
        // This drops ignorable fields, as no node writes what it has read.
        tail.end("the settings of the cluster")?;
        Ok(Self { accepted, ..settings })
    }
}

impl ClusterSettings {
    pub(crate) const BOUND: Duration = Duration::from_secs(30);
    pub(crate) const MIN_BOUND: Duration = Duration::from_secs(5);
    pub(crate) const MAX_BOUND: Duration = Duration::from_secs(3600);

    /// The settings of a new cluster whose first node has these options.
    pub(crate) fn of(uuid: u128, bound: Duration, prefixes: &[String], digesters: &[Digester], system: String) -> Self {
        let (prefix, accepted) = Self::split(prefixes);
        Self {
            uuid,
            generation: 1,
            bound: u64::try_from(bound.as_millis()).unwrap_or(u64::MAX),
            prefix,
            pepper: digesters.last().map_or(0, Digester::pepper),
            peppers: check_values(digesters),
            system,
            is_sealed: false,
            accepted,
        }
    }

    /// The prefix of new tokens, and the others, whose order says nothing.
    fn split(prefixes: &[String]) -> (String, Vec<String>) {
        let (first, others) =
            prefixes.split_first().map_or((String::new(), &[][..]), |(first, rest)| (first.clone(), rest));
        let mut others = others.to_vec();
        others.sort_unstable();
        (first, others)
    }

    pub(crate) fn bound(&self) -> Duration {
        Duration::from_millis(self.bound)
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, CodecError> {
        codec::decode(value)
    }

    /// What a node with these options disagrees on with the cluster.
    pub(crate) fn disagreement(&self, prefixes: &[String], digesters: &[Digester]) -> Option<String> {
        let (prefix, accepted) = Self::split(prefixes);
        if prefix != self.prefix {
            return Some(format!(
                "this node makes tokens with the prefix {prefix:?}, and the cluster with {:?}: give every node the same",
                self.prefix
            ));
        }
        if accepted != self.accepted {
            return Some(format!(
                "the other prefixes of this node are {accepted:?}, and those of the cluster {:?}: give every node the same",
                self.accepted
            ));
        }
        let given = check_values(digesters);
        for (number, value) in &given {
            if self.peppers.get(number).is_some_and(|known| known != value) {
                return Some(format!(
                    "pepper {number}: these are not the bytes that the cluster knows under that number"
                ));
            }
        }
        if self.pepper > 0 && !given.contains_key(&self.pepper) {
            return Some(format!(
                "pepper {} is missing, which the cluster uses for new secrets: give it to every node",
                self.pepper
            ));
        }
        if self.pepper == 0 && !given.is_empty() {
            return Some(
                "this node has a pepper, and the cluster was founded without one: open every node without it".into(),
            );
        }
        None
    }
}

fn check_values(digesters: &[Digester]) -> BTreeMap<u32, Digest> {
    let peppered = digesters.iter().filter(|digester| digester.pepper() > 0);
    peppered.map(|digester| (digester.pepper(), digester.check_value())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pepper;
    use crate::base::codec::golden;

    fn list(prefixes: &[&str]) -> Vec<String> {
        prefixes.iter().map(|prefix| (*prefix).to_owned()).collect()
    }

    #[test]
    fn golden_bytes() {
        let digesters = [Digester::plain(), Digester::peppered(&Pepper::new(2, [9; 32]))];
        let settings = ClusterSettings::of(7 << 100, ClusterSettings::BOUND, &list(&["ak"]), &digesters, "7123".into());
        golden::check("cluster-settings.bin", &settings.encode().unwrap());
        let sealed = ClusterSettings { generation: 300, is_sealed: true, ..settings };
        golden::check("cluster-settings-sealed.bin", &sealed.encode().unwrap());
        let prefixes = ClusterSettings { accepted: list(&["acme_live", "acme_test"]), ..sealed };
        golden::check("cluster-settings-prefixes.bin", &prefixes.encode().unwrap());
        assert_eq!(ClusterSettings::decode(&prefixes.encode().unwrap()).unwrap(), prefixes);
    }

    #[test]
    fn nodes_agree_on_the_prefix_and_the_peppers() {
        let plain = || Digester::plain();
        let pepper = |number, byte| Digester::peppered(&Pepper::new(number, [byte; 32]));
        let of = |digesters: &[Digester]| {
            ClusterSettings::of(7, ClusterSettings::BOUND, &list(&["ak"]), digesters, String::new())
        };
        let peppered = of(&[plain(), pepper(1, 1), pepper(2, 2)]);
        assert_eq!(ClusterSettings::decode(&peppered.encode().unwrap()).unwrap(), peppered);
        for (prefix, digesters, expected) in [
            ("ak", vec![plain(), pepper(1, 1), pepper(2, 2)], None),
            ("ak", vec![plain(), pepper(2, 2)], None),
            ("ak", vec![plain(), pepper(2, 2), pepper(3, 3)], None),
            ("acme", vec![plain(), pepper(2, 2)], Some("prefix \"acme\"")),
            ("ak", vec![plain(), pepper(2, 9)], Some("pepper 2: these are not the bytes")),
            ("ak", vec![plain(), pepper(1, 1)], Some("pepper 2 is missing")),
            ("ak", vec![plain()], Some("pepper 2 is missing")),
        ] {
            let found = peppered.disagreement(&list(&[prefix]), &digesters);
            match expected {
                None => assert_eq!(found, None),
                Some(text) => assert!(found.as_ref().is_some_and(|found| found.contains(text)), "{found:?}"),
            }
        }
        assert_eq!(of(&[plain()]).disagreement(&list(&["ak"]), &[plain()]), None);
        assert!(of(&[plain()]).disagreement(&list(&["ak"]), &[plain(), pepper(1, 1)]).unwrap().contains("without one"));
    }

    #[test]
    fn nodes_agree_on_every_prefix() {
        let of = |prefixes: &[&str]| {
            ClusterSettings::of(7, ClusterSettings::BOUND, &list(prefixes), &[Digester::plain()], String::new())
        };
        let settings = of(&["live", "test", "old"]);
        let disagreement = |prefixes: &[&str]| settings.disagreement(&list(prefixes), &[Digester::plain()]);
        assert_eq!(disagreement(&["live", "old", "test"]), None);
        assert!(disagreement(&["test", "live", "old"]).unwrap().contains("the prefix \"test\""));
        for other in [&["live"][..], &["live", "test"], &["live", "test", "old", "new"]] {
            let text = disagreement(other).unwrap();
            assert!(text.contains(r#"those of the cluster ["old", "test"]"#), "{text}");
        }
    }
}
