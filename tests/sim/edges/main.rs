//! Runs seeds.

use std::collections::BTreeMap;

#[path = "mod.rs"]
mod all;

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let (from, count) = (args.first().copied().unwrap_or(0), args.get(1).copied().unwrap_or(100));
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut failed = 0;
    for seed in from..from + count {
        let report = if args.len() > 2 { all::poller::run(seed, args[2]) } else { all::run(seed) };
        for (name, count) in report.counts {
            *counts.entry(name).or_default() += count;
        }
        if let Some(first) = report.violations.first() {
            failed += 1;
            println!("seed {seed}: {first}");
            if count == 1 {
                println!("{}\n{:#?}", report.trace.join("\n"), report.violations);
            }
        }
    }
    println!("{counts:#?}\n{failed} of {count} failed");
}
