//! Makes the plan of an encoder from a schema and the shape of a row.

use std::sync::Arc;

use apache_avro::schema::{RecordField, RecordSchema};

use super::{From, Misfit, Plan, Step, Write, default};
use crate::avro::decoder::describe;
use crate::avro::schema::{Kind, Node};
use crate::avro::{Field, KeyFormat, Schema, Shape, Type};

/// The attribute of a schema's field that says where it is filled from.
const ATTRIBUTE: &str = "tidewatch";

/// Records within records: a schema that contains itself has no end.
const DEPTH_MAX: usize = 32;

pub(super) fn compile(schema: &Schema, shape: &Shape, key: KeyFormat) -> Result<Plan, Vec<Misfit>> {
    let mut compiler = Compiler { schema, shape, key, defaulted: Vec::new(), misfits: Vec::new() };
    let mut steps = Vec::new();
    match schema.record() {
        Some(record) => compiler.record(record, "", 0, &mut steps),
        None => compiler.misfit("", schema.root(), None),
    }
    if compiler.misfits.is_empty() { Ok(Plan { steps, defaulted: compiler.defaulted }) } else { Err(compiler.misfits) }
}

struct Compiler<'a> {
    schema: &'a Schema,
    shape: &'a Shape,
    key: KeyFormat,
    defaulted: Vec<Arc<str>>,
    misfits: Vec<Misfit>,
}

type Steps = Vec<(Arc<str>, Step)>;

impl<'a> Compiler<'a> {
    fn record(&mut self, record: &'a RecordSchema, prefix: &str, depth: usize, out: &mut Steps) {
        for field in &record.fields {
            let path = format!("{prefix}{}", field.name);
            self.field(field, &path, depth, out);
        }
    }

    fn field(&mut self, field: &'a RecordField, path: &str, depth: usize, out: &mut Steps) {
        let schema = self.schema;
        match self.source(field, path) {
            Some(Source::Key) => match branch_for(schema, &field.schema, |node| fit_key(schema, node, self.key)) {
                Some((null, branch, write)) => out.push((path.into(), Step::Value { from: From::Key(self.key), write, null, branch })),
                None => self.misfit(path, &field.schema, Some(&Field::new("the record's key", self.key.ty(), false))),
            },
            Some(Source::Row(slot, found)) => match branch_for(schema, &field.schema, |node| fit(schema, node, &found.ty)) {
                Some((null, branch, write)) => out.push((path.into(), Step::Value { from: From::Slot(slot), write, null, branch })),
                None => self.misfit(path, &field.schema, Some(found)),
            },
            None if self.inside(field, path, depth, out) => {}
            None => match default::encode(schema, field) {
                Some(bytes) => {
                    self.defaulted.push(path.into());
                    match out.last_mut() {
                        Some((_, Step::Constant(before))) => before.extend(bytes),
                        _ => out.push((path.into(), Step::Constant(bytes))),
                    }
                }
                None => self.misfit(path, &field.schema, None),
            },
        }
    }

    /// A field that is a record of which the row has a part.
    fn inside(&mut self, field: &'a RecordField, path: &str, depth: usize, out: &mut Steps) -> bool {
        let schema = self.schema;
        let branches = if let Kind::Union(branches) = schema.kind(&field.schema) { branches } else { std::slice::from_ref(&field.schema) };
        let found = branches
            .iter()
            .enumerate()
            .find_map(|(index, branch)| if let Kind::Record(record) = schema.kind(branch) { Some((index, record)) } else { None });
        let Some((branch, record)) = found else { return false };
        let prefix = format!("{path}.");
        let slots: Vec<usize> = (0..self.shape.fields.len())
            .filter(|&slot| self.shape.fields.get(slot).is_some_and(|field| field.path.starts_with(&prefix)))
            .collect();
        if slots.is_empty() || depth >= DEPTH_MAX {
            return false;
        }
        if !matches!(schema.kind(&field.schema), Kind::Union(_)) {
            self.record(record, &prefix, depth + 1, out);
            return true;
        }
        let branch = i64::try_from(branch).unwrap_or_default();
        if let Some(null) = null_branch(branches) {
            let mut steps = Vec::new();
            self.record(record, &prefix, depth + 1, &mut steps);
            out.push((path.into(), Step::Record { slots, null, branch, steps }));
        } else {
            out.push((path.into(), Step::Branch(branch)));
            self.record(record, &prefix, depth + 1, out);
        }
        true
    }

