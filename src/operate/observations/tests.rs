//! What is read from files of observations, good and bad.

use std::io::Write;

use proptest::prelude::*;

use super::*;

fn of(text: impl Into<Vec<u8>>) -> Result<Observations, Error> {
    Observations::read("file.csv".to_owned(), Box::new(io::Cursor::new(text.into())))
}

/// Each row in a short form: `id title views likes comments`, or `line: fault | raw`.
fn rows(text: impl Into<Vec<u8>>) -> Vec<String> {
    all(&mut of(text).unwrap())
}

fn all(file: &mut Observations) -> Vec<String> {
    let mut rows = Vec::new();
    while let Some(row) = file.next_row().unwrap() {
        rows.push(match row {
            Row::Observation(o) => {
                let count = |count: Option<i64>| count.map_or("-".to_owned(), |count| count.to_string());
                let (views, likes, comments) = (count(o.views), count(o.likes), count(o.comments));
                format!("{} {} {} {views} {likes} {comments}", o.observed_at.0, o.video_id, o.title.unwrap_or("-"))
            }
            Row::Bad(bad) => format!("{}: {} | {}", bad.line, bad.fault, String::from_utf8_lossy(bad.raw)),
        });
    }
    rows
}

#[test]
fn columns_are_found_by_name_and_further_ones_ignored() {
    let text = "title,extra,video_id,comments,observed_at\n\"a, \"\"b\"\"\",x,v1,7,1970-01-01T00:00:01Z\n,,v2,,2000\n";
    assert_eq!(rows(text), ["1000 v1 a, \"b\" - - 7", "2000 v2 - - - -"]);
}

#[test]
fn a_missing_column_is_named_with_those_that_are_there() {
    let error = of("time,video_id,views\n1,v,2\n").unwrap_err().to_string();
    assert_eq!(error, "file.csv has no column observed_at; its columns are: time, video_id, views");
    let error = of("observed_at,video_id,likes,likes\n").unwrap_err().to_string();
    assert_eq!(error, "file.csv has the column likes twice");
    assert_eq!(of("").unwrap_err().to_string(), "file.csv is empty, a line of column names was expected");
}

#[test]
fn bad_rows_come_with_line_reason_and_raw_bytes() {
    let text = "observed_at,video_id,views\n\
                1,v1,1\n\
                yesterday,v1,2\n\
                3,,2\n\
                \n\
                4,v1,many\n\
                5,v1\n\
                6,v1,-1\n\
                7,v1,8,9\n\
                ,v1,8\n\
                8,v1,2.5\n\
                9,v1,2.0\n";
    let expected = [
        "1 v1 - 1 - -",
        "3: observed_at is not a time: \"yesterday\" | yesterday,v1,2",
        "4: video_id is empty | 3,,2",
        "6: views is not a whole number: \"many\" | 4,v1,many",
        "7: 2 cells, but there are 3 columns | 5,v1",
        "8: views is not a whole number: \"-1\" | 6,v1,-1",
        "9: 4 cells, but there are 3 columns | 7,v1,8,9",
        "10: observed_at is empty | ,v1,8",
        "11: views is not a whole number: \"2.5\" | 8,v1,2.5",
        "9 v1 - 2 - -",
    ];
    assert_eq!(rows(text), expected);
    let expected: Vec<_> = expected.iter().map(|row| (*row).to_owned()).collect();
    assert_eq!(rows(text.replace('\n', "\r\n")), expected, "with the line ends of Windows");
    assert_eq!(rows(format!("\u{feff}{text}")), expected, "with a byte order mark");
    assert_eq!(rows(text.trim_end()), expected, "without a line end at the end");
}

#[test]
fn a_title_may_hold_lines_emoji_and_right_to_left_text() {
    let text = "observed_at,video_id,title\n1,v1,\"a\nb\"\n2,v2,שלום 👋🏽 <&>\n3,v\n";
    assert_eq!(rows(text), ["1 v1 a\nb - - -", "2 v2 שלום 👋🏽 <&> - - -", "5: 2 cells, but there are 3 columns | 3,v"]);
}

#[test]
fn a_stray_quote_costs_its_own_line_only() {
    let text = "observed_at,video_id,title\n1,v1,a\n2,\"v2,b\n3,v3,c\nx,v4,d\n4,v4,d\n";
    let expected = [
        "1 v1 a - - -",
        "3: 2 cells, but there are 3 columns | 2,\"v2,b",
        "3 v3 c - - -",
        "5: observed_at is not a time: \"x\" | x,v4,d",
        "4 v4 d - - -",
    ];
    assert_eq!(rows(text), expected);
}

