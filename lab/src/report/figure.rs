//! Draws a figure as SVG: axes, lines with intervals, and each line's name beside it.
//!
//! Each figure has its own white background, so that its colours look the same on a dark page.

use std::path::Path;

use anyhow::anyhow;
use lopper::eval::stats::Mean;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Width and height in pixels: as wide as the column that shows a README.
const SIZE: (i32, i32) = (840, 470);
/// Pixels around the plotted area: left, right (for the lines' names), top and bottom.
const MARGINS: (i32, i32, i32, i32) = (64, 196, 84, 56);
/// Height of a line's name in pixels, alone and with its model below.
const NAME_HEIGHTS: (f64, f64) = (17.0, 31.0);
const FONT: &str = "Helvetica, Arial, sans-serif";
const INK: RGBColor = RGBColor(31, 35, 40);
const FAINT: RGBColor = RGBColor(101, 109, 118);
const GRID: RGBColor = RGBColor(229, 232, 235);
/// Colours by method, distinct with most kinds of colour blindness (after Okabe and Ito, 2008).
const COLOURS: [(&str, RGBColor); 6] = [
    ("hybrid", RGBColor(0, 90, 181)),
    ("lexical", RGBColor(213, 94, 0)),
    ("longcodezip", RGBColor(152, 78, 163)),
    ("perplexity", RGBColor(0, 133, 100)),
    ("head", RGBColor(150, 120, 40)),
    ("random", RGBColor(120, 124, 130)),
];
/// Colours of the other lines, in turn.
const OTHERS: [RGBColor; 3] = [RGBColor(190, 30, 60), RGBColor(0, 150, 190), RGBColor(90, 60, 20)];

/// A line of a figure.
pub(super) struct Line {
    pub name: String,
    /// Its model, where one scores.
    pub model: Option<String>,
    /// Its points, with intervals.
    pub points: Vec<(f64, Mean)>,
    /// The cases behind it.
    pub dots: Vec<(f64, f64)>,
}

/// An axis: its range, ticks and title.
pub(super) struct Axis<'a> {
    /// Drawn for x only; the figure's title describes y.
    title: &'static str,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    shown: &'a dyn Fn(f64) -> String,
    logarithmic: bool,
}

impl<'a> Axis<'a> {
    /// A linear axis with a tick at each multiple of `step`.
    pub fn linear(title: &'static str, low: f64, high: f64, step: f64, shown: &'a dyn Fn(f64) -> String) -> Self {
        let (first, last) = ((low / step).ceil() as i32, (high / step + 1e-6).floor() as i32);
        let ticks = (first..=last).map(|i| f64::from(i) * step).collect();
        Self { title, low, high, ticks, shown, logarithmic: false }
    }

    /// A logarithmic axis with a tick at each power of ten.
    pub fn logarithmic(title: &'static str, low: f64, high: f64, shown: &'a dyn Fn(f64) -> String) -> Self {
        let powers = low.log10().round() as i32..=high.log10().round() as i32;
        Self { title, low, high, ticks: powers.map(|i| 10.0_f64.powi(i)).collect(), shown, logarithmic: true }
    }

    /// The place of `value`: 0 at the low end, 1 at the high one.
    fn place(&self, value: f64) -> f64 {
        match self.logarithmic {
            true => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10(),
            false => (value - self.low) / (self.high - self.low),
        }
    }
}

