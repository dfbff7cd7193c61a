//! Random schemas and values for the property tests: one seed, one schema.

use std::collections::HashMap;

use apache_avro::types::Value as Avro;
use serde_json::{Value as Json, json};

use super::{Schema, Value};

/// A small generator of random numbers (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// A long of any length.
    fn long(&mut self) -> i64 {
        let shift = self.next() % 64;
        self.next().cast_signed() >> shift
    }

    fn text(&mut self) -> String {
        let alphabet = ['a', 'Z', '0', ' ', '<', 'ß', 'ש', '🌊'];
        (0..self.below(12)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ty {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Millis,
    Micros,
    Fixed(String, usize),
    Enum(String, usize),
    Array(Box<Ty>),
    Map(Box<Ty>),
    Union(Vec<Ty>),
    Record(String, Vec<(String, Ty)>),
    /// A record that contains an array of itself.
    Tree(String),
}

/// What a generator makes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kinds {
    /// Everything that Avro has.
    All,
    /// What a row can hold.
    Selectable,
}

pub(crate) fn record(random: &mut Random, kinds: Kinds) -> Ty {
    let mut names = 0;
    record_at(random, kinds, 0, &mut names)
}

fn name(names: &mut usize) -> String {
    *names += 1;
    format!("T{names}")
}

fn record_at(random: &mut Random, kinds: Kinds, depth: usize, names: &mut usize) -> Ty {
    let name = name(names);
    let fields = (0..=random.below(5)).map(|index| (format!("f{index}"), ty(random, kinds, depth + 1, names))).collect();
    Ty::Record(name, fields)
}

fn scalar(random: &mut Random, names: &mut usize) -> Ty {
    match random.below(11) {
        0 => Ty::Boolean,
        1 => Ty::Int,
        2 => Ty::Long,
        3 => Ty::Float,
        4 => Ty::Double,
        5 => Ty::Bytes,
        6 => Ty::Millis,
        7 => Ty::Micros,
        8 => Ty::Fixed(name(names), random.below(4)),
        9 => Ty::Enum(name(names), 1 + random.below(3)),
        _ => Ty::String,
    }
}

fn ty(random: &mut Random, kinds: Kinds, depth: usize, names: &mut usize) -> Ty {
    let pick = random.below(if depth > 3 { 12 } else { 20 });
    match pick {
        12..=14 => {
            let inner = if pick == 12 && depth < 3 { record_at(random, kinds, depth, names) } else { scalar(random, names) };
            Ty::Union(if random.below(2) == 0 { vec![Ty::Null, inner] } else { vec![inner, Ty::Null] })
        }
        15 => record_at(random, kinds, depth, names),
        16 => Ty::Array(Box::new(Ty::String)),
        17 if kinds == Kinds::All => Ty::Array(Box::new(ty(random, kinds, depth + 1, names))),
        18 if kinds == Kinds::All => Ty::Map(Box::new(ty(random, kinds, depth + 1, names))),
        19 if kinds == Kinds::All => match random.below(3) {
            0 => Ty::Tree(name(names)),
            1 => Ty::Null,
            _ => Ty::Union(vec![Ty::String, Ty::Null, Ty::Long, record_at(random, kinds, depth, names), Ty::Array(Box::new(Ty::Null))]),
        },
        _ => scalar(random, names),
    }
}

impl Ty {
    pub(crate) fn json(&self) -> Json {
        match self {
            Self::Null => json!("null"),
            Self::Boolean => json!("boolean"),
            Self::Int => json!("int"),
            Self::Long => json!("long"),
            Self::Float => json!("float"),
            Self::Double => json!("double"),
            Self::Bytes => json!("bytes"),
            Self::String => json!("string"),
            Self::Millis => json!({"type": "long", "logicalType": "timestamp-millis"}),
            Self::Micros => json!({"type": "long", "logicalType": "timestamp-micros"}),
            Self::Fixed(name, size) => json!({"type": "fixed", "name": name, "size": size}),
            Self::Enum(name, symbols) => {
                json!({"type": "enum", "name": name, "symbols": (0..*symbols).map(|index| format!("S{index}")).collect::<Vec<_>>()})
            }
            Self::Array(items) => json!({"type": "array", "items": items.json()}),
            Self::Map(values) => json!({"type": "map", "values": values.json()}),
            Self::Union(branches) => branches.iter().map(Self::json).collect(),
            Self::Record(name, fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, ty)| json!({"name": name, "type": ty.json()})).collect();
                json!({"type": "record", "name": name, "fields": fields})
            }
            Self::Tree(name) => json!({"type": "record", "name": name, "fields": [
                {"name": "kids", "type": {"type": "array", "items": name}}, {"name": "leaf", "type": "string"}]}),
        }
    }

    /// A type that may or may not read this one: some part is another.
    pub(crate) fn changed(&self, random: &mut Random) -> Self {
        // Far from the names that are there.
        self.changed_with(random, &mut 1000)
    }

    fn changed_with(&self, random: &mut Random, names: &mut usize) -> Self {
        if random.below(8) == 0 {
            return scalar(random, names);
        }
        match self {
            Self::Int if random.below(2) == 0 => Self::Long,
            Self::Float if random.below(2) == 0 => Self::Double,
            Self::String if random.below(2) == 0 => Self::Bytes,
            Self::Enum(name, symbols) => Self::Enum(name.clone(), 1 + (symbols + random.below(2)) % 3),
            Self::Array(items) => Self::Array(Box::new(items.changed_with(random, names))),
            Self::Map(values) => Self::Map(Box::new(values.changed_with(random, names))),
            Self::Union(branches) if random.below(2) == 0 => branches[random.below(branches.len())].clone(),
            Self::Record(name, fields) => {
                let start = random.below(2).min(fields.len() - 1);
                let mut changed = |ty: &Self| if random.below(3) == 0 { ty.changed_with(random, names) } else { ty.clone() };
                Self::Record(name.clone(), fields[start..].iter().map(|(name, ty)| (name.clone(), changed(ty))).collect())
            }
            same => same.clone(),
        }
    }

    pub(crate) fn schema(&self) -> Schema {
        Schema::parse(&self.json().to_string()).unwrap()
    }

    pub(crate) fn value(&self, random: &mut Random) -> Avro {
        self.value_at(random, 0)
    }

    fn value_at(&self, random: &mut Random, depth: usize) -> Avro {
        let length = random.below(4);
        match self {
            Self::Null => Avro::Null,
            Self::Boolean => Avro::Boolean(random.below(2) == 1),
            Self::Int => Avro::Int(i32::try_from(random.long() >> 32).unwrap()),
            Self::Long => Avro::Long(random.long()),
            Self::Float => Avro::Float(f32::from(random.next().to_le_bytes()[0]) / 8.0),
            Self::Double => Avro::Double(f64::from(random.next().to_le_bytes()[0]) / 8.0),
            Self::Bytes => Avro::Bytes(random.bytes(length)),
            Self::String => Avro::String(random.text()),
            Self::Millis => Avro::TimestampMillis(random.long()),
            Self::Micros => Avro::TimestampMicros(random.long() / 1000 * 1000),
            Self::Fixed(_, size) => Avro::Fixed(*size, random.bytes(*size)),
            Self::Enum(_, symbols) => {
                let index = random.below(*symbols);
                Avro::Enum(u32::try_from(index).unwrap(), format!("S{index}"))
            }
            Self::Array(items) => Avro::Array((0..length).map(|_| items.value_at(random, depth + 1)).collect()),
            Self::Map(values) => {
                let pairs: HashMap<_, _> = (0..length).map(|index| (format!("k{index}"), values.value_at(random, depth + 1))).collect();
                Avro::Map(pairs)
            }
            Self::Union(branches) => {
                let index = random.below(branches.len());
                Avro::Union(u32::try_from(index).unwrap(), Box::new(branches[index].value_at(random, depth + 1)))
            }
            Self::Record(_, fields) => {
                Avro::Record(fields.iter().map(|(name, ty)| (name.clone(), ty.value_at(random, depth + 1))).collect())
            }
            Self::Tree(_) => {
                let kids = if depth > 8 { 0 } else { length / 2 };
                let kids = (0..kids).map(|_| self.value_at(random, depth + 1)).collect();
                Avro::Record(vec![("kids".into(), Avro::Array(kids)), ("leaf".into(), Avro::String(random.text()))])
            }
        }
    }
}

