//! An Avro schema, parsed once: its text for registration and its fields as a [`Shape`].
//!
//! Apache Avro's own library parses; everything else here looks through its references, logical types and nullable unions.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use apache_avro::schema::{EnumSchema, InnerDecimalSchema, Name, RecordField, RecordSchema, UuidSchema};

use super::row::{Field, Shape, Type};
use super::{expansion, integers, text};

/// What the Avro library calls a schema; here a node within a [`Schema`].
pub(crate) type Node = apache_avro::Schema;

/// A record has at most this many fields, nested ones counted; those beyond are not selectable.
const FIELDS_MAX: usize = 4096;

/// Fields that are looked at for them. References let a short schema name the same records over and over: two fields of a record, each of the record
/// before, thirty times, are a thousand million paths.
const VISITS_MAX: usize = 4 * FIELDS_MAX;

/// Records within records that have fields: bounds the stack.
const DEPTH_MAX: usize = 100;

/// Why a text is not a schema.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not JSON.
    #[error("the schema is not JSON")]
    Json(#[source] serde_json::Error),
    /// It is JSON, but no Avro schema.
    #[error("the schema is not valid Avro")]
    Avro(#[source] Box<apache_avro::Error>),
    /// The values of its defaults cannot all be made.
    #[error("the defaults of the schema expand to more than {} values, or hold themselves", expansion::VALUES_MAX)]
    Defaults,
    /// An attribute has to be a whole number of 64 bits.
    #[error("the schema's {0} is {1}, no whole number")]
    Integer(String, serde_json::Value),
    /// One name stands for two types: which of them a reference means is not known.
    #[error("the schema defines {0} twice")]
    Twice(String),
}

/// Why a field is not selectable that a row could hold.
const BEYOND: &str = "beyond the highest number of fields";

/// A field that a row cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Its dotted path.
    pub path: Arc<str>,
    /// What it is: `a map`, `a union of several types`.
    pub reason: &'static str,
}

/// A parsed Avro schema; cheap to clone. Two are equal when their normal texts are.
#[derive(Clone)]
pub struct Schema(Arc<Parsed>);

struct Parsed {
    text: String,
    root: Node,
    names: HashMap<Name, Node>,
    /// The records whose values take no bytes, by their names.
    empty: HashSet<Name>,
    shape: Shape,
    unsupported: Vec<Unsupported>,
}

/// How a node is encoded, logical types and references looked through.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'a> {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(&'a EnumSchema),
    Array(&'a Node),
    Map(&'a Node),
    Union(&'a [Node]),
    Record(&'a RecordSchema),
    /// A reference to a name that is not there.
    Unknown,
}

/// One step of a path through a record: the field, whether null is allowed there, and its type without the null.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level<'a> {
    pub(crate) field: &'a RecordField,
    pub(crate) nullable: bool,
    pub(crate) node: &'a Node,
}

impl Schema {
    /// Parses the JSON text of a schema.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let value: serde_json::Value = serde_json::from_str(json).map_err(Error::Json)?;
        if !expansion::is_bounded(&value) {
            return Err(Error::Defaults);
        }
        if let Some((attribute, value)) = integers::unfit(&value) {
            return Err(Error::Integer(attribute.to_owned(), value.clone()));
        }
        let root = Node::parse(&value).map_err(|error| Error::Avro(Box::new(error)))?;
        let mut names = HashMap::new();
        collect_names(&root, &mut names, &mut HashSet::new())?;
        let (text, shape) = (text::normal(&value), Shape::default());
        let mut parsed = Parsed { text, root, names, empty: HashSet::new(), shape, unsupported: Vec::new() };
        parsed.empty = parsed.empty_records();
        (parsed.shape, parsed.unsupported) = parsed.flat();
        Ok(Self(Arc::new(parsed)))
    }

    /// The text in normal form: no white space, attributes in a fixed order. Documentation and defaults are kept.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The full name of the record; none where the schema has no name.
    pub fn name(&self) -> Option<String> {
        self.0.root.name().map(|name| name.fullname(None))
    }

    /// The fields that a row can hold, nested records flattened to dotted paths, in the schema's order.
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// The fields that a row cannot hold.
    pub fn unsupported(&self) -> &[Unsupported] {
        &self.0.unsupported
    }

    pub(crate) fn root(&self) -> &Node {
        &self.0.root
    }

    /// Follows references.
    pub(crate) fn resolve<'a>(&'a self, node: &'a Node) -> &'a Node {
        self.0.resolve(node)
    }

    pub(crate) fn kind<'a>(&'a self, node: &'a Node) -> Kind<'a> {
        self.0.kind(node)
    }

    /// The top-level record; none where the schema is something else.
    pub(crate) fn record(&self) -> Option<&RecordSchema> {
        if let Kind::Record(record) = self.kind(self.root()) { Some(record) } else { None }
    }

    /// Takes a union with null apart: whether it was one, and the other type. None where there is more than one other type or none.
    pub(crate) fn nullable<'a>(&'a self, node: &'a Node) -> Option<(bool, &'a Node)> {
        self.0.nullable(node)
    }

    /// Whether values of a node take no bytes: then a count of them is no bound for anything.
    pub(crate) fn is_empty(&self, node: &Node) -> bool {
        self.0.is_empty(node)
    }

    /// The type of a row's field for this node, which is not a union; or why there is none.
    pub(crate) fn leaf_type(&self, node: &Node) -> Result<Type, &'static str> {
        self.0.leaf_type(node)
    }

    /// The fields along a dotted path; none where there is no such path.
    pub(crate) fn lookup(&self, path: &str) -> Option<Vec<Level<'_>>> {
        let mut record = self.record();
        let mut levels = Vec::new();
        for part in path.split('.') {
            let field = record?.fields.iter().find(|field| field.name == part)?;
            let (nullable, node) = self.nullable(&field.schema)?;
            record = if let Kind::Record(record) = self.kind(node) { Some(record) } else { None };
            levels.push(Level { field, nullable, node });
        }
        Some(levels)
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Schema {}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.0.text).finish()
    }
}

