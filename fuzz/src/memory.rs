//! Bounds on what a piece of code allocates.

/// Runs `work`; panics if it has more than `peak` bytes at any moment, or allocates more than `total` in all. A single
/// allocation is part of the peak, so none exceeds that.
pub fn bounded<T>(peak: usize, total: usize, work: impl FnOnce() -> T) -> T {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(work()));
    assert!(used.bytes_max <= peak as u64, "{} bytes at once, more than {peak}", used.bytes_max);
    assert!(used.bytes_total <= total as u64, "{} bytes in all, more than {total}", used.bytes_total);
    result.expect("measure runs it")
}