#[test]
fn a_stray_quote_in_a_large_file_costs_its_own_line_only() {
    use std::fmt::Write as _;
    let mut text = "observed_at,video_id,title\n2,\"v2,b\n".to_owned();
    for row in 0..20_000 {
        writeln!(text, "{row},v{row},title").unwrap();
    }
    text.push_str("x,v,last\n");
    let rows = rows(text);
    assert_eq!(rows.len(), 20_002);
    assert_eq!(rows[0], "2: longer than 65536 bytes, or a quote that is never closed | 2,\"v2,b");
    assert_eq!(rows[1], "0 v0 title - - -");
    assert_eq!(rows[20_000], "19999 v19999 title - - -");
    assert_eq!(rows[20_001], "20003: observed_at is not a time: \"x\" | x,v,last");
}

#[test]
fn bytes_that_are_no_text_are_a_fault_of_their_row() {
    let text = b"observed_at,video_id,title\n1,v1,\xff\n2,v2,ok\n".to_vec();
    assert_eq!(rows(text), ["2: title is not UTF-8 text | 1,v1,\u{fffd}", "2 v2 ok - - -"]);
}

#[test]
fn a_gzip_file_is_known_by_its_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain-name.csv");
    let mut zip = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    zip.write_all(b"observed_at,video_id\n1,v1\n").unwrap();
    zip.finish().unwrap();
    let mut file = Observations::open(&path, Box::new(|_| ())).unwrap();
    assert_eq!(all(&mut file), ["1 v1 - - - -"]);

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let mut file = Observations::open(&path, Box::new(|_| ())).unwrap();
    file.next_row().unwrap();
    assert_eq!(file.next_row().unwrap_err().to_string(), format!("{} cannot be read", path.display()));
}

#[test]
fn a_file_is_known_by_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    std::fs::write(&one, "a").unwrap();
    std::fs::write(&two, "a").unwrap();
    assert_eq!(content_hash(&one).unwrap(), content_hash(&two).unwrap());
    std::fs::write(&two, "b").unwrap();
    assert_ne!(content_hash(&one).unwrap(), content_hash(&two).unwrap());
    assert!(matches!(content_hash(folder.path()), Err(Error::NotAFile { .. })));
    assert!(matches!(content_hash(&folder.path().join("none")), Err(Error::Io { .. })));
}

/// A row that is good: time, id, counts, title.
type Good = (i64, String, [Option<i64>; 3], Option<String>);

fn good() -> impl Strategy<Value = Good> {
    let count = || prop::option::of(0..i64::MAX);
    // No white space around it: that is cut off. No line of its own that could be taken for a row.
    let title = prop::option::of("[a-zé\",\n\r🎬]{0,4}[a-zé🎬]");
    (any::<i64>(), "[A-Za-z0-9_-]{11}", [count(), count(), count()], title)
        .prop_map(|(at, id, counts, title)| (at, id, counts, title.map(|title| title.trim().to_owned())))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_as_csv_is_read_back(rows in prop::collection::vec(good(), 0..20), zipped: bool, crlf: bool) {
        let ends = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut out = csv::WriterBuilder::new().terminator(ends).from_writer(Vec::new());
        out.write_record(["title", "observed_at", "more", "video_id", "views", "likes", "comments"]).unwrap();
        let cell = |count: Option<i64>| count.map_or_else(String::new, |count| count.to_string());
        for (at, id, [views, likes, comments], title) in &rows {
            let (at, counts) = (at.to_string(), [*views, *likes, *comments].map(cell));
            let [views, likes, comments] = &counts;
            out.write_record([title.as_deref().unwrap_or_default(), &at, "x", id, views, likes, comments]).unwrap();
        }
        let mut bytes = out.into_inner().unwrap();
        if zipped {
            let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            zip.write_all(&bytes).unwrap();
            bytes = zip.finish().unwrap();
        }
        let mut file = Observations::of("file.csv".to_owned(), Box::new(io::Cursor::new(bytes))).unwrap();
        let mut read: Vec<Good> = Vec::new();
        while let Some(row) = file.next_row().unwrap() {
            let Row::Observation(o) = row else { panic!("{row:?}") };
            read.push((o.observed_at.0, o.video_id.to_owned(), [o.views, o.likes, o.comments], o.title.map(str::to_owned)));
        }
        prop_assert_eq!(read, rows);
    }
}
