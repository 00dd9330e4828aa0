//! The table that every benchmark prints: a row has a figure, its ratio to another, and a bar where there is one.

/// What a ratio or a figure is held against.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    None,
    AtMost(f64),
    AtLeast(f64),
}

pub(crate) fn head(title: &str) {
    println!("\n{title:<62} {:>12}  {:>7}  {:>7}", "", "ratio", "bar");
}

/// A row with nothing but a figure.
pub(crate) fn figure(what: &str, value: &str) {
    line(what, value, "", "");
}

/// A row with a figure and its ratio, which the bar is for.
pub(crate) fn ratio(what: &str, value: &str, ratio: f64, bar: Bar) {
    line(what, value, &format!("{ratio:.2}"), &verdict(ratio, bar));
}

/// The same, of a ratio that says how many times as good something is.
pub(crate) fn times(what: &str, value: &str, ratio: f64, bar: Bar) {
    line(what, value, &format!("{ratio:.2} x"), &verdict(ratio, bar));
}

/// A row with a figure that has a bar of its own.
pub(crate) fn bounded(what: &str, value: &str, figure: f64, bar: Bar) {
    line(what, value, "", &verdict(figure, bar));
}

fn line(what: &str, value: &str, ratio: &str, verdict: &str) {
    println!("{}", format!("{what:<62} {value:>12}  {ratio:>7}  {verdict}").trim_end());
}

fn verdict(figure: f64, bar: Bar) -> String {
    let (bar, kept) = match bar {
        Bar::None => return String::new(),
        Bar::AtMost(bar) => (bar, figure <= bar),
        Bar::AtLeast(bar) => (bar, figure >= bar),
    };
    format!("{bar:>7}{}", if kept { "" } else { "  MISSED" })
}
