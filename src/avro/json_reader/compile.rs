//! Makes the plan of a reader: the wanted fields as a tree of the topic's names.

use std::sync::Arc;

use super::scalar::{self, Scalar};
use crate::avro::decoder::{default_at, describe};
use crate::avro::schema::Level;
use crate::avro::{Aliases, CompileError, Schema, Shape, Value};

/// What to look for in a value.
pub(super) struct Plan {
    /// Number of values in a row.
    pub(super) width: usize,
    /// Number of fields in the tree.
    pub(super) fields: usize,
    pub(super) root: Vec<Field>,
}

/// A field that is wanted, or that holds some that are.
pub(super) struct Field {
    /// Its place among all fields of the plan.
    pub(super) id: usize,
    pub(super) name: Box<str>,
    pub(super) path: Arc<str>,
    pub(super) nullable: bool,
    /// What the schema calls its type.
    pub(super) wanted: Arc<str>,
    /// The places that it fills, each with what it gets where the field is missing; none is a fault.
    pub(super) slots: Vec<(usize, Option<Value>)>,
    pub(super) node: Node,
}

pub(super) enum Node {
    Scalar(Scalar),
    Object(Vec<Field>),
}

pub(super) fn compile(schema: &Schema, wanted: &Shape, aliases: &Aliases) -> Result<Plan, CompileError> {
    let mut plan = Plan { width: wanted.fields.len(), fields: 0, root: Vec::new() };
    if schema.record().is_none() {
        return Err(CompileError::NotARecord);
    }
    for (slot, field) in wanted.fields.iter().enumerate() {
        let path = || Arc::clone(&field.path);
        let levels = schema.lookup(&field.path).ok_or_else(|| CompileError::NoSuchField { path: path() })?;
        let Some(last) = levels.last() else { continue };
        let wrong = |found| CompileError::WrongType { path: path(), wanted: field.ty.clone(), found };
        let ty = schema.leaf_type(last.node).map_err(wrong)?;
        if ty != field.ty {
            return Err(wrong(ty.name()));
        }
        let scalar = scalar::compile(schema, last.node).ok_or_else(|| wrong(ty.name()))?;
        let names: Vec<&str> = aliases.get(&*field.path).map_or(&*field.path, String::as_str).split('.').collect();
        let leaf = Leaf { schema, levels: &levels, nullable: field.nullable, slot, path: path() };
        let mut counter = plan.fields;
        leaf.insert(&mut plan.root, &names, 0, (&mut counter, scalar))?;
        plan.fields = counter;
    }
    Ok(plan)
}

/// A wanted field on its way into the tree.
struct Leaf<'a> {
    schema: &'a Schema,
    levels: &'a [Level<'a>],
    nullable: bool,
    slot: usize,
    path: Arc<str>,
}

impl Leaf<'_> {
    fn insert(
        &self,
        into: &mut Vec<Field>,
        names: &[&str],
        depth: usize,
        (counter, scalar): (&mut usize, Scalar),
    ) -> Result<(), CompileError> {
        let Some(name) = names.get(depth) else { return Ok(()) };
        let is_leaf = depth + 1 == names.len();
        let slot = (self.slot, self.missing(names.len(), depth)?);
        if let Some(found) = into.iter_mut().find(|field| *field.name == **name) {
            found.nullable &= self.may_be_null(names.len(), depth);
            found.slots.push(slot);
            return match &mut found.node {
                Node::Object(inside) if !is_leaf => self.insert(inside, names, depth + 1, (counter, scalar)),
                _ => Err(CompileError::Twice { path: Arc::clone(&self.path), other: Arc::clone(&found.path) }),
            };
        }
        let mut field = Field {
            id: *counter,
            name: (*name).into(),
            path: names.get(..=depth).unwrap_or_default().join(".").into(),
            nullable: self.may_be_null(names.len(), depth),
            wanted: if is_leaf {
                self.levels.last().map(|level| describe(self.schema, level.node)).unwrap_or_default()
            } else {
                "an object".to_owned()
            }
            .into(),
            slots: vec![slot],
            node: Node::Object(Vec::new()),
        };
        *counter += 1;
        if is_leaf {
            field.node = Node::Scalar(scalar);
        } else if let Node::Object(inside) = &mut field.node {
            self.insert(inside, names, depth + 1, (counter, scalar))?;
        }
        into.push(field);
        Ok(())
    }

    /// Whether a null may stand at this depth. Under an alias of another length the levels do not correspond: the field's own word counts.
    fn may_be_null(&self, length: usize, depth: usize) -> bool {
        if length == self.levels.len() { self.levels.get(depth).is_some_and(|level| level.nullable) } else { self.nullable }
    }

    /// What the row gets where the topic's field at this depth is missing.
    fn missing(&self, length: usize, depth: usize) -> Result<Option<Value>, CompileError> {
        let from = if length == self.levels.len() { depth } else { 0 };
        let found = default_at(self.schema, self.levels.get(from..).unwrap_or_default());
        found.transpose().map_err(|()| CompileError::BadDefault { path: Arc::clone(&self.path) })
    }
}
