//! The presence of a node: a cell that says that the node may serve, so that who takes something away waits for it.

use serde::{Deserialize, Serialize};

use crate::base::codec::{self, CodecError, plain_frame};
use crate::cluster::ledger::{CellKind, CellName};

/// A run of a node: random at each registration, and never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Incarnation(pub(crate) u128);

impl Incarnation {
    /// The cell of its presence.
    pub(crate) fn presence(self, generation: u64) -> CellName {
        CellName { generation, kind: CellKind::Presence, name: self.text() }
    }

    /// The cell of the last event that it has applied.
    pub(crate) fn acknowledgement(self, generation: u64) -> CellName {
        CellName { generation, kind: CellKind::Acknowledgement, name: self.text() }
    }

    fn text(self) -> String {
        format!("{:032x}", self.0)
    }
}

/// What the cell of a presence holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Presence {
    /// The name of the node, for people.
    pub(crate) node: String,
    /// Random at each look. So two clones of a running machine cannot share a presence: the look of the second one finds
    /// another beat than it knows.
    pub(crate) beat: u128,
    /// Whether somebody has marked it. A look at a marked presence does not count; who takes something away waits for it
    /// all the same, until it is deleted.
    pub(crate) marked: bool,
    /// The node's wall clock at the look, in milliseconds since 1970.
    pub(crate) wall: i64,
    /// The highest number of a pepper that the node has, 0 for none.
    pub(crate) pepper: u32,
    /// The bound that the node keeps, in milliseconds.
    pub(crate) bound: u64,
}

plain_frame!(Presence, b'N', "the presence of a node");

impl Presence {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, CodecError> {
        codec::decode(value)
    }
}

/// What the cell of an acknowledgement holds: everything up to this event is applied and settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acknowledgement {
    pub(crate) number: u64,
    pub(crate) digest: [u8; 32],
}

plain_frame!(Acknowledgement, b'A', "the acknowledgement of a node");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::golden;

    #[test]
    fn golden_bytes() {
        let presence = Presence {
            node: "api-1".into(),
            beat: 7 << 100,
            marked: true,
            wall: 1_800_000_000_000,
            pepper: 2,
            bound: 30_000,
        };
        let value = presence.encode().unwrap();
        golden::check("cluster-presence.bin", &value);
        assert_eq!(Presence::decode(&value).unwrap(), presence);
        let acknowledgement = Acknowledgement { number: 300, digest: [7; 32] };
        golden::check("cluster-acknowledgement.bin", &codec::encode(&acknowledgement).unwrap());
        let own = Incarnation(0xab << 120 | 1);
        assert_eq!(own.presence(1).name, "ab000000000000000000000000000001");
    }
}
