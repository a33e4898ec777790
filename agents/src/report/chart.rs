//! A chart as SVG, coloured by the page's style.

use std::fmt::Write as _;

use crate::report::page::escape;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;

/// One axis.
pub(crate) struct Axis {
    pub label: String,
    pub from: f64,
    pub to: f64,
    /// Whether ticks are shown times 100.
    pub percent: bool,
}

impl Axis {
    pub fn share(label: &str) -> Self {
        Self { label: label.to_owned(), from: 0.0, to: 1.0, percent: true }
    }

    /// Round numbers, about five.
    fn ticks(&self) -> Vec<f64> {
        let raw = (self.to - self.from) / 5.0;
        let power = 10.0_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * power).find(|step| *step >= raw).unwrap_or(raw);
        let first = (self.from / step - 1e-6).ceil() as i64;
        let last = (self.to / step + 1e-6).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }

    fn shown(&self, tick: f64) -> String {
        let value = if self.percent { tick * 100.0 } else { tick };
        let text = format!("{value:.3}");
        let short = text.trim_end_matches('0').trim_end_matches('.');
        if self.percent { format!("{short} %") } else { short.to_owned() }
    }
}

/// What is drawn between the axes.
pub(crate) struct Chart {
    x: Axis,
    y: Axis,
    inside: String,
}

impl Chart {
    pub fn new(x: Axis, mut y: Axis) -> Self {
        if y.to <= y.from {
            y.to = y.from + 1.0;
        }
        let x = if x.to > x.from { x } else { Axis { to: x.from + 1.0, ..x } };
        Self { x, y, inside: String::new() }
    }

    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let way = |value: f64, axis: &Axis| ((value - axis.from) / (axis.to - axis.from)).clamp(-0.02, 1.02);
        let across = LEFT + way(x, &self.x) * (WIDTH - LEFT - RIGHT);
        (across, HEIGHT - BOTTOM - way(y, &self.y) * (HEIGHT - TOP - BOTTOM))
    }

    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let shown = points.map(|point| self.at(point)).map(|(x, y)| format!("{x:.1},{y:.1}"));
        shown.collect::<Vec<_>>().join(" ")
    }

    /// A line. `class` names its colour and dashes, `name` is told when it is pointed at.
    pub fn line(&mut self, class: &str, name: &str, points: &[(f64, f64)]) {
        let path = self.path(points.iter().copied());
        let name = escape(name);
        let _ = write!(
            self.inside,
            "<polyline class=\"line {class}\" points=\"{path}\"><title>{name}</title></polyline>"
        );
    }

    /// The area between (x, low, high).
    pub fn band(&mut self, class: &str, edges: &[(f64, f64, f64)]) {
        let lower = edges.iter().map(|&(x, low, _)| (x, low));
        let upper = edges.iter().rev().map(|&(x, _, high)| (x, high));
        let path = self.path(lower.chain(upper));
        let _ = write!(self.inside, "<polygon class=\"band {class}\" points=\"{path}\"/>");
    }

    /// A point with its interval.
    pub fn mark(&mut self, class: &str, name: &str, (x, y): (f64, f64), (low, high): (f64, f64)) {
        let (left, top) = self.at((x, high));
        let (_, bottom) = self.at((x, low));
        let (_, middle) = self.at((x, y));
        let name = escape(name);
        let _ = write!(
            self.inside,
            "<g class=\"mark {class}\"><title>{name}</title><path d=\"M{left:.1} {top:.1}V{bottom:.1}\"/>\
             <circle cx=\"{left:.1}\" cy=\"{middle:.1}\" r=\"4.5\"/></g>"
        );
    }

    /// A column from the bottom to `height`.
    pub fn column(&mut self, class: &str, name: &str, (from, to): (f64, f64), height: f64) {
        let (left, top) = self.at((from, height));
        let (right, bottom) = self.at((to, self.y.from));
        let name = escape(name);
        let _ = write!(
            self.inside,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{name}</title></rect>",
            left + 1.0,
            (right - left - 2.0).max(0.0),
            (bottom - top).max(0.0)
        );
    }

    /// The whole picture; `told` is what it shows, in words.
    pub fn svg(&self, told: &str) -> String {
        let (left, bottom) = self.at((self.x.from, self.y.from));
        let (right, top) = self.at((self.x.to, self.y.to));
        let mut axes = String::new();
        for tick in self.x.ticks() {
            let (x, _) = self.at((tick, self.y.from));
            let _ = write!(
                axes,
                "<path class=grid d=\"M{x:.1} {top:.1}V{bottom:.1}\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=middle>{}</text>",
                bottom + 16.0,
                self.x.shown(tick)
            );
        }
        for tick in self.y.ticks() {
            let (_, y) = self.at((self.x.from, tick));
            let _ = write!(
                axes,
                "<path class=grid d=\"M{left:.1} {y:.1}H{right:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=end>{}</text>",
                left - 6.0,
                y + 4.0,
                self.y.shown(tick)
            );
        }
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{}\">{axes}{}<text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=middle class=label>{}</text><text transform=\"translate(11 {:.1}) rotate(-90)\" \
             text-anchor=middle class=label>{}</text></svg>",
            escape(told),
            self.inside,
            f64::midpoint(left, right),
            HEIGHT - 8.0,
            escape(&self.x.label),
            f64::midpoint(top, bottom),
            escape(&self.y.label)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = |from, to| Axis { label: String::new(), from, to, percent: true };
        assert_eq!(axis(0.0, 1.0).ticks().len(), 6);
        let shown: Vec<String> =
            axis(0.31, 0.59).ticks().iter().map(|&tick| axis(0.0, 1.0).shown(tick)).collect();
        assert_eq!(shown, ["40 %", "50 %"]);
    }

    #[test]
    fn names_are_text() {
        let mut chart = Chart::new(Axis::share("<x>"), Axis::share("y"));
        chart.line("a", "<script>", &[(0.0, 0.0), (1.0, 1.0)]);
        let svg = chart.svg("\"><script>");
        assert!(!svg.contains("<script>") && !svg.contains("<x>"), "{svg}");
    }
}
