//! Whether data of one schema can be read with another: the rules of Avro's schema resolution, for all that the writer may have written.
//!
//! Apache Avro's own check gives no path and stops at references; it is the oracle of the tests.

use std::collections::{HashMap, HashSet};

use apache_avro::schema::{Name, RecordSchema};

use super::Schema;
use super::decoder::describe;
use super::schema::{Kind, Node};

/// Where a reader's schema cannot read what a writer's wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", if .path.is_empty() { String::new() } else { format!("field {}: ", .path) })]
pub struct Incompatible {
    /// The path of the reader's field; empty for the whole.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Checks that every record of `writer` can be read with `reader` (Confluent's BACKWARD, with the new schema as the reader).
pub fn check_readable(writer: &Schema, reader: &Schema) -> Result<(), Incompatible> {
    Check { writer, reader, open: HashSet::new(), refused: HashMap::new(), depth: 0 }.check(writer.root(), reader.root(), "")
}

struct Check<'a> {
    writer: &'a Schema,
    reader: &'a Schema,
    /// Records that are being compared or were found to fit: what contains itself is compared once.
    open: HashSet<(&'a Name, &'a Name)>,
    /// Records that were found not to fit, and why: that they were taken to fit within themselves cannot have been the reason.
    refused: HashMap<(&'a Name, &'a Name), String>,
    depth: usize,
}

/// Records within records: bounds the stack.
const DEPTH_MAX: usize = 200;

impl<'a> Check<'a> {
    fn check(&mut self, from: &'a Node, to: &'a Node, path: &str) -> Result<(), Incompatible> {
        let (writer, reader) = (self.writer, self.reader);
        let fail = |reason: String| Err(Incompatible { path: path.to_owned(), reason });
        match (writer.kind(from), reader.kind(to)) {
            (Kind::Union(branches), _) => branches.iter().try_for_each(|branch| self.check(branch, to, path)),
            (_, Kind::Union(branches)) => {
                if branches.iter().any(|branch| self.clone_open(|check| check.check(from, branch, path)).is_ok()) {
                    return Ok(());
                }
                fail(format!("{} is no branch of {}", describe(writer, from), describe(reader, to)))
            }
            (Kind::Null, Kind::Null)
            | (Kind::Boolean, Kind::Boolean)
            | (Kind::Int, Kind::Int | Kind::Long | Kind::Float | Kind::Double)
            | (Kind::Long, Kind::Long | Kind::Float | Kind::Double)
            | (Kind::Float, Kind::Float | Kind::Double)
            | (Kind::Double, Kind::Double)
            | (Kind::String | Kind::Bytes, Kind::String | Kind::Bytes) => self.decimals(from, to, path),
            (Kind::Array(from), Kind::Array(to)) | (Kind::Map(from), Kind::Map(to)) => self.check(from, to, path),
            (Kind::Fixed(size), Kind::Fixed(wanted)) => {
                self.names(from, to, path)?;
                if size != wanted {
                    return fail(format!("{size} bytes were written, {wanted} are read"));
                }
                self.decimals(from, to, path)
            }
            (Kind::Enum(written), Kind::Enum(read)) => {
                self.names(from, to, path)?;
                match written.symbols.iter().find(|symbol| !read.symbols.contains(symbol)) {
                    Some(symbol) if read.default.is_none() => fail(format!("the symbol {symbol} is gone, and the enum has no default")),
                    _ => Ok(()),
                }
            }
            (Kind::Record(written), Kind::Record(read)) => {
                self.names(from, to, path)?;
                self.pair(written, read, path)
            }
            _ => fail(format!("{} was written, {} is read", describe(writer, from), describe(reader, to))),
        }
    }

    /// Compares two records once, however often they occur.
    fn pair(&mut self, written: &'a RecordSchema, read: &'a RecordSchema, path: &str) -> Result<(), Incompatible> {
        let pair = (&written.name, &read.name);
        if let Some(reason) = self.refused.get(&pair) {
            return Err(Incompatible { path: path.to_owned(), reason: reason.clone() });
        }
        if !self.open.insert(pair) {
            return Ok(());
        }
        if self.depth >= DEPTH_MAX {
            return Err(Incompatible { path: path.to_owned(), reason: "records are nested too deeply to be compared".to_owned() });
        }
        self.depth += 1;
        let fits = self.record(written, read, path);
        self.depth -= 1;
        fits.inspect_err(|error| drop(self.refused.insert(pair, error.reason.clone())))
    }

    fn record(&mut self, written: &'a RecordSchema, read: &'a RecordSchema, path: &str) -> Result<(), Incompatible> {
        for field in &read.fields {
            let path = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
            let named = |name: &String| written.fields.iter().find(|field| field.name == *name);
            match named(&field.name).or_else(|| field.aliases.iter().find_map(named)) {
                Some(source) => self.check(&source.schema, &field.schema, &path)?,
                None if field.default.is_some() => {}
                None => return Err(Incompatible { path, reason: "it was not written and has no default".to_owned() }),
            }
        }
        Ok(())
    }

    /// Runs a check whose failure leaves no trace.
    fn clone_open<T>(&mut self, check: impl FnOnce(&mut Self) -> Result<T, Incompatible>) -> Result<T, Incompatible> {
        let open = self.open.clone();
        check(self).inspect_err(|_| self.open = open)
    }

