//! Which partition a key is in.

/// The partition of a key, as Kafka's clients choose it.
pub(super) fn partition_of(key: &str, partitions: i32) -> i32 {
    i32::try_from((murmur2(key.as_bytes()) & 0x7fff_ffff) % u32::try_from(partitions).unwrap()).unwrap()
}

fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ u32::try_from(bytes.len()).unwrap();
    let chunks = bytes.chunks_exact(4);
    let rest = chunks.remainder();
    for chunk in chunks {
        let mut word = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        word = (word ^ (word >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    if !rest.is_empty() {
        let tail = rest.iter().enumerate().fold(0, |tail, (place, byte)| tail | u32::from(*byte) << (8 * place));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}
