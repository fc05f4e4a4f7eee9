/// Settings that a program builds: the first one that is not allowed is the error of every call, so that the builder's methods
/// return no errors.
#[derive(Debug, Clone)]
pub struct CheckedSettings<S>(Result<S, String>);

impl<S> CheckedSettings<S> {
    /// Creates one of what was parsed.
    #[must_use]
    pub fn new(parsed: Result<S, String>) -> Self {
        Self(parsed)
    }

    /// Sets one, unless an earlier one is wrong.
    pub fn set(&mut self, set: impl FnOnce(&mut S) -> Result<(), String>) {
        if let Ok(settings) = &mut self.0
            && let Err(error) = set(settings)
        {
            self.0 = Err(error);
        }
    }

    /// Returns the settings.
    ///
    /// # Errors
    /// The first one that is not allowed, with what is.
    pub fn get(&self) -> Result<&S, &str> {
        self.0.as_ref().map_err(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_the_one() {
        let mut settings = CheckedSettings::new(Ok(1));
        settings.set(|number| {
            *number = 2;
            Ok(())
        });
        assert_eq!(settings.get(), Ok(&2));
        settings.set(|_| Err("first".to_owned()));
        settings.set(|_| Err("second".to_owned()));
        assert_eq!(settings.get(), Err("first"));
    }
}
