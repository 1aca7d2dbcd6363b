//! JSON as Python's `json.dumps` writes it, with a space after commas and colons: the filter `tojson` of templates.

use std::io::{self, Write};

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, State, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::bounded::Bounded;

/// The widest indentation.
const MOST_INDENT: usize = 16;

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// The filter, as transformers has it: characters beyond ASCII stay.
pub fn tojson(state: &State, value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let mut out = Bounded::new(state);
    let written = match indent {
        Some(width) => {
            let spaces = " ".repeat(width.min(MOST_INDENT));
            value.serialize(&mut Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(spaces.as_bytes())))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced)),
    };
    written.map_err(|error| match error.is_io() {
        true => ErrorKind::OutOfFuel.into(),
        false => Error::new(ErrorKind::BadSerialization, "cannot be written as JSON").with_source(error),
    })?;
    Ok(Value::from_safe_string(out.finish()))
}
