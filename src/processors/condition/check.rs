//! Types, and what may be null where: from the parsed expression to the tree that is evaluated.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use crate::avro::{Shape, Type};
use crate::processors::fault::{Fault, meant};
use crate::processors::type_name;

use super::eval::{Arithmetic, Bool, Comparison, Double, Flag, Long, Text};
use super::spans;

/// Expressions within expressions: bounds the stack that the check and every test of a row take.
const DEPTH_MAX: usize = 100;

/// Fields that are known not to be null at some point of the condition.
pub(super) type Facts = BTreeSet<usize>;

/// What a whole number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Number,
    Timestamp,
    Duration,
}

/// An expression with its type.
#[derive(Debug)]
pub(super) enum Typed {
    Flag(Flag),
    Long(Long, Meaning),
    Double(Double),
    Text(Text),
    Bytes,
    Strings(usize),
    Names(usize, Arc<[Arc<str>]>),
    Null,
}

impl Typed {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Flag(_) => "boolean",
            Self::Long(_, Meaning::Number) => "long",
            Self::Long(_, Meaning::Timestamp) => "timestamp",
            Self::Long(_, Meaning::Duration) => "duration",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes => "bytes",
            Self::Strings(_) => "strings",
            Self::Names(..) => "names",
            Self::Null => "null",
        }
    }
}

/// A checked expression, and what is known once it turned out true or false.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) typed: Typed,
    pub(super) nullable: bool,
    /// The field that it is, where it is nothing but a field.
    pub(super) field: Option<usize>,
    pub(super) when_true: Facts,
    pub(super) when_false: Facts,
}

impl Checked {
    pub(super) fn value(typed: Typed) -> Self {
        Self { typed, nullable: false, field: None, when_true: Facts::new(), when_false: Facts::new() }
    }

    pub(super) fn flag(bool: Bool) -> Self {
        Self::value(Typed::Flag(Flag::Is(Box::new(bool))))
    }

    /// A test that only holds where these fields are not null.
    pub(super) fn flag_of_known(bool: Bool, fields: impl IntoIterator<Item = Option<usize>>) -> Self {
        Self { when_true: fields.into_iter().flatten().collect(), ..Self::flag(bool) }
    }
}

/// A checked expression that is true or false.
pub(super) struct Tested {
    pub(super) bool: Bool,
    pub(super) when_true: Facts,
    pub(super) when_false: Facts,
}

/// Checks one condition. What cannot be typed gives none and leaves at least one fault.
pub(super) struct Checker<'a> {
    pub(super) text: &'a str,
    pub(super) shape: &'a Shape,
    pub(super) source: &'a SourceInfo,
    pub(super) faults: Vec<Fault>,
    pub(super) fields: BTreeSet<usize>,
    /// Expressions around the one that is being checked.
    pub(super) depth: usize,
}

