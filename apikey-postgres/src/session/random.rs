use std::time::Duration;

/// A random time up to this one. Where there is no randomness, all of it.
pub(crate) fn jitter(most: Duration) -> Duration {
    let part = getrandom::u32().unwrap_or(u32::MAX);
    most.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

/// A text that nobody else has.
pub(super) fn nonce() -> Result<String, String> {
    let number = getrandom::u64().map_err(|error| format!("no randomness: {error}"))?;
    Ok(format!("{number:016x}"))
}