    fn source(&self, field: &RecordField, path: &str) -> Option<Source<'a>> {
        let attribute = field.custom_attributes.get(ATTRIBUTE).and_then(serde_json::Value::as_str);
        if attribute == Some("key") {
            return Some(Source::Key);
        }
        let at = |index: usize| self.shape.fields.get(index).map(|found| Source::Row(index, found));
        if let Some(path) = attribute {
            return self.shape.index_of(path).and_then(at);
        }
        if let Some(index) = self.shape.index_of(path) {
            return at(index);
        }
        let flat = path.replace('.', "_");
        let (name, side) = flat
            .strip_suffix("_previous")
            .map(|name| (name, "previous."))
            .or_else(|| Some((flat.strip_suffix("_current")?, "current.")))?;
        let index =
            self.shape.fields.iter().position(|found| found.path.strip_prefix(side).is_some_and(|rest| rest.replace('.', "_") == name))?;
        at(index)
    }

    fn misfit(&mut self, path: &str, node: &Node, found: Option<&Field>) {
        self.misfits.push(Misfit {
            field: path.into(),
            wanted: describe(self.schema, node),
            path: found.map(|found| Arc::clone(&found.path)),
            found: found.map(|found| found.ty.clone()),
        });
    }
}

enum Source<'a> {
    Key,
    Row(usize, &'a Field),
}

fn null_branch(branches: &[Node]) -> Option<i64> {
    i64::try_from(branches.iter().position(|branch| matches!(branch, Node::Null))?).ok()
}

/// The branch for null, the branch for the value (both none where the type is no union) and how to write it.
fn branch_for(schema: &Schema, node: &Node, fit: impl Fn(&Node) -> Option<Write>) -> Option<(Option<i64>, Option<i64>, Write)> {
    let Kind::Union(branches) = schema.kind(node) else { return fit(node).map(|write| (None, None, write)) };
    let (branch, write) = branches.iter().enumerate().find_map(|(index, branch)| Some((index, fit(branch)?)))?;
    Some((null_branch(branches), i64::try_from(branch).ok(), write))
}

fn fit_key(schema: &Schema, node: &Node, key: KeyFormat) -> Option<Write> {
    match (key.ty(), schema.kind(node)) {
        (Type::String | Type::Long, Kind::String) => Some(Write::Text),
        (Type::String | Type::Bytes, Kind::Bytes) => Some(Write::Bytes),
        (Type::Long, _) => fit(schema, node, &Type::Long),
        _ => None,
    }
}

/// How to write a value of this type as this node, which is not a union.
fn fit(schema: &Schema, node: &Node, ty: &Type) -> Option<Write> {
    if let Node::Decimal(_) | Node::BigDecimal = schema.resolve(node) {
        return None;
    }
    let unit = crate::avro::decoder::units_per_millisecond(schema.resolve(node));
    Some(match (ty, schema.kind(node)) {
        (Type::Timestamp, Kind::Long) => unit.filter(|unit| *unit > 1).map_or(Write::Long, Write::Scaled),
        // A plain number has no unit: it is no time.
        (_, Kind::Long) if unit.is_some() => return None,
        (Type::Boolean, Kind::Boolean) => Write::Boolean,
        (Type::Long, Kind::Int) => Write::Int,
        (Type::Long, Kind::Long) => Write::Long,
        (Type::Long | Type::Double, Kind::Float) => Write::Float,
        (Type::Long | Type::Double, Kind::Double) => Write::Double,
        (Type::String | Type::Bytes, Kind::String) => Write::Text,
        (Type::String | Type::Bytes, Kind::Bytes) => Write::Bytes,
        (Type::String, Kind::Enum(schema)) => Write::Symbol(schema.symbols.clone()),
        (Type::Bytes, Kind::Fixed(size)) => Write::Fixed(size),
        (Type::Strings | Type::Names(_), Kind::Array(items)) if matches!(schema.kind(items), Kind::String) => Write::Strings,
        _ => return None,
    })
}
