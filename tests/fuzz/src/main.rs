//! The fuzzer: one binary for all targets, which are functions of the library; `TIDEWATCH_FUZZ_TARGET` names the one to run.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tidewatch::fuzzing::{Target, target};

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("TIDEWATCH_FUZZ_TARGET").unwrap_or_default();
        let target = target(&name).unwrap_or_else(|| panic!("TIDEWATCH_FUZZ_TARGET: there is no target {name:?}"));
        TARGET.get_or_init(|| target);
    },
    |data: &[u8]| {
        let target = TARGET.get().expect("the target is chosen before the first input");
        let used = allocation_counter::measure(|| target.run(data));
        target.check_memory(data, used.bytes_max);
    }
);
