//! Plots.

use std::fmt::Write as _;

use super::{
    data::{Measure, Outcome},
    statistics::float,
};

/// Pixels.
const WIDTH: f64 = 720.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 130.0;
const ROW: f64 = 26.0;
const BAR: f64 = 16.0;
const HEAD: f64 = 34.0;
const TITLE: f64 = 24.0;

/// Bars of medians, with a line from the least to the most; a group for each measure that is not read from others. None without
/// rounds.
pub(crate) fn plot(title: &str, outcome: &Outcome) -> Option<String> {
    let groups: Vec<(Measure, String, f64)> = outcome.measures().into_iter().map(|measure| group(measure, outcome)).collect();
    if groups.is_empty() {
        return None;
    }
    let height = TITLE + groups.iter().map(|(_, _, height)| height).sum::<f64>() + 10.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"18\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    );
    let mut top = TITLE;
    for (_, group, height) in groups {
        let _ = writeln!(text, "<g transform=\"translate(0 {top})\">\n{group}</g>");
        top += height;
    }
    text.push_str("</svg>\n");
    Some(text)
}

/// Bars of one measure, and their height.
fn group(measure: Measure, outcome: &Outcome) -> (Measure, String, f64) {
    let rows: Vec<_> = outcome.peers().into_iter().filter_map(|peer| Some((peer, outcome.spread(peer, measure)?))).collect();
    let most = rows.iter().map(|(_, spread)| spread.most).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| LEFT + (value / most).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
    let mut text = format!("<text x=\"10\" y=\"24\" fill=\"#555555\">{}</text>\n", escaped(measure.title()));
    for (number, (peer, spread)) in rows.iter().enumerate() {
        let top = HEAD + float(number as u64) * ROW;
        let (middle, baseline) = (top + BAR / 2.0, top + BAR - 3.0);
        let colour = if peer.starts_with("Tollgate") { "#2f6fb0" } else { "#b0b6bd" };
        let (least, median, most) = (x(spread.least), x(spread.median), x(spread.most));
        let _ = write!(
            text,
            "<text x=\"{:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\n\
             <line x1=\"{least:.1}\" x2=\"{most:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"#222222\"/>\n\
             <text x=\"{:.1}\" y=\"{baseline:.1}\">{}</text>\n",
            LEFT - 8.0,
            escaped(peer),
            median - LEFT,
            most.max(median) + 6.0,
            measure.shown(spread.median),
        );
    }
    (measure, text, HEAD + float(rows.len() as u64) * ROW)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::data::{Round, Values};

    #[test]
    fn bars_are_as_long_as_medians() {
        let round = |peer: &str, cpu| Round { peer: peer.into(), number: 1, values: Values::from([(Measure::Cpu, cpu)]) };
        let outcome = Outcome::of(vec![round("Tollgate", 10.0), round("a & <b>", 20.0)]);
        let plot = plot("1 < 2", &outcome).expect("a plot");
        let full = WIDTH - LEFT - RIGHT;
        assert!(plot.contains(&format!("width=\"{:.1}\" height=\"{BAR}\" fill=\"#2f6fb0\"", full / 2.0)), "{plot}");
        assert!(plot.contains(&format!("width=\"{full:.1}\" height=\"{BAR}\" fill=\"#b0b6bd\"")), "{plot}");
        assert!(plot.contains("a &amp; &lt;b&gt;") && plot.contains("1 &lt; 2"), "{plot}");
    }

    #[test]
    fn nothing_is_no_plot() {
        assert_eq!(plot("a case", &Outcome::default()), None);
    }
}