impl Checker<'_> {
    pub(super) fn span(&self, expr: &IdedExpr) -> Range<usize> {
        spans::span(expr, self.source, self.text)
    }

    pub(super) fn written(&self, expr: &IdedExpr) -> &str {
        self.text.get(self.span(expr)).unwrap_or_default()
    }

    /// Leaves a fault; always none, so that it can be returned.
    pub(super) fn fault<T>(&mut self, expr: &IdedExpr, message: impl Into<String>, hint: Option<String>) -> Option<T> {
        let span = self.span(expr);
        self.faults.push(Fault::new(span, message).maybe_hint(hint));
        None
    }

    /// An expression that must be true or false.
    pub(super) fn condition(&mut self, expr: &IdedExpr, known: &Facts) -> Option<Tested> {
        let checked = self.check(expr, known)?;
        self.truth(expr, checked)
    }

    fn truth(&mut self, expr: &IdedExpr, checked: Checked) -> Option<Tested> {
        let Checked { typed, nullable, field, mut when_true, when_false } = checked;
        let Typed::Flag(flag) = typed else {
            let hint = (typed.name() != "null").then(|| "compare it with something".to_owned());
            return self.fault(expr, format!("expected a boolean, found a value of type {}", typed.name()), hint);
        };
        if nullable {
            let written = self.written(expr).to_owned();
            let hint = format!("write `{written} == true`, which is false where it is null");
            return self.fault(expr, format!("unhandled null: `{written}` may be null here"), Some(hint));
        }
        let bool = match flag {
            Flag::Field(index) => Bool::Field(index),
            Flag::Is(bool) => *bool,
        };
        when_true.extend(field);
        Some(Tested { bool, when_true, when_false })
    }

    /// An expression that is computed with: it must not be null.
    pub(super) fn known_value(&mut self, expr: &IdedExpr, known: &Facts) -> Option<Checked> {
        let checked = self.check(expr, known)?;
        if matches!(checked.typed, Typed::Null) {
            return self.fault(expr, "null cannot be computed with", None);
        }
        if checked.nullable {
            let written = self.written(expr).to_owned();
            let hint = match checked.field {
                Some(_) => format!("put a test before it: `{written} != null && ...`"),
                None => "test its parts for null before it".to_owned(),
            };
            return self.fault(expr, format!("unhandled null: `{written}` may be null here"), Some(hint));
        }
        Some(checked)
    }

    pub(super) fn check(&mut self, expr: &IdedExpr, known: &Facts) -> Option<Checked> {
        // The parser bounds brackets, but not the length of `a + a + a ...`, each of which is an expression within the next.
        if self.depth >= DEPTH_MAX {
            let fault = Fault::new(spans::own(expr, self.source, self.text), "the condition is nested too deeply").hint(super::TOO_DEEP);
            self.faults.push(fault);
            return None;
        }
        self.depth += 1;
        let checked = self.check_here(expr, known);
        self.depth -= 1;
        checked
    }

    fn check_here(&mut self, expr: &IdedExpr, known: &Facts) -> Option<Checked> {
        if let Some(path) = path_of(expr) {
            return self.field(expr, &path, known);
        }
        match &expr.expr {
            Expr::Literal(literal) => self.literal(expr, literal),
            Expr::Select(select) if select.test => self.presence(expr, &select.operand, &select.field),
            Expr::Select(_) => self.fault(expr, "only fields of the record have parts", None),
            Expr::Call(call) => self.call(expr, call, known),
            Expr::List(_) => self.fault(expr, "a list can only stand after `in`", None),
            Expr::Comprehension(_) => self.fault(
                expr,
                "`all`, `exists`, `exists_one`, `map` and `filter` are not supported in conditions",
                Some("test one element with `x in list`".to_owned()),
            ),
            Expr::Map(_) | Expr::Struct(_) => self.fault(expr, "maps and messages are not supported in conditions", None),
            Expr::Ident(_) | Expr::Unspecified => self.fault(expr, "the condition cannot be read", None),
        }
    }

    fn literal(&mut self, expr: &IdedExpr, literal: &LiteralValue) -> Option<Checked> {
        Some(Checked::value(match literal {
            LiteralValue::Boolean(value) => Typed::Flag(Flag::Is(Box::new(Bool::Const(*value.inner())))),
            LiteralValue::Int(value) => Typed::Long(Long::Const(*value.inner()), Meaning::Number),
            LiteralValue::Double(value) => Typed::Double(Double::Const(*value.inner())),
            LiteralValue::String(value) => Typed::Text(Text::Const(value.inner().into())),
            LiteralValue::Null => Typed::Null,
            LiteralValue::UInt(value) => {
                return self.fault(expr, "unsigned numbers are not supported", Some(format!("write `{}`", value.inner())));
            }
            LiteralValue::Bytes(_) => return self.fault(expr, "bytes can only be tested for null", None),
        }))
    }

    /// The place of a field, or a fault that says what was probably meant.
    fn index_of(&mut self, expr: &IdedExpr, path: &str) -> Option<usize> {
        if let Some(index) = self.shape.index_of(path) {
            self.fields.insert(index);
            return Some(index);
        }
        let prefix = format!("{path}.");
        let parts: Vec<_> =
            self.shape.fields.iter().filter(|field| field.path.starts_with(&prefix)).map(|field| format!("`{}`", field.path)).collect();
        if parts.is_empty() {
            let hint = meant(path, self.shape.fields.iter().map(|field| &*field.path)).or_else(|| fields_hint(self.shape));
            return self.fault(expr, format!("unknown field `{path}`"), hint);
        }
        self.fault(expr, format!("`{path}` is a group of fields"), Some(format!("name one of them: {}", shortened(&parts))))
    }

    fn field(&mut self, expr: &IdedExpr, path: &str, known: &Facts) -> Option<Checked> {
        let index = self.index_of(expr, path)?;
        let field = self.shape.fields.get(index)?;
        let typed = match &field.ty {
            Type::Boolean => Typed::Flag(Flag::Field(index)),
            Type::Long => Typed::Long(Long::Field(index), Meaning::Number),
            Type::Timestamp => Typed::Long(Long::Field(index), Meaning::Timestamp),
            Type::Double => Typed::Double(Double::Field(index)),
            Type::String => Typed::Text(Text::Field(index)),
            Type::Bytes => Typed::Bytes,
            Type::Strings => Typed::Strings(index),
            Type::Names(names) => Typed::Names(index, Arc::clone(names)),
        };
        let nullable = field.nullable && !known.contains(&index);
        Some(Checked { nullable, field: Some(index), ..Checked::value(typed) })
    }

    /// `has(x)`: the same as `x != null`.
    fn presence(&mut self, expr: &IdedExpr, operand: &IdedExpr, field: &str) -> Option<Checked> {
        let Some(path) = path_of(operand) else { return self.fault(expr, "has() takes a field", None) };
        let index = self.index_of(expr, &format!("{path}.{field}"))?;
        let present = Bool::Not(Box::new(Bool::FieldIsNull(index)));
        Some(Checked::flag_of_known(present, [Some(index)]))
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr, known: &Facts) -> Option<Checked> {
        use operators as op;
        let comparison = match call.func_name.as_str() {
            op::EQUALS => Comparison::Equal,
            op::NOT_EQUALS => Comparison::NotEqual,
            op::LESS => Comparison::Less,
            op::LESS_EQUALS => Comparison::LessOrEqual,
            op::GREATER => Comparison::Greater,
            op::GREATER_EQUALS => Comparison::GreaterOrEqual,
            _ => return self.operation(expr, call, known),
        };
        match call.args.as_slice() {
            [a, b] => self.compare(expr, comparison, (a, b), known),
            _ => self.fault(expr, "the condition cannot be read", None),
        }
    }

    fn operation(&mut self, expr: &IdedExpr, call: &CallExpr, known: &Facts) -> Option<Checked> {
        use operators as op;
        match (call.func_name.as_str(), call.args.as_slice()) {
            (op::LOGICAL_AND, [a, b]) => self.and(a, b, known),
            (op::LOGICAL_OR, [a, b]) => self.or(a, b, known),
            (op::LOGICAL_NOT, [a]) => {
                let a = self.condition(a, known)?;
                Some(Checked { when_true: a.when_false, when_false: a.when_true, ..Checked::flag(Bool::Not(Box::new(a.bool))) })
            }
            (op::CONDITIONAL, [test, a, b]) => self.conditional(expr, test, (a, b), known),
            (op::ADD, [a, b]) => self.arithmetic(expr, Arithmetic::Add, (a, b), known),
            (op::SUBSTRACT, [a, b]) => self.arithmetic(expr, Arithmetic::Subtract, (a, b), known),
            (op::MULTIPLY, [a, b]) => self.arithmetic(expr, Arithmetic::Multiply, (a, b), known),
            (op::DIVIDE, [a, b]) => self.arithmetic(expr, Arithmetic::Divide, (a, b), known),
            (op::MODULO, [a, b]) => self.arithmetic(expr, Arithmetic::Remainder, (a, b), known),
            (op::NEGATE, [a]) => self.negate(expr, a, known),
            (op::IN, [a, list]) => self.membership(expr, a, list, known),
            (op::INDEX | op::OPT_INDEX, [a, index]) => {
                let part = if let Expr::Literal(LiteralValue::String(name)) = &index.expr { Some(name.inner()) } else { None };
                let hint = path_of(a).zip(part).map(|(path, part)| format!("write `{path}.{part}`"));
                self.fault(expr, "`[...]` is not supported in conditions", hint)
            }
            _ => self.function(expr, call, known),
        }
    }

    fn and(&mut self, a: &IdedExpr, b: &IdedExpr, known: &Facts) -> Option<Checked> {
        let a = self.condition(a, known);
        let b = self.condition(b, &joined(known, a.as_ref().map(|a| &a.when_true)));
        let (a, b) = (a?, b?);
        let when_true: Facts = &a.when_true | &b.when_true;
        let when_false = &a.when_false & &(&a.when_true | &b.when_false);
        Some(Checked { when_true, when_false, ..Checked::flag(Bool::And(Box::new((a.bool, b.bool)))) })
    }

    fn or(&mut self, a: &IdedExpr, b: &IdedExpr, known: &Facts) -> Option<Checked> {
        let a = self.condition(a, known);
        let b = self.condition(b, &joined(known, a.as_ref().map(|a| &a.when_false)));
        let (a, b) = (a?, b?);
        let when_true = &a.when_true & &(&a.when_false | &b.when_true);
        let when_false = &a.when_false | &b.when_false;
        Some(Checked { when_true, when_false, ..Checked::flag(Bool::Or(Box::new((a.bool, b.bool)))) })
    }

    fn conditional(&mut self, expr: &IdedExpr, test: &IdedExpr, (a, b): (&IdedExpr, &IdedExpr), known: &Facts) -> Option<Checked> {
        let test = self.condition(test, known);
        let a_known = joined(known, test.as_ref().map(|test| &test.when_true));
        let b_known = joined(known, test.as_ref().map(|test| &test.when_false));
        let (a_checked, b_checked) = (self.check(a, &a_known), self.check(b, &b_known));
        let (test, a_checked, b_checked) = (test?, a_checked?, b_checked?);
        let nullable = a_checked.nullable || b_checked.nullable;
        if matches!((&a_checked.typed, &b_checked.typed), (Typed::Flag(_), Typed::Flag(_))) {
            let (a, b) = (self.truth(a, a_checked), self.truth(b, b_checked));
            let (a, b) = (a?, b?);
            let when_true = &(&test.when_true | &a.when_true) & &(&test.when_false | &b.when_true);
            let when_false = &(&test.when_true | &a.when_false) & &(&test.when_false | &b.when_false);
            return Some(Checked { when_true, when_false, ..Checked::flag(Bool::If(Box::new((test.bool, a.bool, b.bool)))) });
        }
        let typed = match (a_checked.typed, b_checked.typed) {
            (Typed::Long(a, meaning), Typed::Long(b, other)) if meaning == other => {
                Typed::Long(Long::If(Box::new((test.bool, a, b))), meaning)
            }
            (Typed::Double(a), Typed::Double(b)) => Typed::Double(Double::If(Box::new((test.bool, a, b)))),
            (Typed::Long(a, Meaning::Number), Typed::Double(b)) => {
                Typed::Double(Double::If(Box::new((test.bool, Double::FromLong(Box::new(a)), b))))
            }
            (Typed::Double(a), Typed::Long(b, Meaning::Number)) => {
                Typed::Double(Double::If(Box::new((test.bool, a, Double::FromLong(Box::new(b))))))
            }
            (Typed::Text(a), Typed::Text(b)) => Typed::Text(Text::If(Box::new((test.bool, a, b)))),
            (a, b) => return self.fault(expr, format!("the branches of `?:` differ: {} and {}", a.name(), b.name()), None),
        };
        Some(Checked { nullable, ..Checked::value(typed) })
    }
}

/// The path that a chain of names spells; none for anything else.
pub(super) fn path_of(expr: &IdedExpr) -> Option<String> {
    let (mut names, mut expr) = (Vec::new(), expr);
    while let Expr::Select(select) = &expr.expr
        && !select.test
    {
        names.push(select.field.as_str());
        expr = &select.operand;
    }
    let Expr::Ident(name) = &expr.expr else { return None };
    names.push(name);
    names.reverse();
    Some(names.join("."))
}

fn joined(known: &Facts, more: Option<&Facts>) -> Facts {
    more.map_or_else(|| known.clone(), |more| known | more)
}

fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown = names.get(..SHOWN.min(names.len())).unwrap_or_default().join(", ");
    if names.len() > SHOWN { format!("{shown}, ...") } else { shown }
}

/// A hint that lists what there is.
pub(crate) fn fields_hint(shape: &Shape) -> Option<String> {
    let names: Vec<_> = shape.fields.iter().map(|field| format!("`{}` ({})", field.path, type_name(&field.ty))).collect();
    (!names.is_empty()).then(|| format!("there are {}", shortened(&names)))
}
