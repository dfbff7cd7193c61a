//! The step of a latest node: read the video's row, compare, write it, pass the change on. Beside it the same with rows kept as they are in a hash
//! map and cloned where they are needed, which is how one would begin.

use std::collections::HashMap;
use std::hint::black_box;

use tidewatch::avro::{Row, Value};

use super::node::Driven;
use super::observations;
use super::pair::Pair;
use super::rows::{self, BATCH};

/// Observations of each video, each time with other counts.
const POLLS: u64 = 4;

fn observed() -> Vec<(String, Row)> {
    let observe = |index| {
        let mut row = Row { values: vec![Value::Null; 4] };
        observations::fill(&mut row, index, BATCH);
        (rows::key(index), row)
    };
    (0..POLLS * BATCH).map(observe).collect()
}

/// What changed, in the plainest way.
fn change(seen: &mut HashMap<String, Row>, key: &str, row: &Row) -> Option<Vec<(Value, Value)>> {
    let previous = seen.insert(key.to_owned(), row.clone())?;
    let is_changed = previous.values != row.values;
    is_changed.then(|| previous.values.into_iter().zip(row.values.iter().cloned()).collect())
}

/// Observations of [`BATCH`] videos, which change with every poll.
pub(crate) fn steps() -> Vec<Pair> {
    let observed = observed();
    let theirs = {
        let (observed, mut seen) = (observed.clone(), HashMap::new());
        Box::new(move || {
            for (key, row) in &observed {
                black_box(change(&mut seen, key, row));
            }
        })
    };
    let mut node = Driven::new(rows::plan().processor());
    let mut steps = 0;
    let ours = Box::new(move || {
        for (key, row) in &observed {
            node.process(key.as_bytes(), row);
        }
        steps += 1;
        assert!(node.forwarded() + BATCH >= steps * POLLS * BATCH, "every observation was to change something");
    });
    vec![Pair { name: "latest", records: POLLS * BATCH, ours, peer: "cloned rows", theirs }]
}
