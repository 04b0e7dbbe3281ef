//! Curves over time as an SVG file: one panel below the other, each with its own scale that begins at zero.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

const WIDTH: f64 = 960.0;
const HEAD: f64 = 44.0;
const PANEL_HEIGHT: f64 = 150.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 30.0;

/// Steps of a scale, from one line of the grid to the next.
const STEPS: u32 = 4;

/// For the curves of a panel, in order and round again.
const COLOURS: [&str; 5] = ["#1f6fb4", "#d1601f", "#2b8a3e", "#8b3fa8", "#555555"];

/// From one name of a curve to the next.
const LEGEND_WIDTH: f64 = 124.0;

/// The first digits of a step that people count in.
const ROUND: [f64; 6] = [1.0, 2.0, 2.5, 5.0, 7.5, 10.0];

const SECONDS_PER_MINUTE: f64 = 60.0;

/// From here on, time is told in minutes.
const LONG_SECONDS: f64 = 180.0;

/// Seconds from one marked moment to the next.
const MOMENT_STEPS: [f64; 9] = [1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1_800.0, 3_600.0];
const MOMENTS_MAX: f64 = 12.0;

/// Curves that share a scale.
pub struct Panel {
    /// What is shown, with its unit.
    pub title: String,
    /// Name and points of each curve.
    pub curves: Vec<(String, Vec<(f64, f64)>)>,
}

/// Writes panels that share the axis of time, in seconds.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, title: &str, panels: &[Panel]) -> Result<()> {
    std::fs::write(path, svg(title, panels)).with_context(|| format!("write {}", path.display()))
}

fn svg(title: &str, panels: &[Panel]) -> String {
    let height = HEAD + PANEL_HEIGHT * panels.len() as f64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let title = escaped(title);
    let _ = writeln!(text, "<text x=\"16\" y=\"28\" font-size=\"18\" font-weight=\"bold\">{title}</text>");
    let longest = highest(panels.iter().flat_map(points).map(|(time, _)| time)).max(1.0);
    for (position, panel) in panels.iter().enumerate() {
        let _ = writeln!(text, "<g transform=\"translate(0 {})\">", HEAD + PANEL_HEIGHT * position as f64);
        draw(&mut text, panel, longest);
        text.push_str("</g>\n");
    }
    text.push_str("</svg>\n");
    text
}

fn draw(text: &mut String, panel: &Panel, longest: f64) {
    let values = Scale::to(highest(points(panel).map(|(_, value)| value)));
    // Time ends where the measurement did, not at a round number.
    let across = |at: f64| LEFT + (WIDTH - LEFT - RIGHT) * at / longest;
    let down = |value: f64| PANEL_HEIGHT - BOTTOM - (PANEL_HEIGHT - TOP - BOTTOM) * value / values.end();
    let (end, bottom) = (WIDTH - RIGHT, down(0.0));
    let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"22\" font-weight=\"bold\">{}</text>", escaped(&panel.title));
    for value in values.marks() {
        let y = down(value);
        let _ = writeln!(text, "<line x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>");
        let (x, y, label) = (LEFT - 6.0, y + 4.0, readable(value));
        let _ = writeln!(text, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\" fill=\"#333333\">{label}</text>");
    }
    for at in moments(longest) {
        let x = across(at);
        let (from, to, below) = (bottom, bottom + 4.0, bottom + 17.0);
        let _ = writeln!(text, "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from}\" y2=\"{to}\" stroke=\"#888888\"/>");
        let label = time_label(at, longest);
        let _ =
            writeln!(text, "<text x=\"{x:.1}\" y=\"{below}\" text-anchor=\"middle\" fill=\"#333333\">{label}</text>");
    }
    for (position, (_, points)) in panel.curves.iter().enumerate() {
        let places = points.iter().map(|(at, value)| format!("{:.1},{:.1}", across(*at), down(*value)));
        let (places, colour) = (places.collect::<Vec<_>>().join(" "), COLOURS[position % COLOURS.len()]);
        let _ =
            writeln!(text, "<polyline points=\"{places}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>");
    }
    legend(text, panel);
}

