//! The same work done twice: by this program, and by what one would take instead. Criterion measures both; the check compares them.

use criterion::{Criterion, Throughput};

use super::cpu::ProcessorTime;

/// Work on [`Pair::records`] records, to be repeated.
pub(crate) type Step = Box<dyn FnMut()>;

/// Ours and theirs.
pub(crate) struct Pair {
    /// What is done; a criterion group.
    pub(crate) name: &'static str,
    /// Records of one step.
    pub(crate) records: u64,
    pub(crate) ours: Step,
    /// What it is compared with.
    pub(crate) peer: &'static str,
    pub(crate) theirs: Step,
}

/// Measures both sides of each pair; the figures count records.
pub(crate) fn measure(criterion: &mut Criterion<ProcessorTime>, pairs: Vec<Pair>) {
    for Pair { name, records, mut ours, peer, mut theirs } in pairs {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(records));
        group.bench_function("tidewatch", |bencher| bencher.iter(&mut ours));
        group.bench_function(peer, |bencher| bencher.iter(&mut theirs));
        group.finish();
    }
}