    /// Named types must have the same name, whatever the namespace, or one that is an alias of the reader's.
    fn names(&self, from: &'a Node, to: &'a Node, path: &str) -> Result<(), Incompatible> {
        let (from, to) = (self.writer.resolve(from), self.reader.resolve(to));
        let (Some(written), Some(read)) = (from.name(), to.name()) else { return Ok(()) };
        let mut aliases = to.aliases().into_iter().flatten();
        if written.name() == read.name() || aliases.any(|alias| alias.name() == written.name()) {
            return Ok(());
        }
        Err(Incompatible { path: path.to_owned(), reason: format!("the type was called {} and is called {}", written.name(), read.name()) })
    }

    fn decimals(&self, from: &'a Node, to: &'a Node, path: &str) -> Result<(), Incompatible> {
        let (Node::Decimal(from), Node::Decimal(to)) = (self.writer.resolve(from), self.reader.resolve(to)) else { return Ok(()) };
        if (from.precision, from.scale) == (to.precision, to.scale) {
            return Ok(());
        }
        let reason = format!(
            "a decimal of {} digits and scale {} was written, one of {} and {} is read",
            from.precision, from.scale, to.precision, to.scale
        );
        Err(Incompatible { path: path.to_owned(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(writer: &str, reader: &str) -> Result<(), String> {
        let field = |ty: &str| Schema::parse(&format!(r#"{{"type":"record","name":"r","fields":[{{"name":"x","type":{ty}}}]}}"#)).unwrap();
        check_readable(&field(writer), &field(reader)).map_err(|error| error.to_string())
    }

    #[test]
    fn promotions_go_one_way() {
        assert_eq!(check("\"int\"", "\"long\""), Ok(()));
        assert_eq!(check("\"long\"", "\"int\""), Err("field x: long was written, int is read".to_owned()));
        assert_eq!(check("\"bytes\"", "\"string\""), Ok(()));
    }

    #[test]
    fn null_may_be_added_and_not_taken_away() {
        assert_eq!(check("\"int\"", "[\"null\",\"long\"]"), Ok(()));
        assert_eq!(check("[\"null\",\"long\"]", "\"long\""), Err("field x: null was written, long is read".to_owned()));
        assert_eq!(
            check("[\"null\",\"string\",\"boolean\"]", "[\"string\",\"null\"]"),
            Err("field x: boolean is no branch of union of string, null".to_owned())
        );
    }

    #[test]
    fn records_of_many_branches_are_compared_once() {
        // Each record may hold any of those before it, and is refused for its last field.
        let schema = |last: &str| {
            let record = |level: usize| {
                let before = (0..level).map(|level| format!("\"A{level}\"")).chain(["\"null\"".to_owned()]).collect::<Vec<_>>().join(",");
                format!(r#"{{"type":"record","name":"A{level}","fields":[{{"name":"n","type":[{before}]}},{{"name":"z","type":{last}}}]}}"#)
            };
            format!("[{}]", (0..24).map(record).collect::<Vec<_>>().join(","))
        };
        assert!(check(&schema("\"long\""), &schema("\"int\"")).unwrap_err().starts_with("field x: record A0 is no branch of"));
        assert_eq!(check(&schema("\"int\""), &schema("\"long\"")), Ok(()));
    }

    #[test]
    fn a_new_field_needs_a_default() {
        let empty = Schema::parse(r#"{"type":"record","name":"r","fields":[]}"#).unwrap();
        let with =
            |rest: &str| Schema::parse(&format!(r#"{{"type":"record","name":"r","fields":[{{"name":"x","type":"int"{rest}}}]}}"#)).unwrap();
        assert_eq!(check_readable(&empty, &with(r#","default":1"#)), Ok(()));
        assert_eq!(check_readable(&empty, &with("")).unwrap_err().to_string(), "field x: it was not written and has no default");
        assert_eq!(check_readable(&with(""), &empty), Ok(()));
    }

    #[test]
    fn symbols_may_be_added_and_names_must_agree() {
        let of = |name: &str, symbols: &str| format!(r#"{{"type":"enum","name":"{name}","symbols":[{symbols}]}}"#);
        assert_eq!(check(&of("e", "\"A\""), &of("e", "\"B\",\"A\"")), Ok(()));
        assert_eq!(
            check(&of("e", "\"A\",\"B\""), &of("e", "\"B\"")),
            Err("field x: the symbol A is gone, and the enum has no default".to_owned())
        );
        assert_eq!(check(&of("e", "\"A\""), &of("f", "\"A\"")), Err("field x: the type was called e and is called f".to_owned()));
    }

    #[test]
    fn a_record_within_itself_is_compared_once() {
        let list = |item: &str| {
            Schema::parse(&format!(
                r#"{{"type":"record","name":"l","fields":[{{"name":"next","type":["null","l"]}},{{"name":"x","type":"{item}"}}]}}"#
            ))
            .unwrap()
        };
        assert_eq!(check_readable(&list("int"), &list("long")), Ok(()));
        assert_eq!(check_readable(&list("long"), &list("int")).unwrap_err().path, "x");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1000))]

        #[test]
        fn agrees_with_apache_avro(seed: u64) {
            use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
            use crate::avro::arbitrary::{Kinds, Random, record};
            let mut random = Random(seed);
            let writer = record(&mut random, Kinds::All);
            let reader = writer.changed(&mut random);
            let (writer, reader) = (writer.schema(), reader.schema());
            let expected = SchemaCompatibility::can_read(writer.root(), reader.root());
            let found = check_readable(&writer, &reader);
            proptest::prop_assert_eq!(found.is_ok(), expected == Ok(Compatibility::Full), "{:?}, {:?}: {} from {}", found, expected, reader.text(), writer.text());
        }
    }
}
