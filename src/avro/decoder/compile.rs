//! Makes the [`Plan`] of a decoder from the writer's schema, the reader's and the wanted fields.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use apache_avro::schema::{Name, RecordField, RecordSchema};

use super::plan::{Block, Plan, Skip, Step, index};
use super::resolve::{describe, resolve, unfit};
use super::{Aliases, CompileError, Reason, default};
use crate::avro::schema::{Kind, Level, Node};
use crate::avro::{Field, Schema, Shape, Value};

/// Named types within named types: bounds the stack.
const DEPTH_MAX: usize = 200;

/// A wanted field that the writer has.
struct Target<'a> {
    path: Arc<str>,
    slot: u32,
    /// The reader's type, without the null.
    node: &'a Node,
    /// For each level of the writer's path whether the reader takes a null there.
    nullable: Vec<bool>,
    /// For each level of the writer's path the name of the reader's record, where a record is read.
    records: Vec<Option<&'a str>>,
}

/// The wanted fields by the writer's names.
#[derive(Default)]
struct Wanted {
    target: Option<usize>,
    children: BTreeMap<String, Wanted>,
}

struct Compiler<'a> {
    writer: &'a Schema,
    reader: &'a Schema,
    targets: Vec<Target<'a>>,
    plan: Plan,
    /// Blocks that pass over a named type.
    named: HashMap<&'a Name, u32>,
    /// Named types around the one that is passed over.
    depth: usize,
}

pub(super) fn compile(writer: &Schema, reader: &Schema, wanted: &Shape, aliases: &Aliases) -> Result<Plan, CompileError> {
    let root = writer.record().ok_or(CompileError::NotARecord)?;
    let mut compiler = Compiler { writer, reader, targets: Vec::new(), plan: Plan::default(), named: HashMap::new(), depth: 0 };
    compiler.plan.width = wanted.fields.len();
    compiler.plan.blocks.push(Block::default());
    let mut tree = Wanted::default();
    for (slot, field) in wanted.fields.iter().enumerate() {
        compiler.find(&mut tree, root, aliases, (index(slot), field))?;
    }
    let mut block = Block::default();
    compiler.record(root, &tree, "", 0, &mut block)?;
    block.group_nulls();
    if let Some(first) = compiler.plan.blocks.first_mut() {
        *first = block;
    }
    Ok(compiler.plan)
}
enum Route {
    /// The writer's names along the path.
    Found(Vec<String>),
    /// The writer lacks this level.
    Missing(usize),
    /// The writer has no record at this level, but something else.
    NoRecord(usize, String),
}

