//! What was measured, as Markdown: printed, and appended to a file where one is given, table by table, so that what breaks off leaves what it had.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

/// Where tables go.
#[derive(Debug)]
pub(crate) struct Report {
    file: Option<File>,
}

impl Report {
    pub(crate) fn new(out: Option<&Path>) -> Self {
        Self { file: out.map(|path| File::create(path).expect("the file of --out can be written")) }
    }

    /// A heading, or a paragraph.
    pub(crate) fn say(&mut self, text: &str) {
        println!("{text}\n");
        if let Some(file) = &mut self.file {
            writeln!(file, "{text}\n").unwrap();
        }
    }

    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
        let mut text = line(&head) + &line(&vec!["---".to_owned(); head.len()]).replace(' ', "");
        text.extend(rows.iter().map(|row| line(row)));
        self.say(text.trim_end());
    }
}

/// The one in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.as_slice() {
        [] => f64::NAN,
        even if even.len() % 2 == 0 => f64::midpoint(even[middle - 1], even[middle]),
        odd => odd[middle],
    }
}

/// Thousands apart.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for people")]
pub(crate) fn whole(value: f64) -> String {
    let digits = (value.max(0.0).round() as u64).to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Of a count.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn number(value: u64) -> f64 {
    value as f64
}
