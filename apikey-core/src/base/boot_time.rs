//! The time since this machine was booted, which runs on while it sleeps, and which nobody sets.

#[cfg(any(test, feature = "measure"))]
use std::sync::Arc;
#[cfg(any(test, feature = "measure"))]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A time by a [`BootClock`], in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BootTime(u64);

impl BootTime {
    pub(crate) fn nanos(self) -> u64 {
        self.0
    }

    pub(crate) fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The span from an earlier time to this one; zero if that is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A clock that shows [`BootTime`].
#[derive(Debug, Clone, Default)]
pub(crate) enum BootClock {
    /// On Linux `CLOCK_BOOTTIME`; elsewhere the monotonic clock of the standard library, which may stand still while the
    /// machine sleeps.
    #[default]
    System,
    /// One that a test sets.
    #[cfg(any(test, feature = "measure"))]
    Manual(Arc<AtomicU64>),
}

/// Sets a manual clock.
#[cfg(any(test, feature = "measure"))]
#[derive(Debug, Clone)]
#[cfg_attr(not(test), allow(dead_code, reason = "a clock that stands still"))]
pub(crate) struct ManualBootClock(Arc<AtomicU64>);

impl BootClock {
    /// A clock for tests. It begins an hour after the boot, so that spans before now are times, too.
    #[cfg(any(test, feature = "measure"))]
    pub(crate) fn manual() -> (Self, ManualBootClock) {
        let time = Arc::new(AtomicU64::new(3_600_000_000_000));
        (Self::Manual(time.clone()), ManualBootClock(time))
    }

    #[inline]
    pub(crate) fn now(&self) -> BootTime {
        match self {
            Self::System => BootTime(system_nanos()),
            #[cfg(any(test, feature = "measure"))]
            Self::Manual(time) => BootTime(time.load(Ordering::SeqCst)),
        }
    }
}

#[cfg(test)]
impl ManualBootClock {
    pub(crate) fn set(&self, now: BootTime) {
        self.0.store(now.nanos(), Ordering::SeqCst);
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn system_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn system_nanos() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    // Not zero, so that a span before now is a time, too.
    let since = START.get_or_init(Instant::now).elapsed() + Duration::from_secs(3600);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
