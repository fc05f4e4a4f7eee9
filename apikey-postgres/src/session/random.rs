/// A text that nobody else has.
pub(super) fn nonce() -> Result<String, String> {
    let number = getrandom::u64().map_err(|error| format!("no randomness: {error}"))?;
    Ok(format!("{number:016x}"))
}
