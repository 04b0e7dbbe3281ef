//! Bars for several systems in two panels side by side, as SVG. Each panel has its own scale that begins at zero; the
//! number is at the end of the bar, and a thin line spans the lowest and the highest run.

use std::fmt::Write as _;

use crate::plot::{escaped, readable};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 180.0;
const RIGHT: f64 = 20.0;
const BETWEEN: f64 = 40.0;
const HEAD: f64 = 92.0;
const ROW: f64 = 30.0;
const BAR: f64 = 18.0;
const FOOT: f64 = 44.0;

/// Room for the number behind the longest bar.
const NUMBER: f64 = 74.0;
const PANEL: f64 = (WIDTH - LEFT - RIGHT - BETWEEN) / 2.0;

/// What kind of system a bar stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shade {
    /// Ours.
    Ours,
    /// Another one whose acknowledged work is on the disks of a majority.
    Replicated,
    /// Another one that keeps its work in memory.
    InMemory,
}

impl Shade {
    const ALL: [Self; 3] = [Self::Ours, Self::Replicated, Self::InMemory];

    fn colour(self) -> &'static str {
        match self {
            Self::Ours => "#c8501e",
            Self::Replicated => "#2b7a78",
            Self::InMemory => "#9aa5b1",
        }
    }

    fn legend(self) -> &'static str {
        match self {
            Self::Ours => "Flame HA: every task on the disks of a majority of three",
            Self::Replicated => "a key and its value on the disks of a majority of three; nothing is run",
            Self::InMemory => "in memory only: lost with its process",
        }
    }
}

/// A value, and how far the runs lie apart.
#[derive(Clone, Copy, Debug)]
pub struct Dot {
    /// The middle one.
    pub value: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

/// One system.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub title: String,
    /// Its kind.
    pub shade: Shade,
    /// One value for each panel.
    pub values: [Dot; 2],
}

/// Two panels.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The headline.
    pub title: &'static str,
    /// Below it: where and how it was measured.
    pub subtitle: String,
    /// What each panel shows, with its unit.
    pub panels: [&'static str; 2],
    /// From top to bottom.
    pub rows: Vec<Row>,
}

impl Chart {
    /// The file's text.
    #[must_use]
    pub fn svg(&self) -> String {
        let shades: Vec<_> = Shade::ALL.into_iter().filter(|shade| self.has(*shade)).collect();
        let below = HEAD + ROW * self.rows.len() as f64;
        let height = below + FOOT + 18.0 * shades.len() as f64;
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
             font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
        );
        let _ = writeln!(text, "<text x=\"16\" y=\"28\" font-size=\"18\" font-weight=\"bold\">{}</text>", self.title);
        let subtitle = escaped(&self.subtitle);
        let _ = writeln!(text, "<text x=\"16\" y=\"48\" fill=\"#555555\">{subtitle}</text>");
        for (position, row) in self.rows.iter().enumerate() {
            let y = middle(position) + 4.5;
            let weight = if row.shade == Shade::Ours { " font-weight=\"bold\"" } else { "" };
            let title = escaped(&row.title);
            let _ = writeln!(text, "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\"{weight}>{title}</text>", LEFT - 10.0);
        }
        for panel in 0..self.panels.len() {
            self.panel(&mut text, panel, below);
        }
        for (position, shade) in shades.into_iter().enumerate() {
            let y = below + 34.0 + 18.0 * position as f64;
            let colour = shade.colour();
            let _ =
                writeln!(text, "<rect x=\"{LEFT}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>", y - 10.5);
            let _ = writeln!(text, "<text x=\"{}\" y=\"{y}\" fill=\"#333333\">{}</text>", LEFT + 20.0, shade.legend());
        }
        text.push_str("</svg>\n");
        text
    }

    fn has(&self, shade: Shade) -> bool {
        self.rows.iter().any(|row| row.shade == shade)
    }

    fn panel(&self, text: &mut String, panel: usize, below: f64) {
        let left = LEFT + (PANEL + BETWEEN) * panel as f64;
        let longest = self.rows.iter().map(|row| row.values[panel].max).fold(f64::MIN_POSITIVE, f64::max);
        let along = |value: f64| (PANEL - NUMBER) * value.max(0.0) / longest;
        let title = self.panels[panel];
        let _ = writeln!(text, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>", HEAD - 12.0);
        for (position, row) in self.rows.iter().enumerate() {
            let (middle, dot) = (middle(position), row.values[panel]);
            let (colour, width) = (row.shade.colour(), along(dot.value).max(1.0));
            let y = middle - BAR / 2.0;
            let _ = writeln!(
                text,
                "<rect x=\"{left}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>"
            );
            if dot.min < dot.max {
                let (from, to) = (left + along(dot.min), left + along(dot.max));
                let _ = writeln!(
                    text,
                    "<line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"#222222\"/>"
                );
            }
            let (x, y) = (left + along(dot.max).max(width) + 6.0, middle + 4.5);
            let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{y}\">{}</text>", shown(dot.value));
        }
        let _ = writeln!(
            text,
            "<line x1=\"{left}\" x2=\"{left}\" y1=\"{}\" y2=\"{below}\" stroke=\"#222222\"/>",
            HEAD - 4.0
        );
    }
}

fn middle(position: usize) -> f64 {
    HEAD + ROW * position as f64 + ROW / 2.0
}

/// Not more digits than a picture needs.
fn shown(value: f64) -> String {
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else if value >= 0.1 {
        2
    } else {
        3
    };
    let factor = 10_f64.powi(decimals);
    readable((value * factor).round() / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_so() {
        assert_eq!((shown(47_697.4), shown(10.04)), ("47,697".to_owned(), "10".to_owned()));
        assert_eq!((shown(0.254), shown(0.03)), ("0.25".to_owned(), "0.03".to_owned()));
    }

    #[test]
    fn bars_are_as_long_as_their_values() {
        let dot = |value: f64| Dot { value, min: value, max: value };
        let row = |title: &str, shade, value| Row { title: title.to_owned(), shade, values: [dot(value), dot(1.0)] };
        let chart = Chart {
            title: "T",
            subtitle: "a & b".to_owned(),
            panels: ["left", "right"],
            rows: vec![row("ours", Shade::Ours, 100.0), row("theirs", Shade::InMemory, 50.0)],
        };
        let text = chart.svg();
        let full = PANEL - NUMBER;
        assert!(text.contains(&format!("width=\"{full:.1}\"")), "{text}");
        assert!(text.contains(&format!("width=\"{:.1}\"", full / 2.0)), "{text}");
        assert!(text.contains("a &amp; b") && text.contains(Shade::InMemory.legend()), "{text}");
        assert!(!text.contains(Shade::Replicated.legend()), "nothing of that kind is shown");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
