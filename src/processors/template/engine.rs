//! Rendering through minijinja, with a limit on the work and on the output.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

use crate::avro::Value;
use crate::processors::view::View;

use super::{Escape, Kind, OUTPUT_BYTES_MAX, RenderError, Used, print};

/// Instructions that one record may cost.
const FUEL: u64 = 200_000;

/// The name of the one template of an environment.
const NAME: &str = "text";

/// A template that needs more than text and fields.
pub(super) struct Engine {
    environment: Environment<'static>,
    tree: Branch,
}

/// The variables of a template, by the parts of their paths.
#[derive(Default)]
pub(super) struct Branch(BTreeMap<Arc<str>, Node>);

enum Node {
    Branch(Branch),
    Leaf(usize, Kind),
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    pub(super) fn new(text: &str, escape: Escape) -> Result<Self, Error> {
        let mut environment = environment(escape);
        environment.add_template_owned(NAME, text.to_owned())?;
        Ok(Self { environment, tree: Branch::default() })
    }

    /// The variables that the template takes from outside, as dotted paths, sorted.
    pub(super) fn variables(&self) -> Result<Vec<String>, Error> {
        let mut names: Vec<_> = self.environment.get_template(NAME)?.undeclared_variables(true).into_iter().collect();
        names.sort();
        Ok(names)
    }

    pub(super) fn environment(&self) -> &Environment<'static> {
        &self.environment
    }

    pub(super) fn provide(&mut self, used: &[Used]) {
        for field in used {
            self.tree.add(&field.path, field.index, field.kind);
        }
    }

    pub(super) fn render(&self, row: View<'_>, into: &mut String) -> Result<(), RenderError> {
        let template = self.environment.get_template(NAME).map_err(RenderError::Failed)?;
        let mut writer = Bounded { bytes: Vec::new(), overrun: false };
        let rendered = template.render_captured_to(self.tree.value(row), &mut writer).map(drop);
        if writer.overrun {
            return Err(RenderError::TooLong);
        }
        rendered.map_err(RenderError::Failed)?;
        into.push_str(&String::from_utf8_lossy(&writer.bytes));
        Ok(())
    }
}

impl Branch {
    fn add(&mut self, path: &str, index: usize, kind: Kind) {
        match path.split_once('.') {
            None => {
                self.0.insert(path.into(), Node::Leaf(index, kind));
            }
            Some((first, rest)) => {
                let node = self.0.entry(first.into()).or_insert_with(|| Node::Branch(Self::default()));
                if let Node::Branch(branch) = node {
                    branch.add(rest, index, kind);
                }
            }
        }
    }

    fn value(&self, row: View<'_>) -> minijinja::Value {
        let variables = self.0.iter().map(|(name, node)| {
            let value = match node {
                Node::Branch(branch) => branch.value(row),
                Node::Leaf(index, kind) => value_of(row.get(*index), *kind),
            };
            (Arc::clone(name), value)
        });
        variables.collect::<BTreeMap<_, _>>().into()
    }
}

fn value_of(value: &Value, kind: Kind) -> minijinja::Value {
    match value {
        Value::Null => minijinja::Value::from(()),
        Value::Boolean(value) => (*value).into(),
        Value::Long(ms) if kind == Kind::Timestamp => print::timestamp(*ms).into(),
        Value::Long(number) => (*number).into(),
        Value::Double(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).as_ref().into(),
        Value::Strings(list) => list.iter().map(String::as_str).collect(),
        Value::Names(set) => set.iter().collect(),
    }
}

/// An environment without templates.
pub(super) fn environment(escape: Escape) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(move |_| match escape {
        Escape::None => AutoEscape::None,
        Escape::Html => AutoEscape::Html,
    });
    environment.set_formatter(format);
    environment.add_filter("escape", escaped);
    environment.add_filter("e", escaped);
    environment.add_filter("default", or_default);
    environment.add_filter("d", or_default);
    environment
}

/// Prints a value as [`print::value`] does.
fn format(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &minijinja::Value) -> Result<(), Error> {
    let escape = if matches!(state.auto_escape(), AutoEscape::Html) { Escape::Html } else { Escape::None };
    let mut text = String::new();
    print(&mut text, value, escape)?;
    out.write_str(&text).map_err(Error::from)
}

fn print(into: &mut String, value: &minijinja::Value, escape: Escape) -> Result<(), Error> {
    match value.kind() {
        // Strict: a variable that is not there is an error, as minijinja's own formatter has it.
        ValueKind::Undefined => return Err(Error::new(ErrorKind::UndefinedError, "a value to print is undefined")),
        ValueKind::None => {}
        ValueKind::Bool => into.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => into.push_str(&value.to_string()),
        // Also what is only made while it is gone through, such as `[1] * 100000000`: its own way of printing goes through all of it.
        ValueKind::Seq | ValueKind::Iterable => {
            for (place, item) in value.try_iter()?.enumerate() {
                if place > 0 {
                    into.push_str(", ");
                }
                print(into, &item, escape)?;
                if into.len() > OUTPUT_BYTES_MAX {
                    return Err(too_long());
                }
            }
        }
        _ => {
            let escape = if value.is_safe() { Escape::None } else { escape };
            let mut text = Short(String::new());
            write!(text, "{value}").map_err(|_| too_long())?;
            print::text(into, &text.0, escape);
            if into.len() > OUTPUT_BYTES_MAX {
                return Err(too_long());
            }
        }
    }
    Ok(())
}

fn too_long() -> Error {
    Error::new(ErrorKind::InvalidOperation, "a printed value is too long")
}

fn escaped(value: &minijinja::Value) -> Result<minijinja::Value, Error> {
    let mut text = String::new();
    print(&mut text, value, Escape::Html)?;
    Ok(minijinja::Value::from_safe_string(text))
}

/// `default`: minijinja's own only replaces what is undefined; here null is what is missing.
fn or_default(value: &minijinja::Value, instead: Option<minijinja::Value>) -> minijinja::Value {
    if value.is_undefined() || value.is_none() { instead.unwrap_or_else(|| "".into()) } else { value.clone() }
}

/// A text that is not longer than the longest output: writing to it ends there, however long a value goes on.
struct Short(String);

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > OUTPUT_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// Takes no more than the longest output.
struct Bounded {
    bytes: Vec<u8>,
    overrun: bool,
}

impl io::Write for &mut Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > OUTPUT_BYTES_MAX {
            self.overrun = true;
            return Err(io::Error::other("the output is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