#[derive(Default)]
struct Flat<'a> {
    shape: Shape,
    unsupported: Vec<Unsupported>,
    open: Vec<&'a Name>,
    visits: usize,
}

impl Flat<'_> {
    fn refuse(&mut self, path: String, reason: &'static str) {
        if self.unsupported.len() < FIELDS_MAX {
            self.unsupported.push(Unsupported { path: path.into(), reason });
        }
    }
}

impl Parsed {
    fn resolve<'a>(&'a self, node: &'a Node) -> &'a Node {
        if let Node::Ref { name } = node { self.names.get(name).unwrap_or(node) } else { node }
    }

    fn kind<'a>(&'a self, node: &'a Node) -> Kind<'a> {
        match self.resolve(node) {
            Node::Null => Kind::Null,
            Node::Boolean => Kind::Boolean,
            Node::Int | Node::Date | Node::TimeMillis => Kind::Int,
            Node::Long
            | Node::TimeMicros
            | Node::TimestampMillis
            | Node::TimestampMicros
            | Node::TimestampNanos
            | Node::LocalTimestampMillis
            | Node::LocalTimestampMicros
            | Node::LocalTimestampNanos => Kind::Long,
            Node::Float => Kind::Float,
            Node::Double => Kind::Double,
            Node::Bytes | Node::BigDecimal | Node::Uuid(UuidSchema::Bytes) => Kind::Bytes,
            Node::String | Node::Uuid(UuidSchema::String) => Kind::String,
            Node::Fixed(fixed) | Node::Uuid(UuidSchema::Fixed(fixed)) | Node::Duration(fixed) => Kind::Fixed(fixed.size),
            Node::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => Kind::Bytes,
                InnerDecimalSchema::Fixed(fixed) => Kind::Fixed(fixed.size),
            },
            Node::Enum(schema) => Kind::Enum(schema),
            Node::Array(array) => Kind::Array(&array.items),
            Node::Map(map) => Kind::Map(&map.types),
            Node::Union(union) => Kind::Union(union.variants()),
            Node::Record(record) => Kind::Record(record),
            Node::Ref { .. } => Kind::Unknown,
        }
    }

    fn nullable<'a>(&'a self, node: &'a Node) -> Option<(bool, &'a Node)> {
        let Kind::Union(branches) = self.kind(node) else { return Some((false, self.resolve(node))) };
        let mut others = branches.iter().filter(|branch| !matches!(branch, Node::Null));
        let other = others.next()?;
        if others.next().is_some() {
            return None;
        }
        Some((branches.len() > 1, self.resolve(other)))
    }

    fn leaf_type(&self, node: &Node) -> Result<Type, &'static str> {
        match self.resolve(node) {
            Node::TimestampMillis | Node::TimestampMicros | Node::TimestampNanos => return Ok(Type::Timestamp),
            Node::Decimal(_) | Node::BigDecimal => return Err("a decimal"),
            _ => {}
        }
        match self.kind(node) {
            Kind::Boolean => Ok(Type::Boolean),
            Kind::Int | Kind::Long => Ok(Type::Long),
            Kind::Float | Kind::Double => Ok(Type::Double),
            Kind::Bytes | Kind::Fixed(_) => Ok(Type::Bytes),
            Kind::String | Kind::Enum(_) => Ok(Type::String),
            Kind::Array(items) if matches!(self.kind(items), Kind::String) => Ok(Type::Strings),
            Kind::Array(_) => Err("an array of something else than strings"),
            Kind::Map(_) => Err("a map"),
            Kind::Union(_) => Err("a union of several types"),
            Kind::Null => Err("always null"),
            Kind::Record(_) => Err("a record"),
            Kind::Unknown => Err("of an unknown type"),
        }
    }

    fn is_empty(&self, node: &Node) -> bool {
        match self.kind(node) {
            Kind::Null | Kind::Fixed(0) => true,
            Kind::Record(record) => self.empty.contains(&record.name),
            _ => false,
        }
    }

    /// The records whose values take no bytes. A record that is not within any other way than by itself counts as one: it has no values.
    fn empty_records(&self) -> HashSet<Name> {
        let records = || self.names.values().filter_map(|node| if let Node::Record(record) = node { Some(record) } else { None });
        let mut holders: HashMap<&Name, Vec<&Name>> = HashMap::new();
        let (mut with_bytes, mut open) = (HashSet::new(), Vec::new());
        for record in records() {
            for field in &record.fields {
                match self.kind(&field.schema) {
                    Kind::Null | Kind::Fixed(0) => {}
                    Kind::Record(inside) => holders.entry(&inside.name).or_default().push(&record.name),
                    _ => open.push(&record.name),
                }
            }
        }
        while let Some(name) = open.pop() {
            if with_bytes.insert(name) {
                open.extend(holders.get(name).into_iter().flatten());
            }
        }
        records().map(|record| &record.name).filter(|name| !with_bytes.contains(name)).cloned().collect()
    }

    fn flat(&self) -> (Shape, Vec<Unsupported>) {
        let mut flat = Flat::default();
        if let Kind::Record(record) = self.kind(&self.root) {
            self.flatten(record, "", false, &mut flat);
        } else {
            flat.refuse(String::new(), "not a record");
        }
        (flat.shape, flat.unsupported)
    }

    fn flatten<'a>(&'a self, record: &'a RecordSchema, prefix: &str, nullable: bool, flat: &mut Flat<'a>) {
        if flat.open.contains(&&record.name) {
            return flat.refuse(prefix.trim_end_matches('.').to_owned(), "a record within itself");
        }
        if flat.open.len() >= DEPTH_MAX {
            return flat.refuse(prefix.trim_end_matches('.').to_owned(), "a record within too many others");
        }
        flat.open.push(&record.name);
        for field in &record.fields {
            flat.visits += 1;
            if flat.visits > VISITS_MAX {
                flat.refuse(prefix.trim_end_matches('.').to_owned(), BEYOND);
                break;
            }
            let path = format!("{prefix}{}", field.name);
            let Some((null, node)) = self.nullable(&field.schema) else {
                let always = matches!(self.kind(&field.schema), Kind::Union([_]));
                flat.refuse(path, if always { "always null" } else { "a union of several types" });
                continue;
            };
            if let Kind::Record(record) = self.kind(node) {
                self.flatten(record, &format!("{path}."), nullable || null, flat);
                continue;
            }
            match self.leaf_type(node) {
                Ok(_) if flat.shape.fields.len() >= FIELDS_MAX => flat.refuse(path, BEYOND),
                Ok(ty) => flat.shape.fields.push(Field::new(path, ty, nullable || null)),
                Err(reason) => flat.refuse(path, reason),
            }
        }
        flat.open.pop();
    }
}

