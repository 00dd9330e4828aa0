//! A plot as SVG: lines over a logarithmic axis.

use std::fmt::Write;

pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    pub(crate) lines: Vec<Line>,
}

pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(usize, f64)>,
}

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 420.0;
/// Where the lines are: left, right, top, bottom.
const AREA: (f64, f64, f64, f64) = (70.0, 490.0, 50.0, 360.0);
const COLORS: [&str; 8] = ["#0b6e4f", "#c0392b", "#2c5aa0", "#8e6c00", "#5fb49c", "#e59a91", "#92b4e3", "#d9bf67"];

impl Plot {
    pub(crate) fn svg(&self) -> String {
        let (left, right, top, bottom) = AREA;
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let mut marks: Vec<usize> = points().map(|(x, _)| *x).collect();
        marks.sort_unstable();
        marks.dedup();
        let (first, last) = ((marks[0] as f64).ln(), (marks[marks.len() - 1] as f64).ln());
        let across = |x: usize| left + (right - left) * ((x as f64).ln() - first) / (last - first).max(f64::EPSILON);
        let step = tidy(points().fold(0.0, |most, (_, y)| y.max(most)) / 5.0);
        let most = step * (points().fold(0.0, |most, (_, y)| y.max(most)) / step).ceil();
        let up = |y: f64| bottom - (bottom - top) * y / most;

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\" fill=\"#222\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
        );
        let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>").unwrap();
        };
        text(left, 24.0, "start", &self.title);
        text(f64::midpoint(left, right), bottom + 42.0, "middle", self.x);
        text(left, top - 10.0, "start", self.y);
        marks.iter().for_each(|x| text(across(*x), bottom + 20.0, "middle", &crate::costs::grouped(*x)));
        let heights: Vec<f64> = (0..).map(|n| f64::from(n) * step).take_while(|y| *y <= most * 1.001).collect();
        heights.iter().for_each(|y| text(left - 8.0, up(*y) + 4.0, "end", &format!("{y}")));
        for (n, line) in self.lines.iter().enumerate() {
            text(right + 34.0, top + 6.0 + 22.0 * n as f64, "start", &line.name);
        }
        for y in heights.iter().map(|y| up(*y)) {
            writeln!(svg, "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#ddd\"/>").unwrap();
        }
        for (n, line) in self.lines.iter().enumerate() {
            let (color, key) = (COLORS[n % COLORS.len()], top + 2.0 + 22.0 * n as f64);
            let points: Vec<(f64, f64)> = line.points.iter().map(|(x, y)| (across(*x), up(*y))).collect();
            let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let path = path.join(" ");
            writeln!(svg, "<polyline points=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>").unwrap();
            for (x, y) in points {
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{color}\"/>").unwrap();
            }
            writeln!(svg, "<path d=\"M{} {key}h20\" stroke=\"{color}\" stroke-width=\"2\"/>", right + 10.0).unwrap();
        }
        svg + "</svg>\n"
    }
}

/// The next of 1, 2, 5, 10, 20, 50 …
fn tidy(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= least).unwrap_or(power * 10.0)
}
