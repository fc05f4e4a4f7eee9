//! The clocks of a simulated machine.

use std::time::Duration;

use crate::ManualClock;
use crate::base::boot_time::{BootClock, BootTime, ManualBootClock};
use crate::base::time::from_ms;
use crate::cluster::simulation::random::Random;

/// The wall clock of a machine that is right when a case starts: in 2027.
const START_MS: i64 = 1_800_000_000_000;

pub(super) struct Clocks {
    pub(super) boot: BootClock,
    pub(super) wall: ManualClock,
    set: ManualBootClock,
    booted: BootTime,
    /// The pace of the boot-time clock.
    rate: f64,
    /// How far the wall clock is ahead, in milliseconds.
    pub(super) ahead_ms: i64,
}

impl Clocks {
    pub(super) fn random(random: &mut Random) -> Self {
        let (boot, set) = BootClock::manual();
        let ahead_ms = i64::try_from(random.below(280_000)).unwrap() - 140_000;
        let wall = ManualClock::new(from_ms(START_MS));
        Self { booted: boot.now(), boot, wall, set, rate: 1.0 + random.between(-0.005, 0.005), ahead_ms }
    }

    /// Shows the time.
    pub(super) fn show(&self, now: Duration) {
        self.set.set(self.booted.after(now.mul_f64(self.rate)));
        let since = i64::try_from(now.as_millis()).unwrap();
        self.wall.set(from_ms(START_MS + since + self.ahead_ms));
    }
}
