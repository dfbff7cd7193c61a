//! The curves, as an SVG: a row of panels for processor time, one for memory, a column for what grows.

use std::fmt::Write as _;

use super::measured::Figures;

/// Points with what was measured there.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(String, Figures)>,
}

const WIDTH: f64 = 230.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 40.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 34.0;

type Metric = fn(&Figures) -> f64;

const ROWS: [(&str, Metric, &str); 2] =
    [("processor time, us a record", |figures| figures.cpu_us, "#1b6ca8"), ("peak memory, MiB", |figures| figures.peak_mib, "#c8553d")];

/// Draws all of them.
pub(crate) fn svg(curves: &[Curve]) -> String {
    let columns = u32::try_from(curves.len()).unwrap();
    let (width, height) = (f64::from(columns) * WIDTH, 2.0 * HEIGHT);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"10\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (row, (title, metric, colour)) in (0_u32..).zip(ROWS) {
        for (column, curve) in (0_u32..).zip(curves) {
            let place = (f64::from(column) * WIDTH, f64::from(row) * HEIGHT);
            let values: Vec<(&str, f64)> = curve.points.iter().map(|(label, figures)| (label.as_str(), metric(figures))).collect();
            let most = values.iter().map(|(_, value)| *value).fold(0.0, f64::max) * 1.1;
            panel(&mut out, place, &format!("{title} / {}", curve.name), &values, (most, colour));
        }
    }
    out + "</svg>\n"
}

fn panel(out: &mut String, (left, top): (f64, f64), title: &str, values: &[(&str, f64)], (most, colour): (f64, &str)) {
    let (inner, floor) = (HEIGHT - TOP - BOTTOM, top + HEIGHT - BOTTOM);
    let steps = f64::from(u32::try_from(values.len()).unwrap() - 1).max(1.0);
    let end = left + WIDTH - 12.0;
    writeln!(out, "<text x=\"{:.0}\" y=\"{:.0}\" font-weight=\"bold\">{title}</text>", left + 8.0, top + 16.0).unwrap();
    writeln!(out, "<line x1=\"{:.0}\" x2=\"{end:.0}\" y1=\"{floor:.0}\" y2=\"{floor:.0}\" stroke=\"#bbb\"/>", left + LEFT).unwrap();
    writeln!(out, "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">0</text>", left + LEFT - 6.0, floor + 3.0).unwrap();
    writeln!(out, "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{most:.0}</text>", left + LEFT - 6.0, top + TOP + 3.0).unwrap();
    let mut line = String::new();
    for (place, (label, value)) in (0_u32..).zip(values) {
        let x = left + LEFT + 14.0 + (WIDTH - LEFT - 54.0) * f64::from(place) / steps;
        let y = floor - inner * value / most;
        write!(line, "{x:.1},{y:.1} ").unwrap();
        writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>").unwrap();
        writeln!(out, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{colour}\">{value:.1}</text>", y - 6.0).unwrap();
        writeln!(out, "<text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{label}</text>", floor + 14.0).unwrap();
    }
    writeln!(out, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\" points=\"{}\"/>", line.trim_end()).unwrap();
}