/// Looks the reader's fields up in the writer's records, by name, else by the reader's aliases.
fn route(writer: &Schema, root: &RecordSchema, levels: &[Level<'_>]) -> Route {
    let mut record = Some(root);
    let mut names = Vec::new();
    let mut found = String::new();
    for (index, level) in levels.iter().enumerate() {
        let Some(inside) = record else { return Route::NoRecord(index, found) };
        let field = |name: &String| inside.fields.iter().find(|field| field.name == *name);
        let Some(field) = field(&level.field.name).or_else(|| level.field.aliases.iter().find_map(field)) else {
            return Route::Missing(index);
        };
        names.push(field.name.clone());
        found = describe(writer, &field.schema);
        record = record_in(writer, &field.schema, level.node.name().map(Name::name));
    }
    Route::Found(names)
}

fn find_alias(writer: &Schema, root: &RecordSchema, alias: &str) -> Option<Vec<String>> {
    let mut record = Some(root);
    let mut names = Vec::new();
    for part in alias.split('.') {
        let field = record?.fields.iter().find(|field| field.name == part)?;
        names.push(field.name.clone());
        record = record_in(writer, &field.schema, None);
    }
    Some(names)
}

/// The record that a node is or, in a union, the only one or the one of this name.
fn record_in<'a>(schema: &'a Schema, node: &'a Node, name: Option<&str>) -> Option<&'a RecordSchema> {
    match schema.kind(node) {
        Kind::Record(record) => Some(record),
        Kind::Union(branches) => {
            let records =
                || branches.iter().filter_map(|branch| if let Kind::Record(record) = schema.kind(branch) { Some(record) } else { None });
            let mut all = records();
            match (all.next(), all.next()) {
                (Some(only), None) => Some(only),
                _ => records().find(|record| Some(record.name.name()) == name),
            }
        }
        _ => None,
    }
}

fn target<'a>(reader: &'a Schema, levels: &[Level<'a>], depth: usize, path: Arc<str>, slot: u32, nullable: bool) -> Target<'a> {
    let node = levels.last().map_or_else(|| reader.root(), |level| level.node);
    let leaf = nullable && levels.iter().any(|level| level.nullable);
    let same = depth == levels.len();
    Target {
        path,
        slot,
        node,
        nullable: (0..depth)
            .map(|index| if same { nullable && levels.get(index).is_some_and(|level| level.nullable) } else { leaf })
            .collect(),
        records: (0..depth).map(|level| levels.get(level).filter(|_| same).and_then(|level| level.node.name()).map(Name::name)).collect(),
    }
}

impl<'a> Compiler<'a> {
    /// Finds a wanted field in the writer's schema, or its default.
    fn find(
        &mut self,
        tree: &mut Wanted,
        root: &RecordSchema,
        aliases: &Aliases,
        (slot, field): (u32, &Field),
    ) -> Result<(), CompileError> {
        let (writer, reader) = (self.writer, self.reader);
        let levels = reader.lookup(&field.path).ok_or_else(|| CompileError::NoSuchField { path: Arc::clone(&field.path) })?;
        let Some(last) = levels.last() else { return Ok(()) };
        let wrong = |found| CompileError::WrongType { path: Arc::clone(&field.path), wanted: field.ty.clone(), found };
        let ty = reader.leaf_type(last.node).map_err(wrong)?;
        if ty != field.ty {
            return Err(wrong(ty.name()));
        }
        let alias = aliases.get(&*field.path).and_then(|alias| find_alias(writer, root, alias));
        let names = match alias {
            Some(names) => Route::Found(names),
            None => route(writer, root, &levels),
        };
        match names {
            Route::Found(names) => {
                let target = target(reader, &levels, names.len(), Arc::clone(&field.path), slot, field.nullable);
                self.want(tree, &names, target)?;
            }
            Route::Missing(level) => {
                let found = default::at(reader, levels.get(level..).unwrap_or_default());
                let value = found.ok_or_else(|| CompileError::NoDefault { path: Arc::clone(&field.path) })?;
                let value = value.map_err(|()| CompileError::BadDefault { path: Arc::clone(&field.path) })?;
                if value == Value::Null && !field.nullable {
                    return Err(CompileError::BadDefault { path: Arc::clone(&field.path) });
                }
                self.plan.defaults.push((slot, value));
            }
            Route::NoRecord(level, found) => {
                let node = level.checked_sub(1).and_then(|above| levels.get(above)).map_or_else(|| reader.root(), |level| level.node);
                return Err(CompileError::Unreadable { path: Arc::clone(&field.path), writer: found, reader: describe(reader, node) });
            }
        }
        Ok(())
    }

    fn want(&mut self, tree: &mut Wanted, names: &[String], target: Target<'a>) -> Result<(), CompileError> {
        let mut place = tree;
        for name in names {
            place = place.children.entry(name.clone()).or_default();
        }
        if let Some(other) = place.target.and_then(|other| self.targets.get(other)) {
            return Err(CompileError::Twice { path: target.path, other: Arc::clone(&other.path) });
        }
        place.target = Some(self.targets.len());
        self.targets.push(target);
        Ok(())
    }

    /// Reads the wanted fields of a record at this depth and passes over the others.
    fn record(
        &mut self,
        record: &'a RecordSchema,
        wanted: &Wanted,
        prefix: &str,
        depth: usize,
        out: &mut Block,
    ) -> Result<(), CompileError> {
        for field in &record.fields {
            let path: Arc<str> = format!("{prefix}{}", field.name).into();
            match wanted.children.get(&field.name) {
                None => self.skip(&field.schema, &path, out),
                Some(Wanted { target: Some(target), .. }) => self.leaf(&field.schema, *target, &path, out)?,
                Some(inside) => self.inside(field, inside, &path, depth, out)?,
            }
        }
        match wanted.children.iter().find(|(name, _)| !record.fields.iter().any(|field| field.name == **name)) {
            Some((_, lost)) => Err(self.ambiguous(lost, record.name.name())),
            None => Ok(()),
        }
    }

    /// A field that holds a record with wanted fields.
    fn inside(
        &mut self,
        field: &'a RecordField,
        wanted: &Wanted,
        path: &Arc<str>,
        depth: usize,
        out: &mut Block,
    ) -> Result<(), CompileError> {
        let (writer, prefix) = (self.writer, format!("{path}."));
        let targets = wanted.all();
        let name = targets.first().and_then(|&first| self.targets.get(first)?.records.get(depth).copied()?);
        let Some(record) = record_in(writer, &field.schema, name) else {
            return Err(self.ambiguous(wanted, &describe(writer, &field.schema)));
        };
        let Kind::Union(branches) = writer.kind(&field.schema) else {
            return self.record(record, wanted, &prefix, depth + 1, out);
        };
        let mut table = Vec::new();
        for branch in branches {
            let mut block = Block::default();
            match writer.kind(branch) {
                Kind::Record(found) if found.name == record.name => self.record(record, wanted, &prefix, depth + 1, &mut block)?,
                Kind::Null => {
                    for target in targets.iter().filter_map(|&target| self.targets.get(target)) {
                        let allowed = target.nullable.get(depth).copied().unwrap_or(false);
                        let step = if allowed { Step::SetNull { slot: target.slot } } else { fail(&mut self.plan, Reason::Null) };
                        block.push(step, path);
                    }
                }
                _ => block.push(fail(&mut self.plan, unfit(writer, branch)), path),
            }
            table.push(self.add(block));
        }
        out.push(self.union(table), path);
        Ok(())
    }

    /// Aliases lead through a union of several records, and not all to the same.
    fn ambiguous(&self, wanted: &Wanted, record: &str) -> CompileError {
        let path =
            wanted.all().first().and_then(|&first| self.targets.get(first)).map_or_else(|| "".into(), |target| Arc::clone(&target.path));
        CompileError::Unreadable { path, writer: record.to_owned(), reader: "another record".to_owned() }
    }

    /// A wanted field.
    fn leaf(&mut self, node: &'a Node, target: usize, path: &Arc<str>, out: &mut Block) -> Result<(), CompileError> {
        let (writer, reader) = (self.writer, self.reader);
        let Some(target) = self.targets.get(target) else { return Ok(()) };
        let (slot, to, nullable) = (target.slot, target.node, target.nullable.last().copied().unwrap_or(false));
        let unreadable = || CompileError::Unreadable {
            path: Arc::clone(&target.path),
            writer: describe(writer, node),
            reader: format!("{}{}", if nullable { "null or " } else { "" }, describe(reader, to)),
        };
        let branches = if let Kind::Union(branches) = writer.kind(node) { branches } else { std::slice::from_ref(node) };
        let mut steps = Vec::new();
        for branch in branches {
            steps.push(match writer.kind(branch) {
                Kind::Null if nullable => Some(Step::SetNull { slot }),
                Kind::Null => None,
                _ => resolve(writer, branch, reader, to, &mut self.plan).map(|read| Step::Read { read, slot }),
            });
        }
        if steps.iter().all(Option::is_none) {
            return Err(unreadable());
        }
        let step = match (writer.kind(node), steps.as_slice()) {
            (Kind::Union(_), [Some(Step::SetNull { .. }), Some(Step::Read { read, slot })]) => {
                Step::ReadOptional { null_last: false, read: *read, slot: *slot }
            }
            (Kind::Union(_), [Some(Step::Read { read, slot }), Some(Step::SetNull { .. })]) => {
                Step::ReadOptional { null_last: true, read: *read, slot: *slot }
            }
            (Kind::Union(_), _) => {
                let mut table = Vec::new();
                for (branch, step) in branches.iter().zip(steps) {
                    let mut block = Block::default();
                    block.push(step.unwrap_or_else(|| fail(&mut self.plan, unfit(writer, branch))), path);
                    table.push(self.add(block));
                }
                self.union(table)
            }
            (_, [Some(step)]) => *step,
            _ => return Err(unreadable()),
        };
        out.push(step, path);
        Ok(())
    }

    /// Passes over a value.
    fn skip(&mut self, node: &'a Node, path: &Arc<str>, out: &mut Block) {
        let writer = self.writer;
        // Nothing has to be done for what has no bytes, and references could make a great deal of it.
        if writer.is_empty(node) {
            return;
        }
        let step = match writer.kind(node) {
            Kind::Record(_) if self.depth >= DEPTH_MAX => fail(&mut self.plan, Reason::Depth),
            Kind::Record(record) if matches!(node, Node::Ref { .. }) => Step::Call { block: self.named(record, path) },
            Kind::Record(record) => {
                return record.fields.iter().for_each(|field| self.skip(&field.schema, &format!("{path}.{}", field.name).into(), out));
            }
            Kind::Array(items) => self.items(items, false, path),
            Kind::Map(values) => self.items(values, true, path),
            Kind::Union(branches) => match branches.iter().map(|branch| simple(writer, branch)).collect::<Vec<_>>().as_slice() {
                [None, Some(skip)] if matches!(branches.first(), Some(Node::Null)) => Step::SkipOptional { null_last: false, skip: *skip },
                [Some(skip), None] if matches!(branches.last(), Some(Node::Null)) => Step::SkipOptional { null_last: true, skip: *skip },
                _ => {
                    let mut table = Vec::new();
                    for branch in branches {
                        let mut block = Block::default();
                        self.skip(branch, path, &mut block);
                        table.push(self.add(block));
                    }
                    self.union(table)
                }
            },
            _ => simple(writer, node).map_or_else(|| fail(&mut self.plan, unfit(writer, node)), Step::Skip),
        };
        out.push(step, path);
    }

    fn items(&mut self, node: &'a Node, map: bool, path: &Arc<str>) -> Step {
        let mut block = Block::default();
        self.skip(node, path, &mut block);
        Step::Items { block: self.add(block), map, empty: self.writer.is_empty(node) }
    }

    /// The block that passes over a named record; made once, so that it may contain itself.
    fn named(&mut self, record: &'a RecordSchema, path: &Arc<str>) -> u32 {
        if let Some(&block) = self.named.get(&record.name) {
            return block;
        }
        let place = self.add(Block::default());
        self.named.insert(&record.name, place);
        let mut block = Block::default();
        self.depth += 1;
        record.fields.iter().for_each(|field| self.skip(&field.schema, path, &mut block));
        self.depth -= 1;
        if let Some(entry) = self.plan.blocks.get_mut(place as usize) {
            *entry = block;
        }
        place
    }

    fn add(&mut self, block: Block) -> u32 {
        self.plan.blocks.push(block);
        index(self.plan.blocks.len() - 1)
    }

    fn union(&mut self, table: Vec<u32>) -> Step {
        self.plan.tables.push(table);
        Step::Union { table: index(self.plan.tables.len() - 1) }
    }
}

impl Wanted {
    /// The targets here and below.
    fn all(&self) -> Vec<usize> {
        self.target.into_iter().chain(self.children.values().flat_map(Self::all)).collect()
    }
}

impl Block {
    /// Puts a [`Step::SkipNulls`] ahead of every run of fields that nobody wants and that are null as a rule.
    fn group_nulls(&mut self) {
        let (steps, paths) = (std::mem::take(&mut self.steps), std::mem::take(&mut self.paths));
        let null_first = |step: &Step| matches!(step, Step::SkipOptional { null_last: false, .. });
        let mut before = false;
        for (place, (step, path)) in steps.iter().zip(&paths).enumerate() {
            let run = steps.iter().skip(place).take_while(|step| null_first(step)).count();
            if !before && run > 1 {
                self.push(Step::SkipNulls { count: index(run) }, path);
            }
            before = run > 0;
            self.push(*step, path);
        }
    }

    fn push(&mut self, step: Step, path: &Arc<str>) {
        self.steps.push(step);
        self.paths.push(Arc::clone(path));
    }
}

fn fail(plan: &mut Plan, reason: Reason) -> Step {
    plan.reasons.push(reason);
    Step::Fail { reason: index(plan.reasons.len() - 1) }
}

/// How to pass over a value without looking at it.
fn simple(schema: &Schema, node: &Node) -> Option<Skip> {
    match schema.kind(node) {
        Kind::Boolean => Some(Skip::Fixed(1)),
        Kind::Int | Kind::Long | Kind::Enum(_) => Some(Skip::Varint),
        Kind::Float => Some(Skip::Fixed(4)),
        Kind::Double => Some(Skip::Fixed(8)),
        Kind::Bytes | Kind::String => Some(Skip::Bytes),
        Kind::Fixed(size) => Some(Skip::Fixed(index(size))),
        _ => None,
    }
}