/// Apache Avro's bytes of a value.
pub(crate) fn written(schema: &Schema, value: &Avro) -> Vec<u8> {
    apache_avro::writer::datum::GenericDatumWriter::builder(schema.root()).build().unwrap().write_value_to_vec(value.clone()).unwrap()
}

/// What Apache Avro reads.
pub(crate) fn read(writer: &Schema, reader: &Schema, mut body: &[u8]) -> Result<Avro, apache_avro::Error> {
    apache_avro::reader::datum::GenericDatumReader::builder(writer.root()).reader_schema(reader.root()).build()?.read_value(&mut body)
}

/// The value at a dotted path of a record, as a row has it.
pub(crate) fn at(value: &Avro, path: &str) -> Value {
    path.split('.').try_fold(value.clone(), field).map_or(Value::Null, |value| leaf(&value))
}

fn field(value: Avro, name: &str) -> Option<Avro> {
    match value {
        Avro::Union(_, inner) => field(*inner, name),
        Avro::Record(fields) => fields.into_iter().find(|(known, _)| known == name).map(|(_, value)| value),
        Avro::Null => None,
        other => panic!("{name} of {other:?}"),
    }
}

fn leaf(value: &Avro) -> Value {
    match value {
        Avro::Null => Value::Null,
        Avro::Union(_, inner) => leaf(inner),
        Avro::Boolean(value) => Value::Boolean(*value),
        Avro::Int(value) => Value::Long(i64::from(*value)),
        Avro::Long(value) | Avro::TimestampMillis(value) => Value::Long(*value),
        Avro::TimestampMicros(value) => Value::Long(value.div_euclid(1000)),
        Avro::Float(value) => Value::Double(f64::from(*value)),
        Avro::Double(value) => Value::Double(*value),
        Avro::String(value) | Avro::Enum(_, value) => Value::String(value.clone()),
        Avro::Bytes(value) | Avro::Fixed(_, value) => Value::Bytes(value.clone()),
        Avro::Array(values) => Value::Strings(
            values.iter().map(|value| if let Avro::String(text) = value { text.clone() } else { panic!("{value:?}") }).collect(),
        ),
        other => panic!("{other:?}"),
    }
}
