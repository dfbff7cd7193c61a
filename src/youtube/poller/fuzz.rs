//! Fuzz target: the records of the state topic.

use super::memory::Memory;

/// Keys and values by turns, each up to a zero byte; an empty value is a tombstone.
pub(crate) fn memory(mut input: &[u8]) {
    let mut memory = Memory::default();
    while !input.is_empty() {
        let (key, value) = (crate::fuzzing::input::part(&mut input), crate::fuzzing::input::part(&mut input));
        memory.apply(Some(key), (!value.is_empty()).then_some(value));
    }
    memory.apply(None, None);
    let ledger = memory.ledger();
    let ids: Vec<String> = memory.videos().keys().cloned().collect();
    assert!(memory.present() <= ids.len());
    // What is written anew is read back.
    let videos: Vec<_> = ids.iter().filter_map(|id| Some((id.clone(), memory.video(id)?.clone()))).collect();
    for (id, video) in &videos {
        memory.set_video(id, video.clone());
    }
    memory.poll_mut();
    if let Some(ledger) = ledger {
        memory.set_ledger(ledger);
    }
    let changes = memory.changes().unwrap_or_else(|error| panic!("{error}"));
    let mut again = Memory::default();
    for (key, value) in &changes {
        again.apply(Some(key.as_bytes()), value.as_deref());
    }
    assert_eq!(again.videos(), memory.videos());
    assert_eq!((again.poll(), again.ledger()), (memory.poll(), ledger));
    memory.keep(|_| false, |_| false);
    assert_eq!(memory.refused().count(), 0);
}
