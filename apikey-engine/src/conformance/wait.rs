use std::time::{Duration, Instant};

use apikey_core::cluster::Woken;

use super::Nodes;
use super::fixture::{Chain, soon};

/// What was appended before the wait began counts.
pub fn wait_sees_what_is_there(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    chain.fill(0, &[3]);
    for after in [0, 2] {
        assert_eq!(chain.other(nodes).ledger.wait(1, after, soon()).unwrap(), Woken::Moved);
    }
}

/// A node that waits and reads gets every entry, long before the time is up.
pub fn wait_wakes(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let waiter = chain.other(nodes);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let mut after = 0;
            while after < 30 {
                assert_eq!(waiter.ledger.wait(1, after, soon()).unwrap(), Woken::Moved, "after {after}");
                if let Some(entry) = waiter.follow(after).last() {
                    after = entry.last.number;
                }
            }
        });
        for number in 1..=30 {
            chain.fill(number - 1, &[number]);
            if number % 10 == 0 {
                // Now it waits, most likely.
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        waiting.join().unwrap();
    });
}

/// A wait ends, and says that it saw nothing; what it returns early is allowed.
pub fn wait_ends_in_time(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    let by = Instant::now() + Duration::from_millis(300);
    while chain.ledger.wait(1, 0, by).unwrap() == Woken::Moved {
        assert!(Instant::now() < soon());
    }
    assert!(Instant::now() >= by, "it said too early that the time is up");
}

/// A node that ends does not wait for its own wait.
pub fn close_ends_waits(nodes: Nodes<'_>) {
    let chain = Chain::begin(nodes);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            loop {
                match chain.ledger.wait(1, 0, soon()).unwrap() {
                    Woken::Moved => {}
                    other => return other,
                }
            }
        });
        std::thread::sleep(Duration::from_millis(50));
        chain.ledger.close();
        assert_eq!(waiting.join().unwrap(), Woken::Closed);
    });
    assert_eq!(chain.ledger.wait(1, 0, soon()).unwrap(), Woken::Closed);
}
