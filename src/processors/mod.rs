//! The node types of a topology file, with the conditions and templates that they use.
//!
//! Each node type has `Options` (what the file says), a `Plan` (the options checked against the shape of its input: built
//! once, shared by all tasks, knows the output's shape and the layout of the stored state) and a processor that a plan
//! makes for each task. What is wrong with the options comes back as [`OptionFault`]s, all at once.

pub mod condition;
pub mod fault;
pub mod filter;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod latest;
mod message;
pub mod milestone;
pub mod notify;
pub mod template;
#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
mod varint;
mod view;

pub use condition::Condition;
pub use fault::{Fault, OptionFault, did_you_mean};
pub use message::{MessageOptions, event_id, message_shape};
pub use template::{Escape, Template};

/// The stable 32-bit name of a field in stored rows: the upper half of the XXH3-64 of its path.
fn path_hash(path: &str) -> u32 {
    let [a, b, c, d, ..] = xxhash_rust::xxh3::xxh3_64(path.as_bytes()).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// The name of a type in layouts and messages.
pub(crate) fn type_name(ty: &crate::avro::Type) -> &'static str {
    use crate::avro::Type;
    match ty {
        Type::Boolean => "boolean",
        Type::Long => "long",
        Type::Timestamp => "timestamp",
        Type::Double => "double",
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Strings => "strings",
        Type::Names(_) => "names",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hash_of_a_path_never_changes() {
        assert_eq!(super::path_hash("views"), 2_916_374_751);
    }
}