/// A figure.
pub(super) struct Figure<'a> {
    pub title: String,
    pub subtitle: String,
    pub x: Axis<'a>,
    pub y: Axis<'a>,
    /// Horizontal lines to compare with, and their names.
    pub references: Vec<(&'static str, f64)>,
    pub lines: Vec<Line>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

impl Figure<'_> {
    /// Writes the figure to the file at `path`; writes nothing if it has no lines.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn draw(&self, path: &Path) -> anyhow::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let area = SVGBackend::new(path, (SIZE.0 as u32, SIZE.1 as u32)).into_drawing_area();
        self.draw_on(&area).map_err(|error| anyhow!("{} can't be drawn: {error}", path.display()))
    }

    fn draw_on(&self, area: &Area) -> Result<(), Failed> {
        area.fill(&WHITE)?;
        let (left, _, _, bottom) = MARGINS;
        text(area, &self.title, (left, 18), (18.0, FontStyle::Bold, INK), HPos::Left)?;
        text(area, &self.subtitle, (left, 46), (13.0, FontStyle::Normal, FAINT), HPos::Left)?;
        for &tick in &self.y.ticks {
            let y = self.at(self.x.low, tick).1;
            path(area, [(left, y), (self.right(), y)], GRID.stroke_width(1))?;
            text(area, &(self.y.shown)(tick), (left - 8, y - 5), (12.0, FontStyle::Normal, FAINT), HPos::Right)?;
        }
        let foot = SIZE.1 - bottom;
        path(area, [(left, foot), (self.right(), foot)], FAINT.stroke_width(1))?;
        for &tick in &self.x.ticks {
            let x = self.at(tick, self.y.low).0;
            path(area, [(x, foot), (x, foot + 4)], FAINT.stroke_width(1))?;
            text(area, &(self.x.shown)(tick), (x, foot + 8), (12.0, FontStyle::Normal, FAINT), HPos::Center)?;
        }
        let middle = (left + self.right()) / 2;
        text(area, self.x.title, (middle, foot + 28), (13.0, FontStyle::Normal, INK), HPos::Center)?;
        let mut names = Vec::new();
        for &(name, value) in &self.references {
            let y = self.at(self.x.low, value).1;
            path(area, [(left, y), (self.right(), y)], FAINT.stroke_width(1))?;
            names.push(Name {
                text: name.to_owned(),
                model: None,
                colour: FAINT,
                y: y.into(),
                from: (self.right(), y),
            });
        }
        for (i, line) in self.lines.iter().enumerate() {
            let colour = self.colour(i);
            names.extend(self.line(area, line, colour, i)?);
        }
        spread(&mut names);
        for name in names {
            let (x, y) = (self.right() + 14, name.y.round() as i32);
            path(area, [name.from, (self.right(), name.from.1), (x - 4, y)], name.colour.mix(0.45).stroke_width(1))?;
            let top = y - name.height() as i32 / 2;
            text(area, &name.text, (x, top + 1), (13.0, FontStyle::Bold, name.colour), HPos::Left)?;
            if let Some(model) = &name.model {
                text(area, model, (x, top + 17), (12.0, FontStyle::Normal, name.colour), HPos::Left)?;
            }
        }
        area.present()
    }

    /// Draws a line with its dots and intervals. Returns the name to draw beside the figure; a single point has its name
    /// beside it already.
    fn line(&self, area: &Area, line: &Line, colour: RGBColor, nth: usize) -> Result<Option<Name>, Failed> {
        for &(x, y) in &line.dots {
            area.draw(&Circle::new(self.at(x, y), 2, colour.mix(0.3).filled()))?;
        }
        // Intervals of several methods at the same share are drawn side by side.
        let aside = if line.points.len() == 1 { 0 } else { (nth as i32 - self.lines.len() as i32 / 2) * 2 };
        for (x, Mean { low, high, .. }) in &line.points {
            let (low, high) = (self.at(*x, *low), self.at(*x, *high));
            path(area, [(low.0 + aside, low.1), (high.0 + aside, high.1)], colour.mix(0.4).stroke_width(2))?;
        }
        let places: Vec<(i32, i32)> = line.points.iter().map(|(x, y)| self.at(*x, y.mean)).collect();
        area.draw(&PathElement::new(places.clone(), colour.stroke_width(2)))?;
        for &place in &places {
            area.draw(&Circle::new(place, 4, colour.filled()))?;
        }
        let Some(&from) = places.last() else { return Ok(None) };
        if let [(x, y)] = places[..] {
            text(area, &line.name, (x + 10, y - 7), (13.0, FontStyle::Bold, colour), HPos::Left)?;
            return Ok(None);
        }
        Ok(Some(Name { text: line.name.clone(), model: line.model.clone(), colour, y: from.1.into(), from }))
    }

    /// The colour of line `i`: its method's, unless an earlier line has it.
    fn colour(&self, i: usize) -> RGBColor {
        let own = |line: &Line| COLOURS.iter().find(|(name, _)| *name == line.name).map(|(_, colour)| *colour);
        let is_second = |i: usize| self.lines[..i].iter().any(|line| line.name == self.lines[i].name);
        let unnamed = (0..i).filter(|&i| own(&self.lines[i]).is_none() || is_second(i)).count();
        own(&self.lines[i]).filter(|_| !is_second(i)).unwrap_or(OTHERS[unnamed % OTHERS.len()])
    }

    fn right(&self) -> i32 {
        SIZE.0 - MARGINS.1
    }

    fn at(&self, x: f64, y: f64) -> (i32, i32) {
        let (left, _, top, bottom) = MARGINS;
        let (width, height) = (f64::from(self.right() - left), f64::from(SIZE.1 - bottom - top));
        (left + (self.x.place(x) * width) as i32, SIZE.1 - bottom - (self.y.place(y) * height) as i32)
    }
}

