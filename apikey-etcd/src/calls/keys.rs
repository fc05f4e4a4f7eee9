use apikey_core::cluster::{CellKind, CellName, LedgerError, LedgerResult};

/// The names of all that a ledger keeps, below `/NAMESPACE/`. Names that differ in a number only are in the order of it.
#[derive(Clone)]
pub(crate) struct Keys {
    namespace: String,
}

/// The shards of a state: an identifier's first bytes are its time, so its last one spreads new keys.
pub(crate) const SHARDS: u16 = 256;

impl Keys {
    pub(crate) fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }

    /// The settings of the cluster.
    pub(crate) fn meta(&self) -> Vec<u8> {
        format!("/{}/meta", self.namespace).into_bytes()
    }

    fn of(&self, generation: u64, name: &str) -> Vec<u8> {
        format!("/{}/{generation}/{name}", self.namespace).into_bytes()
    }

    /// The head of a log.
    pub(crate) fn head(&self, generation: u64) -> Vec<u8> {
        self.of(generation, "head")
    }

    /// The number of the last event that the log no longer has.
    pub(super) fn floor(&self, generation: u64) -> Vec<u8> {
        self.of(generation, "floor")
    }

    /// Where the state stands.
    pub(super) fn state(&self, generation: u64) -> Vec<u8> {
        self.of(generation, "state")
    }

    /// The head of a replica at the state.
    pub(super) fn state_head(&self, generation: u64) -> Vec<u8> {
        self.of(generation, "state-head")
    }

    /// The entry whose first event has this number.
    pub(super) fn entry(&self, generation: u64, first: u64) -> Vec<u8> {
        self.of(generation, &format!("l/{first:020}"))
    }

    /// All entries: what is before the first key, and the end.
    pub(crate) fn entries(&self, generation: u64) -> (Vec<u8>, Vec<u8>) {
        (self.entry(generation, 0), self.entries_end(generation))
    }

    /// What all entries are before.
    pub(super) fn entries_end(&self, generation: u64) -> Vec<u8> {
        end_of(self.of(generation, "l/"))
    }

    /// A chunk of an entry that is too large for one value.
    pub(super) fn chunk(&self, generation: u64, op: &[u8; 16], number: usize) -> Vec<u8> {
        self.of(generation, &format!("c/{}/{number:05}", hex(op)))
    }

    /// All chunks of an entry: the first key, and the end.
    pub(super) fn chunks(&self, generation: u64, op: &[u8; 16]) -> (Vec<u8>, Vec<u8>) {
        prefix(self.of(generation, &format!("c/{}/", hex(op))))
    }

    /// Says that chunks are being written, whose entry is not in the log yet.
    pub(super) fn manifest(&self, generation: u64, op: &[u8; 16]) -> Vec<u8> {
        self.of(generation, &format!("u/{}", hex(op)))
    }

    pub(super) fn manifests(&self, generation: u64) -> (Vec<u8>, Vec<u8>) {
        prefix(self.of(generation, "u/"))
    }

    /// The operation in the name of a manifest.
    pub(super) fn op_of_manifest(&self, generation: u64, key: &[u8]) -> Option<[u8; 16]> {
        let name = key.strip_prefix(self.of(generation, "u/").as_slice())?;
        unhex(name)?.try_into().ok()
    }

    pub(super) fn image(&self, generation: u64, kind: u8, name: &[u8]) -> Vec<u8> {
        let shard = name.last().copied().unwrap_or_default();
        self.of(generation, &format!("s/{shard:02x}/{kind:02x}/{}", hex(name)))
    }

    /// All images.
    pub(super) fn images(&self, generation: u64) -> (Vec<u8>, Vec<u8>) {
        prefix(self.of(generation, "s/"))
    }

    pub(super) fn shard(&self, generation: u64, shard: u16) -> (Vec<u8>, Vec<u8>) {
        prefix(self.of(generation, &format!("s/{shard:02x}/")))
    }

    /// The kind and the name of the image under this key.
    pub(super) fn kind_and_name(&self, generation: u64, key: &[u8]) -> Option<(u8, Vec<u8>)> {
        let rest = key.strip_prefix(self.of(generation, "s/").as_slice())?;
        let mut pieces = rest.split(|byte| *byte == b'/');
        let (_, kind, name) = (pieces.next()?, unhex(pieces.next()?)?, unhex(pieces.next()?)?);
        match (kind.as_slice(), pieces.next()) {
            ([kind], None) => Some((*kind, name)),
            _ => None,
        }
    }

    pub(super) fn tally(&self, generation: u64, name: &[u8]) -> Vec<u8> {
        self.of(generation, &format!("t/{}", hex(name)))
    }

    /// The tallies whose names begin like this: the first key, and the end.
    pub(super) fn tallies(&self, generation: u64, begin: &[u8]) -> (Vec<u8>, Vec<u8>) {
        prefix(self.tally(generation, begin))
    }

    /// The name of the tally under this key.
    pub(super) fn tally_name(&self, generation: u64, key: &[u8]) -> Option<Vec<u8>> {
        unhex(key.strip_prefix(self.tally(generation, b"").as_slice())?)
    }

    pub(super) fn reservation(&self, generation: u64, name: &[u8]) -> Vec<u8> {
        self.of(generation, &format!("q/{}", hex(name)))
    }

    pub(super) fn cell(&self, cell: &CellName) -> LedgerResult<Vec<u8>> {
        let CellName { generation, kind, name } = cell;
        match kind {
            CellKind::Meta if *cell == CellName::meta() => Ok(self.meta()),
            CellKind::Meta => {
                Err(LedgerError::refused("the settings are one cell, of generation 0 and without a name"))
            }
            _ if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Ok(self.of(*generation, &format!("{}/{name}", letter(*kind))))
            }
            _ => Err(LedgerError::refused(format!("the cell name {name:?} is not of letters and digits"))),
        }
    }

    /// The cells of a kind: the first key, and the end. The settings are none of a generation but 0.
    pub(super) fn cells(&self, generation: u64, kind: CellKind) -> Option<(Vec<u8>, Vec<u8>)> {
        match kind {
            CellKind::Meta if generation == 0 => Some((self.meta(), Vec::new())),
            CellKind::Meta => None,
            _ => Some(prefix(self.of(generation, &format!("{}/", letter(kind))))),
        }
    }

    /// The name of the cell of this kind under this key.
    pub(super) fn cell_name(&self, generation: u64, kind: CellKind, key: &[u8]) -> Option<CellName> {
        let name = match kind {
            CellKind::Meta => "",
            _ => {
                let before = self.of(generation, &format!("{}/", letter(kind)));
                std::str::from_utf8(key.strip_prefix(before.as_slice())?).ok()?
            }
        };
        Some(CellName { generation, kind, name: name.to_owned() })
    }
}