/// Notes every named type under its name and its aliases.
fn collect_names(node: &Node, names: &mut HashMap<Name, Node>, defined: &mut HashSet<Name>) -> Result<(), Error> {
    if let Node::Ref { .. } = node {
        return Ok(());
    }
    if let Some(name) = node.name() {
        if !defined.insert(name.clone()) {
            return Err(Error::Twice(name.fullname(None)));
        }
        for alias in node.aliases().into_iter().flatten() {
            names.insert(alias.fully_qualified_name(name.namespace()).into_owned(), node.clone());
        }
        names.insert(name.clone(), node.clone());
    }
    match node {
        Node::Record(record) => record.fields.iter().try_for_each(|field| collect_names(&field.schema, names, defined)),
        Node::Array(array) => collect_names(&array.items, names, defined),
        Node::Map(map) => collect_names(&map.types, names, defined),
        Node::Union(union) => union.variants().iter().try_for_each(|branch| collect_names(branch, names, defined)),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn flat(json: &str) -> (Vec<String>, Vec<String>) {
        let schema = Schema::parse(json).unwrap();
        let null = |nullable: bool| if nullable { "?" } else { "" };
        let fields = schema.shape().fields.iter().map(|field| format!("{} {}{}", field.path, field.ty, null(field.nullable)));
        let unsupported = schema.unsupported().iter().map(|field| format!("{}: {}", field.path, field.reason));
        (fields.collect(), unsupported.collect())
    }

    #[test]
    fn nested_records_become_paths_and_the_rest_says_why_not() {
        let (fields, unsupported) = flat(
            r#"{"type":"record","name":"r","namespace":"n","fields":[
                {"name":"a","type":"int"},{"name":"b","type":["string","null"]},{"name":"f","type":{"type":"fixed","name":"f4","size":4}},
                {"name":"o","type":["null",{"type":"record","name":"o","fields":[
                    {"name":"price","type":"float"},{"name":"e","type":{"type":"enum","name":"e","symbols":["A"]}},{"name":"again","type":["null","r"]}]}]},
                {"name":"o2","type":"o"},{"name":"tags","type":{"type":"array","items":"string"}},{"name":"single","type":["boolean"]},
                {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"date","type":{"type":"int","logicalType":"date"}},
                {"name":"m","type":{"type":"map","values":"int"}},{"name":"u","type":["null","int","string"]},{"name":"n","type":"null"},
                {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}},{"name":"l","type":{"type":"array","items":"int"}}]}"#,
        );
        assert_eq!(
            fields,
            [
                "a long",
                "b string?",
                "f bytes",
                "o.price double?",
                "o.e string?",
                "o2.price double",
                "o2.e string",
                "tags strings",
                "single boolean",
                "at timestamp",
                "date long"
            ]
        );
        assert_eq!(
            unsupported,
            [
                "o.again: a record within itself",
                "o2.again: a record within itself",
                "m: a map",
                "u: a union of several types",
                "n: always null",
                "d: a decimal",
                "l: an array of something else than strings"
            ]
        );
    }

    /// Records with two fields each, both of the record before; the first one has `leaf`.
    pub(crate) fn doubling(levels: usize, leaf: &str) -> String {
        (1..levels).fold(format!(r#"{{"type":"record","name":"R0","fields":[{leaf}]}}"#), |before, level| {
            let again = format!(r#"{{"name":"b","type":"R{}"}}"#, level - 1);
            format!(r#"{{"type":"record","name":"R{level}","fields":[{{"name":"a","type":{before}}},{again}]}}"#)
        })
    }

    #[test]
    fn references_do_not_make_fields_without_measure() {
        let (fields, unsupported) = flat(&doubling(30, r#"{"name":"x","type":"long"}"#));
        assert!(fields.len() <= FIELDS_MAX && unsupported.len() <= FIELDS_MAX);
        assert!(unsupported.iter().all(|path| path.ends_with(BEYOND)), "{:?}", unsupported.last());
        assert_eq!(flat(&doubling(10, r#"{"name":"x","type":"long"}"#)).0.len(), 512);
        let (fields, unsupported) = flat(&doubling(30, ""));
        assert!(fields.is_empty() && unsupported.iter().all(|path| path.ends_with(BEYOND)));
    }

    #[test]
    fn records_without_bytes_are_told_from_others() {
        let empty = |json: &str| {
            let schema = Schema::parse(json).unwrap();
            schema.is_empty(schema.root())
        };
        assert!(empty(&doubling(30, "")));
        assert!(empty(&doubling(30, r#"{"name":"x","type":"null"},{"name":"f","type":{"type":"fixed","name":"f","size":0}}"#)));
        assert!(!empty(&doubling(30, r#"{"name":"x","type":"boolean"}"#)));
        assert!(!empty(r#"{"type":"record","name":"r","fields":[{"name":"r","type":["null","r"]}]}"#));
    }

    #[test]
    fn what_is_no_record_has_no_fields() {
        assert_eq!(flat("\"long\""), (vec![], vec![": not a record".to_owned()]));
    }

    #[test]
    fn a_name_that_is_defined_twice_is_refused() {
        let field = |ty: &str| {
            format!(r#"{{"name":"r","namespace":"n","type":"record","fields":[{{"name":"a","type":{ty}}},{{"name":"b","type":{ty}}}]}}"#)
        };
        let error = Schema::parse(&field(r#"{"type":"fixed","name":"f","size":8}"#)).unwrap_err();
        assert_eq!(error.to_string(), "the schema defines n.f twice");
        Schema::parse(&field("[\"null\", \"long\"]")).unwrap();
    }

    #[test]
    fn the_name_and_the_text_are_kept() {
        let schema = Schema::parse(r#"{ "name": "r", "type": "record", "namespace": "n", "fields": [] }"#).unwrap();
        assert_eq!(schema.name().as_deref(), Some("n.r"));
        assert_eq!(schema.text(), r#"{"type":"record","name":"r","namespace":"n","fields":[]}"#);
        assert_eq!(Schema::parse(schema.text()).unwrap(), schema);
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        assert_eq!(Schema::parse("{").unwrap_err().to_string(), "the schema is not JSON");
        assert_eq!(Schema::parse("{\"type\":\"nonesuch\"}").unwrap_err().to_string(), "the schema is not valid Avro");
    }
}
