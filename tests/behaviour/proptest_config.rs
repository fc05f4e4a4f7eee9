//! How many cases a property gets.

use proptest::test_runner::Config as ProptestConfig;

/// A share of the cases that `PROPTEST_CASES` sets (256 by default), for properties whose cases cost more.
pub(crate) fn cases(share: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: (config.cases / share).max(1), failure_persistence: None, ..config }
}
