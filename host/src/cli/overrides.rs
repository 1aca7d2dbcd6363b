//! Flags that change a configuration.

use std::fmt::Display;

use crate::{Error, Result};

/// Applies such flags, and keeps the names of those that were given.
#[derive(Default)]
pub(super) struct Overrides {
    given: Vec<&'static str>,
}

impl Overrides {
    /// Takes the value of a flag, if it was given.
    pub(super) fn set<T>(&mut self, flag: &'static str, value: Option<T>, to: &mut T) {
        if let Some(value) = value {
            *to = value;
            self.given.push(flag);
        }
    }

    /// Takes what the value of a flag stands for.
    ///
    /// # Errors
    /// Bad input for a value that stands for nothing.
    pub(super) fn set_named<V: Copy + Display, T>(
        &mut self,
        flag: &'static str,
        value: Option<V>,
        expected: &str,
        find: impl Fn(V) -> Option<T>,
        to: &mut T,
    ) -> Result<()> {
        let find = |value| find(value).ok_or_else(|| Error::bad_input(flag, expected, value, "give one of them"));
        self.set(flag, value.map(find).transpose()?, to);
        Ok(())
    }

    /// The flags that were given.
    pub(super) fn given(self) -> Vec<&'static str> {
        self.given
    }
}
