//! What the rows of the shipped node types mean: read byte by byte as their layouts are written down (`processors/latest/state.rs`, `processors/milestone`),
//! without their code.

use xxhash_rust::xxh3::xxh3_64;

use crate::disk::Rows;
use crate::oracle::Video;

const LONG: u8 = 2;
const STRING: u8 = 5;
/// In place of a type, of the value before: the same value, or none.
const EQUAL: u8 = 14;
const NONE: u8 = 15;

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// Zig-zag, seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<i64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        None
    }

    fn path(&mut self) -> Option<&'static str> {
        let hash = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        ["title", "views", "likes"].into_iter().find(|path| xxh3_64(path.as_bytes()) >> 32 == u64::from(hash))
    }

    /// Passes over the time at which a value was seen, where it is spelt out.
    fn seen(&mut self, place: u8) -> Option<()> {
        if place == 2 {
            self.number()?;
            self.number()?;
        }
        Some(())
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }
}

/// The last values of a video; none where the row is malformed.
fn latest(row: &[u8]) -> Option<Video> {
    let mut cursor = Cursor(row);
    let (version, flags) = (cursor.byte()?, cursor.byte()?);
    let mut video = Video { offset: cursor.number()?, observed_at: cursor.number()?, ..Video::default() };
    if flags & 1 == 1 {
        cursor.number()?;
        cursor.number()?;
    }
    while !cursor.0.is_empty() {
        let (path, tags, places) = (cursor.path()?, cursor.byte()?, cursor.byte()?);
        cursor.seen(places & 3)?;
        match (path, tags & 0xf) {
            ("title", STRING) => video.title = Some(cursor.text()?),
            ("views", LONG) => video.views = Some(cursor.number()?),
            ("likes", LONG) => video.likes = Some(cursor.number()?),
            _ => return None,
        }
        if tags >> 4 != NONE {
            cursor.seen(places >> 2)?;
        }
        match tags >> 4 {
            EQUAL | NONE => {}
            STRING => drop(cursor.text()?),
            LONG => drop(cursor.number()?),
            _ => return None,
        }
    }
    (version == 1).then_some(video)
}

/// The high-water mark of the views; none where the row is malformed.
fn mark(row: &[u8]) -> Option<i64> {
    let mut cursor = Cursor(row);
    let is_known = cursor.byte()? == 1 && cursor.path()? == "views" && cursor.byte()? == LONG;
    cursor.number().filter(|_| is_known && cursor.0.is_empty())
}

/// What the rows of a store mean, in words; chains and ticks mean what they are.
pub(crate) fn meanings(store: &str, rows: Rows) -> Rows {
    let meaning = |row: Vec<u8>| match store {
        "latest" => latest(&row).map_or(row, |video| video.to_string().into_bytes()),
        "marks" => mark(&row).map_or(row, |mark| mark.to_string().into_bytes()),
        _ => row,
    };
    rows.into_iter().map(|(key, row)| (key, meaning(row))).collect()
}