/// The names of the curves. One curve is what the title says.
fn legend(text: &mut String, panel: &Panel) {
    if panel.curves.len() < 2 {
        return;
    }
    for (position, (name, _)) in panel.curves.iter().enumerate() {
        let x = WIDTH - RIGHT - LEGEND_WIDTH * (panel.curves.len() - position) as f64;
        let (colour, to) = (COLOURS[position % COLOURS.len()], x + 18.0);
        let _ =
            writeln!(text, "<line x1=\"{x}\" x2=\"{to}\" y1=\"18\" y2=\"18\" stroke=\"{colour}\" stroke-width=\"3\"/>");
        let _ = writeln!(text, "<text x=\"{}\" y=\"22\" fill=\"#333333\">{}</text>", x + 24.0, escaped(name));
    }
}

/// From zero to the first round number that holds everything.
struct Scale {
    step: f64,
}

impl Scale {
    fn to(highest: f64) -> Self {
        // Where everything is zero, one is as good an end as any.
        let highest = if highest > 0.0 { highest } else { 1.0 };
        let least = highest / f64::from(STEPS);
        let power = 10_f64.powf(least.log10().floor());
        let step = ROUND.into_iter().map(|round| round * power).find(|step| *step >= least * (1.0 - f64::EPSILON));
        Self { step: step.unwrap_or(least) }
    }

    fn end(&self) -> f64 {
        self.step * f64::from(STEPS)
    }

    fn marks(&self) -> impl Iterator<Item = f64> + use<> {
        let step = self.step;
        (0..=STEPS).map(move |mark| f64::from(mark) * step)
    }
}

fn points(panel: &Panel) -> impl Iterator<Item = (f64, f64)> + '_ {
    panel.curves.iter().flat_map(|(_, points)| points.iter().copied())
}

fn highest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

/// The moments that are marked: as many as can be read.
fn moments(longest: f64) -> impl Iterator<Item = f64> {
    let step = MOMENT_STEPS.into_iter().find(|step| longest / step <= MOMENTS_MAX).unwrap_or(longest);
    (0..).map(move |mark| f64::from(mark) * step).take_while(move |at| *at <= longest)
}

fn time_label(seconds: f64, longest: f64) -> String {
    if longest < LONG_SECONDS {
        return format!("{} s", readable(seconds));
    }
    format!("{} min", readable(seconds / SECONDS_PER_MINUTE))
}

/// With commas between thousands, and only the decimals that are not zero.
#[must_use]
pub fn readable(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (whole, decimals) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + decimals
}

/// Fit to stand between tags.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_round_steps_that_hold_everything() {
        let end = |highest| Scale::to(highest).end();
        assert_eq!((end(17.0), end(20.0), end(7_300.0)), (20.0, 20.0, 8_000.0));
        assert_eq!((end(33_500.0), end(0.0)), (40_000.0, 4.0 * 0.25));
        assert_eq!(Scale::to(4.0).marks().collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn numbers_and_times_are_readable() {
        assert_eq!((readable(1_234_567.0), readable(0.25)), ("1,234,567".to_owned(), "0.25".to_owned()));
        assert_eq!((readable(100.0), readable(0.0)), ("100".to_owned(), "0".to_owned()));
        assert_eq!((time_label(150.0, 600.0), time_label(30.0, 40.0)), ("2.5 min".to_owned(), "30 s".to_owned()));
        assert_eq!(moments(22.0).collect::<Vec<_>>(), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(moments(600.0).last(), Some(600.0));
    }

    #[test]
    fn each_curve_is_a_line_in_its_panel() {
        let curve = |name: &str| (name.to_owned(), vec![(0.0, 1.0), (10.0, 4.0)]);
        let panels = [
            Panel { title: "tasks & seconds".to_owned(), curves: vec![curve("all")] },
            Panel { title: "memory".to_owned(), curves: vec![curve("coordinator 1"), curve("coordinator 2")] },
            Panel { title: "nothing".to_owned(), curves: Vec::new() },
        ];
        let text = svg("A <title>", &panels);
        assert_eq!(text.matches("<polyline").count(), 3);
        assert!(text.contains("tasks &amp; seconds") && text.contains("A &lt;title&gt;"), "{text}");
        // The last point is at the right edge, at the end of a scale from 0 to 4.
        let (right, top) = (WIDTH - RIGHT, TOP);
        assert!(text.contains(&format!("{right:.1},{top:.1}")), "{text}");
        // Only where there are several curves do names tell them apart.
        assert!(text.contains(">coordinator 2<") && !text.contains(">all<"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