type Failed = DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>;

/// The name of a line, beside the figure.
struct Name {
    text: String,
    /// The model, drawn below.
    model: Option<String>,
    colour: RGBColor,
    /// The y of its middle, in pixels.
    y: f64,
    /// The end of its line, in pixels.
    from: (i32, i32),
}

impl Name {
    fn height(&self) -> f64 {
        if self.model.is_some() { NAME_HEIGHTS.1 } else { NAME_HEIGHTS.0 }
    }
}

/// Moves overlapping names apart, each as little as possible.
fn spread(names: &mut [Name]) {
    names.sort_by(|a, b| a.y.total_cmp(&b.y));
    // Each round moves overlapping pairs apart, each name by half of the overlap.
    for _ in 0..100 {
        for i in 1..names.len() {
            let missing = (names[i].height() + names[i - 1].height()) / 2.0 - (names[i].y - names[i - 1].y);
            if missing > 0.0 {
                names[i - 1].y -= missing / 2.0;
                names[i].y += missing / 2.0;
            }
        }
    }
}

fn text(
    area: &Area,
    text: &str,
    at: (i32, i32),
    (size, style, colour): (f64, FontStyle, RGBColor),
    side: HPos,
) -> Result<(), Failed> {
    let font = FontDesc::new(FontFamily::Name(FONT), size, style).color(&colour);
    area.draw_text(text, &font.pos(Pos::new(side, VPos::Top)), at)
}

fn path<const N: usize>(area: &Area, points: [(i32, i32); N], style: ShapeStyle) -> Result<(), Failed> {
    area.draw(&PathElement::new(points, style))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_stand_on_each_other() {
        let name = |y| Name { text: String::new(), model: None, colour: INK, y, from: (0, 0) };
        let mut names = [name(100.0), name(101.0), name(40.0), name(102.0)];
        spread(&mut names);
        assert_eq!(names[0].y, 40.0);
        assert!(names.windows(2).all(|pair| pair[1].y - pair[0].y > NAME_HEIGHTS.0 - 0.1));
        assert!((names[2].y - 101.0).abs() < 0.1);
    }

    #[test]
    fn axes_are_divided_evenly() {
        let shown = |value: f64| value.to_string();
        let axis = Axis::linear("", -0.1, 0.8, 0.2, &shown);
        assert_eq!((axis.ticks.len(), axis.place(-0.1), axis.place(0.8)), (5, 0.0, 1.0));
        let axis = Axis::logarithmic("", 0.1, 1000.0, &shown);
        assert_eq!((axis.ticks.len(), axis.place(10.0)), (5, 0.5));
    }
}
