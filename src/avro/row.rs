//! What flows between the nodes of a topology: rows of scalar values whose shape is known when the topology is built.
//!
//! A row is owned by the node that fills it and reused for the next record: strings keep their buffers.

use std::fmt;
use std::sync::Arc;

/// The type of a field. Avro's int and long are both [`Type::Long`], its float and double both [`Type::Double`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Avro boolean.
    Boolean,
    /// Avro int or long.
    Long,
    /// Avro long with the logical type timestamp-millis: milliseconds since the Unix epoch, kept in [`Value::Long`].
    Timestamp,
    /// Avro float or double.
    Double,
    /// Avro string or enum.
    String,
    /// Avro bytes or fixed.
    Bytes,
    /// Avro array of strings.
    Strings,
    /// A subset of the names given, such as the fields that changed; written as an Avro array of strings. At most 64 names.
    Names(Arc<[Arc<str>]>),
}

impl Type {
    /// Its name in messages and in the layout of stored state: part of the on-disk format, never changed.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Long => "long",
            Self::Timestamp => "timestamp",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Strings => "strings",
            Self::Names(_) => "names",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A field of a [`Shape`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its path, parts separated by dots: `views`, `order.price`, `current.views`.
    pub path: Arc<str>,
    /// Its type.
    pub ty: Type,
    /// Whether it may be null.
    pub nullable: bool,
}

impl Field {
    /// A field.
    pub fn new(path: impl Into<Arc<str>>, ty: Type, nullable: bool) -> Self {
        Self { path: path.into(), ty, nullable }
    }
}

/// The fields of a row, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The fields; their paths are unique.
    pub fields: Vec<Field>,
}

impl Shape {
    /// The place of the field with this path.
    pub fn index_of(&self, path: &str) -> Option<usize> {
        self.fields.iter().position(|field| &*field.path == path)
    }

    /// The field with this path.
    pub fn field(&self, path: &str) -> Option<&Field> {
        self.fields.iter().find(|field| &*field.path == path)
    }
}

/// A subset of a fixed list of names: bit `i` stands for name `i`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameSet {
    /// All names.
    pub names: Arc<[Arc<str>]>,
    /// Those that are in the set.
    pub bits: u64,
}

impl NameSet {
    /// The names in the set, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().enumerate().filter(|(index, _)| self.bits >> index & 1 == 1).map(|(_, name)| &**name)
    }
}

/// One value of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// A boolean.
    Boolean(bool),
    /// A whole number, or a time in milliseconds since the Unix epoch.
    Long(i64),
    /// A floating-point number.
    Double(f64),
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Texts.
    Strings(Vec<String>),
    /// A subset of known names.
    Names(NameSet),
}

impl Value {
    /// Becomes this text, reusing its buffer where it has one.
    pub fn set_str(&mut self, text: &str) {
        if let Self::String(held) = self {
            held.clear();
            held.push_str(text);
        } else {
            *self = Self::String(text.to_owned());
        }
    }

    /// Becomes these bytes, reusing its buffer where it has one.
    pub fn set_bytes(&mut self, bytes: &[u8]) {
        if let Self::Bytes(held) = self {
            held.clear();
            held.extend_from_slice(bytes);
        } else {
            *self = Self::Bytes(bytes.to_vec());
        }
    }

    /// Becomes a copy of `other`, reusing buffers.
    pub fn copy_from(&mut self, other: &Self) {
        match other {
            Self::String(text) => self.set_str(text),
            Self::Bytes(bytes) => self.set_bytes(bytes),
            _ => *self = other.clone(),
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// For people: null is nothing, bytes are hexadecimal, lists are separated by commas.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Boolean(value) => value.fmt(f),
            Self::Long(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
            Self::String(value) => f.write_str(value),
            Self::Bytes(value) => value.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Strings(values) => list(f, values.iter().map(String::as_str)),
            Self::Names(values) => list(f, values.iter()),
        }
    }
}

fn list<'a>(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = &'a str>) -> fmt::Result {
    for (index, item) in items.enumerate() {
        f.write_str(if index > 0 { ", " } else { "" })?;
        f.write_str(item)?;
    }
    Ok(())
}

/// The values of a record, in the order of its [`Shape`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// One value per field of the shape.
    pub values: Vec<Value>,
}

impl Row {
    /// A row of nulls for this shape.
    pub fn of(shape: &Shape) -> Self {
        Self { values: vec![Value::Null; shape.fields.len()] }
    }

    /// The value at this place; null where there is none.
    pub fn get(&self, index: usize) -> &Value {
        const NULL: &Value = &Value::Null;
        self.values.get(index).unwrap_or(NULL)
    }
}
