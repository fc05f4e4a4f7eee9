//! Cells: named values that are changed by compare-and-swap.

/// The kind of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CellKind {
    /// The settings of the cluster: one cell, of generation 0 and without a name.
    Meta,
    /// A node that may serve.
    Presence,
    /// The last event that a node has applied.
    Acknowledgement,
    /// The right of one node to some work.
    Hold,
    /// A writer that asks others to pause: one cell without a name.
    Waiting,
}

impl CellKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Meta, Self::Presence, Self::Acknowledgement, Self::Hold, Self::Waiting];

    /// Returns a number for engines to store: it never changes.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Meta => 1,
            Self::Presence => 2,
            Self::Acknowledgement => 3,
            Self::Hold => 4,
            Self::Waiting => 5,
        }
    }

    /// Returns the kind with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// The name of a cell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellName {
    /// The generation that it belongs to; 0 for the settings.
    pub generation: u64,
    /// Its kind.
    pub kind: CellKind,
    /// Its name: lower-case letters and digits, at most 64; empty where there is one cell of the kind.
    pub name: String,
}

impl CellName {
    /// The cell of the cluster's settings.
    #[must_use]
    pub fn meta() -> Self {
        Self { generation: 0, kind: CellKind::Meta, name: String::new() }
    }
}

/// A cell with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Its name.
    pub cell: CellName,
    /// Its value.
    pub value: Vec<u8>,
}
