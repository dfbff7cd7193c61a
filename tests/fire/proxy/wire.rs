//! As much of Kafka's protocol as it takes to know what passes: whose request it is, of what kind, and where an answer has its first error code.

use std::io::{self, Read};

/// The longest frame that is taken for one.
const FRAME_MAX: usize = 128 << 20;

/// Numbers of requests.
pub(crate) mod api {
    pub(crate) const PRODUCE: i16 = 0;
    pub(crate) const METADATA: i16 = 3;
    pub(crate) const INIT_PRODUCER_ID: i16 = 22;
    pub(crate) const ADD_PARTITIONS: i16 = 24;
    pub(crate) const ADD_OFFSETS: i16 = 25;
    pub(crate) const END_TXN: i16 = 26;
    pub(crate) const TXN_OFFSET_COMMIT: i16 = 28;
}

/// The next frame with its length before it; none at the end.
pub(super) fn read_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        outcome => outcome?,
    }
    let length = usize::try_from(i32::from_be_bytes(head)).map_err(io::Error::other)?;
    if length > FRAME_MAX {
        return Err(io::Error::other("this is no frame of Kafka's"));
    }
    let mut frame = vec![0; 4 + length];
    frame[..4].copy_from_slice(&head);
    from.read_exact(&mut frame[4..])?;
    Ok(Some(frame))
}

/// What a request says at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) api: i16,
    pub(super) version: i16,
    pub(super) correlation: i32,
    pub(super) client: String,
}

impl Request {
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes: frame, at: 4 };
        let (api, version, correlation) = (reader.short()?, reader.short()?, reader.int()?);
        let client = usize::try_from(reader.short()?).map_or(Some(&[][..]), |length| reader.take(length))?;
        Some(Self { api, version, correlation, client: String::from_utf8_lossy(client).into_owned() })
    }
}

/// The request that an answer belongs to.
pub(super) fn correlation_of(answer: &[u8]) -> Option<i32> {
    Reader { bytes: answer, at: 4 }.int()
}

/// Where the first error code of an answer is: that of the whole, or of its first partition. None where it has no partition or is not known here.
fn error_place(answer: &[u8], api: i16, version: i16) -> Option<usize> {
    let mut reader = Reader { bytes: answer, at: 8 };
    let flexible = match api {
        api::PRODUCE => version >= 9,
        api::INIT_PRODUCER_ID => version >= 2,
        api::TXN_OFFSET_COMMIT | api::ADD_PARTITIONS | api::ADD_OFFSETS | api::END_TXN => version >= 3,
        _ => return None,
    };
    if flexible {
        // Tagged fields of the header: none are ever sent.
        reader.take(1)?;
    }
    if api != api::PRODUCE {
        // The throttle time.
        reader.take(4)?;
    }
    if matches!(api, api::PRODUCE | api::TXN_OFFSET_COMMIT | api::ADD_PARTITIONS) {
        // The first topic of a list, the first partition of a list.
        reader.length(flexible, false)?;
        let name = reader.length(flexible, true)?;
        reader.take(name)?;
        reader.length(flexible, false)?;
        reader.take(4)?;
    }
    (reader.at + 2 <= answer.len()).then_some(reader.at)
}

/// The first error code of an answer.
pub(super) fn error_of(answer: &[u8], api: i16, version: i16) -> Option<i16> {
    let place = error_place(answer, api, version)?;
    Reader { bytes: answer, at: place }.short()
}

/// Puts another first error code into an answer; whether there is a place for one.
pub(super) fn set_error(answer: &mut [u8], api: i16, version: i16, code: i16) -> bool {
    let Some(place) = error_place(answer, api, version) else { return false };
    answer[place..place + 2].copy_from_slice(&code.to_be_bytes());
    true
}

/// The answer of a broker that does nothing but refuse. Only where an answer is one code for the whole.
pub(super) fn refusal(request: &Request, code: i16) -> Option<Vec<u8>> {
    let mut body = request.correlation.to_be_bytes().to_vec();
    let flexible = match request.api {
        api::INIT_PRODUCER_ID => request.version >= 2,
        api::ADD_OFFSETS | api::END_TXN => request.version >= 3,
        _ => return None,
    };
    body.extend(flexible.then_some(0));
    body.extend(0_i32.to_be_bytes());
    body.extend(code.to_be_bytes());
    if request.api == api::INIT_PRODUCER_ID {
        body.extend((-1_i64).to_be_bytes());
        body.extend((-1_i16).to_be_bytes());
    }
    body.extend(flexible.then_some(0));
    let length = i32::try_from(body.len()).ok()?;
    Some([&length.to_be_bytes()[..], &body].concat())
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn short(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// The length of a list or of a text, which must not be empty.
    fn length(&mut self, flexible: bool, text: bool) -> Option<usize> {
        let length = match (flexible, text) {
            (true, _) => self.varint()?.checked_sub(1)?,
            (false, true) => usize::try_from(self.short()?).ok()?,
            (false, false) => usize::try_from(self.int()?).ok()?,
        };
        (length > 0).then_some(length)
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}
