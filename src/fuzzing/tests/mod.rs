//! Replays the inputs that are kept in `tests/fuzz`: in `corpus` those that lead somewhere new, in `found` those with which a fault was found.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

mod generated;

/// As much as the main thread has, on which a topology file is read; the code under test is not optimised here.
const STACK_BYTES: usize = 8 << 20;

fn folder(kind: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(kind).join(name)
}

/// The files of a folder, sorted; none where there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn run(target: Target, input: &[u8]) {
    let used = allocation_counter::measure(|| target.run(input));
    target.check_memory(input, used.bytes_max);
}

/// Runs all inputs of a target on a thread of their own; says which one it was where one fails.
fn replay(name: &str) {
    let target = target(name).unwrap();
    let corpus = files(&folder("corpus", name));
    assert!(corpus.len() > 3, "{name}: the inputs that are kept were not found");
    for path in corpus.into_iter().chain(files(&folder("found", name))) {
        let input = fs::read(&path).unwrap();
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || run(target, &input));
        assert!(thread.unwrap().join().is_ok(), "{}", path.display());
    }
}

macro_rules! replayed {
    ($($name:ident)*) => {
        /// The targets that have a test.
        const REPLAYED: &[&str] = &[$(stringify!($name)),*];

        mod replays {
            $(#[test]
            fn $name() {
                super::replay(stringify!($name));
            })*
        }
    };
}

replayed!(avro schema wire json youtube telegram text topology condition template csv rows log socket);

#[test]
fn every_target_is_replayed_and_every_folder_is_that_of_a_target() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, REPLAYED);
    for path in ["corpus", "found"].iter().flat_map(|kind| files(&folder(kind, ""))) {
        assert!(names.iter().any(|name| path.ends_with(name)), "{}", path.display());
    }
}

#[test]
fn an_input_that_takes_too_much_memory_is_a_fault() {
    let hungry = of("hungry", |input| drop(std::hint::black_box(vec![0_u8; input.len() << 10])), 1, 4);
    run(hungry, b"");
    let caught = std::panic::catch_unwind(|| run(hungry, &[0; 64])).unwrap_err();
    assert_eq!(*caught.downcast::<String>().unwrap(), "hungry: 65536 bytes for an input of 64 bytes, 1280 are allowed");
}

#[test]
fn an_input_is_taken_apart_whatever_it_is() {
    let mut input = &b"a\0\0b"[..];
    let parts: Vec<_> = (0..4).map(|_| input::part(&mut input)).collect();
    assert_eq!(parts, [&b"a"[..], b"", b"b", b""]);
    let mut input = &b"\0\x01ab\0\0c"[..];
    assert_eq!(input::run(&mut input), Some(&b"a"[..]));
    assert_eq!(input::run(&mut input), Some(&b"\0c"[..]), "as much as there is");
    assert_eq!(input::run(&mut input), None);
}
