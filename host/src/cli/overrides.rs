//! Flags that change a configuration.

use std::fmt::Display;

use crate::{Error, Result};

/// Applies such flags, and keeps the names of those that were given.
#[derive(Default)]
pub(super) struct Overrides {
    given: Vec<String>,
}

impl Overrides {
    /// Takes the value of a flag, if it was given; `field` is its name as a member of the arguments.
    pub(super) fn set<T>(&mut self, field: &str, value: Option<T>, to: &mut T) {
        if let Some(value) = value {
            *to = value;
            self.given.push(flag(field));
        }
    }

    /// Takes what the value of a flag is read as; `read` also gets the flag, for its error.
    ///
    /// # Errors
    /// Errors of `read`.
    pub(super) fn set_read<V, T>(
        &mut self,
        field: &str,
        value: Option<&V>,
        read: impl Fn(&str, &V) -> Result<T>,
        to: &mut T,
    ) -> Result<()> {
        self.set(field, value.map(|value| read(&flag(field), value)).transpose()?, to);
        Ok(())
    }

    /// The flags that were given.
    pub(super) fn given(self) -> Vec<String> {
        self.given
    }
}

/// As it stands on the command line.
fn flag(field: &str) -> String {
    format!("--{}", field.replace('_', "-"))
}

/// What a value stands for.
///
/// # Errors
/// Bad input for a value that stands for nothing.
pub(super) fn one_of<T>(flag: &str, expected: &str, value: impl Display, found: Option<T>) -> Result<T> {
    found.ok_or_else(|| Error::bad_input(flag, expected, value, "give one of them"))
}