fn letter(kind: CellKind) -> &'static str {
    match kind {
        CellKind::Presence => "n",
        CellKind::Acknowledgement => "a",
        CellKind::Hold => "h",
        CellKind::Waiting => "w",
        // The settings have a key of their own, and a kind of a later release has none here.
        CellKind::Meta => "meta",
    }
}

/// All keys that begin like this: the first, and the end.
fn prefix(begin: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let end = end_of(begin.clone());
    (begin, end)
}

/// The end of all keys that begin like this. They end with a slash or a hexadecimal digit, so there is a byte above.
fn end_of(mut begin: Vec<u8>) -> Vec<u8> {
    if let Some(last) = begin.last_mut() {
        *last = last.saturating_add(1);
    }
    begin
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or_default());
        }
        text
    })
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(key: Vec<u8>) -> String {
        String::from_utf8(key).unwrap()
    }

    #[test]
    fn every_key_is_below_its_namespace() {
        let keys = Keys::new("acme");
        let presence = CellName { generation: 12, kind: CellKind::Presence, name: "ab01".to_owned() };
        assert_eq!(text(keys.meta()), "/acme/meta");
        assert_eq!(text(keys.head(12)), "/acme/12/head");
        assert_eq!(text(keys.entry(12, 345)), "/acme/12/l/00000000000000000345");
        assert_eq!(text(keys.chunk(12, &[0xa1; 16], 7)), format!("/acme/12/c/{}/00007", "a1".repeat(16)));
        assert_eq!(text(keys.image(12, 1, &[0xff, 0x0b])), "/acme/12/s/0b/01/ff0b");
        assert_eq!(text(keys.cell(&presence).unwrap()), "/acme/12/n/ab01");
        assert_eq!(text(keys.cell(&CellName::meta()).unwrap()), "/acme/meta");
        assert_eq!(text(keys.tally(12, &[0xff, 0x0b])), "/acme/12/t/ff0b");
        assert_eq!(text(keys.reservation(12, &[0xff, 0x0b])), "/acme/12/q/ff0b");
        let slash = CellName { name: "a/b".to_owned(), ..presence };
        assert!(keys.cell(&slash).is_err());
    }

    #[test]
    fn names_are_read_back() {
        let keys = Keys::new("acme");
        for name in [&[][..], &[0], &[1, 0xfe, 0x2f]] {
            let key = keys.image(3, 0xc2, name);
            assert_eq!(keys.kind_and_name(3, &key), Some((0xc2, name.to_vec())));
            let (begin, end) = keys.shard(3, name.last().copied().unwrap_or_default().into());
            assert!(begin <= key && key < end);
        }
        assert_eq!(keys.kind_and_name(3, b"/acme/3/s/00/01/0"), None);
        assert_eq!(keys.kind_and_name(3, b"/acme/3/s/00/01/00/00"), None);
        let op = [0x5e; 16];
        assert_eq!(keys.op_of_manifest(3, &keys.manifest(3, &op)), Some(op));
        assert_eq!(keys.tally_name(3, &keys.tally(3, &op)), Some(op.to_vec()));
        let hold = CellName { generation: 3, kind: CellKind::Hold, name: "janitor".to_owned() };
        let key = keys.cell(&hold).unwrap();
        assert_eq!(keys.cell_name(3, CellKind::Hold, &key), Some(hold));
    }

    #[test]
    fn tallies_are_found_by_how_they_begin() {
        let keys = Keys::new("acme");
        let is_found = |begin: &[u8], name: &[u8]| {
            let ((first, end), key) = (keys.tallies(3, begin), keys.tally(3, name));
            first <= key && key < end
        };
        for begin in [&[][..], &[0], &[0x9f], &[0xff], &[0xff, 0xff]] {
            for name in [&[][..], &[0], &[0x9f, 1], &[0xa0], &[0xff], &[0xff, 0xff, 0xff]] {
                assert_eq!(is_found(begin, name), name.starts_with(begin), "{begin:?} {name:?}");
            }
        }
    }

    #[test]
    fn generations_lie_apart() {
        let keys = Keys::new("acme");
        let (begin, end) = keys.cells(1, CellKind::Presence).unwrap();
        let other = CellName { generation: 10, kind: CellKind::Presence, name: "a".to_owned() };
        let key = keys.cell(&other).unwrap();
        assert!(!(begin <= key && key < end));
        assert_eq!(keys.cells(1, CellKind::Meta), None);
    }
}
