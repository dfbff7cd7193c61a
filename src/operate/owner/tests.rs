//! That a client is told between transactions.

use std::io::Read;
use std::os::unix::net::UnixStream;

use super::*;

#[test]
fn bad_rows_are_told_after_the_commit() {
    let (mut client, stream) = UnixStream::pair().unwrap();
    client.set_nonblocking(true).unwrap();
    let mut reply = Reply::new(stream, Arc::default()).unwrap();
    let mut told = Told { reply: &mut reply, bad_rows: Vec::new() };
    let mut bytes = [0; 4096];
    told.bad_row(2, &Fault::Empty("video_id"));
    assert!(client.read(&mut bytes).is_err(), "something was told inside the transaction");
    told.committed(2);
    let length = client.read(&mut bytes).unwrap();
    let mut lines = std::str::from_utf8(&bytes[..length]).unwrap().lines();
    assert!(lines.next().unwrap().contains("bad_row"));
}
