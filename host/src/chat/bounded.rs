//! The filters and methods of templates that could make more text than their fuel pays for.
//!
//! Fuel pays for instructions and for what they return, 64 bytes each; minijinja asks whether it is enough before it makes a long string out of strings.
//! Lists share what is in them, though: one that holds itself twice, forty times over, is small, and as text it fills any memory. What writes lists as
//! text is here, and stops where the fuel does.

use std::fmt::{self, Write};
use std::io;

use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

/// What a unit of fuel pays for.
const BYTES: u64 = 64;
/// Digits of a number in a format string: the width of a column has fewer.
const MOST_DIGITS: usize = 3;

/// Text that a template makes, of no more bytes than it has fuel for.
pub struct Bounded {
    text: String,
    left: usize,
}

impl Bounded {
    /// None yet.
    pub fn new(state: &State) -> Self {
        let (_, fuel) = state.fuel_levels().unwrap_or_default();
        Self { text: String::new(), left: usize::try_from(fuel.saturating_mul(BYTES)).unwrap_or(usize::MAX) }
    }

    /// Adds a value as it is printed.
    ///
    /// # Errors
    /// There is no fuel for it.
    pub fn push(&mut self, value: impl fmt::Display) -> Result<(), Error> {
        write!(self, "{value}").map_err(|_| Error::from(ErrorKind::OutOfFuel))
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.text.push_str(text);
        Ok(())
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        self.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Has the environment write values as text in here.
pub fn install(environment: &mut Environment) {
    environment.set_formatter(print);
    environment.set_unknown_method_callback(method);
    // Python has no such filter, and it would print lists without end.
    environment.remove_filter("pprint");
    environment.add_filter("string", string);
    environment.add_filter("join", join);
    environment.add_filter("format", |state: &State, text: &str, values: Rest<Value>| -> Result<Value, Error> {
        require_plain(state, text, &values)?;
        minijinja::formatting::format(minijinja::formatting::FormatStyle::Printf, text, &values).map(Value::from)
    });
}

/// Writes a value to the output.
fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let written = match value.as_str() {
        Some(text) => out.write_str(text),
        None => {
            let mut text = Bounded::new(state);
            text.push(value)?;
            out.write_str(&text.finish())
        }
    };
    written.map_err(|_| Error::from(ErrorKind::WriteFailure))
}

fn string(state: &State, value: &Value) -> Result<Value, Error> {
    if value.as_str().is_some() {
        return Ok(value.clone());
    }
    let mut text = Bounded::new(state);
    text.push(value)?;
    Ok(text.finish().into())
}

fn join(state: &State, values: &Value, between: Option<&str>, options: Kwargs) -> Result<Value, Error> {
    let (named, attribute): (Option<&str>, Option<&str>) = (options.get("d")?, options.get("attribute")?);
    options.assert_all_used()?;
    joined(state, values, between.or(named).unwrap_or_default(), attribute)
}

fn joined(state: &State, values: &Value, between: &str, attribute: Option<&str>) -> Result<Value, Error> {
    let mut text = Bounded::new(state);
    for (at, value) in values.try_iter()?.enumerate() {
        state.consume_fuel(1)?;
        if at > 0 {
            text.push(between)?;
        }
        match attribute {
            Some(name) => text.push(value.get_attr(name)?)?,
            None => text.push(value)?,
        }
    }
    Ok(text.finish().into())
}

/// Python's methods.
fn method(state: &mut State, value: &Value, name: &str, values: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), name, values) {
        (Some(between), "join", [values]) => return joined(state, values, between, None),
        (Some(text), "format", _) => require_plain(state, text, values)?,
        _ => {}
    }
    unknown_method_callback(state, value, name, values)
}

/// Requires that a format string makes about as much text as what it formats: no wide columns, and a fuel for all values wherever there can be one.
fn require_plain(state: &State, format: &str, values: &[Value]) -> Result<(), Error> {
    let digits = |part: &str| part.len() > MOST_DIGITS;
    if format.split(|c: char| !c.is_ascii_digit()).any(digits) || format.contains('*') || format.contains(":{") {
        return Err(Error::new(ErrorKind::InvalidOperation, "columns wider than 999 in a format string"));
    }
    let mut text = Bounded::new(state);
    for _ in 0..format.matches(['%', '{']).count() {
        values.iter().try_for_each(|value| text.push(value))?;
    }
    Ok(())
}
