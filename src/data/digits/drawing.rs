//! One digit by one writer, this once: from the form in the copybook to the path of the pen.

use super::glyphs::{DIGITS, Glyph, Point};
use super::pen::{self, Dot, Stroke};
use super::random::Random;
use super::writer::{Drift, OWN_FORM, Writer};

/// Pen positions between two points of a stroke.
const STEPS: usize = 7;

/// What differs from one drawing to the next by the same hand.
struct Mood {
    slant: f32,
    tilt: f32,
    aspect: f32,
    waist: f32,
    bow: f32,
    size: f32,
    radius: f32,
    offset: (f32, f32),
}

impl Mood {
    fn new(writer: &Writer, random: &mut Random) -> Self {
        let looseness = 0.6 + 10.0 * writer.sloppiness;
        let mut around = |centre: f32, spread: f32| centre + spread * looseness * random.normal();
        Self {
            slant: around(writer.slant, 0.08),
            tilt: around(writer.tilt, 0.02),
            aspect: around(writer.aspect, 0.08).max(0.4),
            waist: around(writer.waist, 0.04),
            bow: around(writer.bow, 0.03),
            size: around(writer.size, 0.4),
            radius: around(writer.pen_radius, 0.15).clamp(0.55, 2.4),
            offset: (around(writer.offset.0, 0.25), around(writer.offset.1, 0.25)),
        }
    }
}

/// The pen's path through the 28×28 picture, in pixels.
pub(super) fn draw(writer: &Writer, digit: usize, random: &mut Random) -> Vec<Stroke> {
    let mood = Mood::new(writer, random);
    let glyph = &DIGITS[digit][writer.form(digit, random)];
    let mut strokes: Vec<Stroke> = displaced(writer, digit, glyph, random)
        .iter()
        .map(|points| pen_path(points, writer.roundness))
        .collect();
    for dot in strokes.iter_mut().flatten() {
        place(dot, glyph.aspect * mood.aspect, &mood);
    }
    fit(&mut strokes, &mood);
    for stroke in &mut strokes {
        press(stroke, writer, mood.radius, random);
    }
    centre(&mut strokes, mood.offset);
    strokes
}

/// The form's points where this writer puts them this time.
fn displaced(writer: &Writer, digit: usize, glyph: &Glyph, random: &mut Random) -> Vec<Vec<Point>> {
    let mut shape = writer.shape(digit);
    let mut strokes: Vec<Vec<Point>> = Vec::with_capacity(glyph.strokes.len());
    for stroke in glyph.strokes {
        let (mut own, mut now) = (Drift::default(), Drift::default());
        let mut points: Vec<Point> = stroke
            .iter()
            .map(|point| {
                let (own, now) = (own.next(&mut shape), now.next(random));
                Point {
                    x: point.x + OWN_FORM * own.0 + writer.sloppiness * now.0,
                    y: point.y + OWN_FORM * own.1 + writer.sloppiness * now.1,
                    ..*point
                }
            })
            .collect();
        run_on(&mut points, writer.overshoot + writer.sloppiness * random.normal());
        strokes.push(points);
    }
    strokes
}

/// Moves the last point on along the stroke, or back.
fn run_on(points: &mut [Point], length: f32) {
    if let [.., before, last] = points {
        let (dx, dy) = (last.x - before.x, last.y - before.y);
        let norm = pen::length(dx, dy).max(0.05);
        last.x += length * dx / norm;
        last.y += length * dy / norm;
    }
}

/// A smooth curve through the points (Catmull and Rom 1974), broken at corners.
fn pen_path(points: &[Point], roundness: f32) -> Stroke {
    let mut path = Vec::with_capacity(points.len() * STEPS);
    let half = 0.5 * roundness;
    for i in 0..points.len() - 1 {
        let (from, to) = (points[i], points[i + 1]);
        let before = if i == 0 || from.corner { from } else { points[i - 1] };
        let after = if i + 2 == points.len() || to.corner { to } else { points[i + 2] };
        let leave = (half * (to.x - before.x), half * (to.y - before.y));
        let arrive = (half * (after.x - from.x), half * (after.y - from.y));
        for step in 0..STEPS {
            let t = step as f32 / STEPS as f32;
            let (t2, t3) = (t * t, t * t * t);
            let [a, b, c, d] = [2.0 * t3 - 3.0 * t2 + 1.0, t3 - 2.0 * t2 + t, 3.0 * t2 - 2.0 * t3, t3 - t2];
            path.push(Dot {
                x: a * from.x + b * leave.0 + c * to.x + d * arrive.0,
                y: a * from.y + b * leave.1 + c * to.y + d * arrive.1,
                radius: 0.0,
            });
        }
    }
    let last = points[points.len() - 1];
    path.push(Dot { x: last.x, y: last.y, radius: 0.0 });
    path
}

/// Bends, narrows, slants and turns a point about the middle of the box.
fn place(dot: &mut Dot, aspect: f32, mood: &Mood) {
    let v = dot.y;
    let belly = 4.0 * v * (1.0 - v);
    let y = v - 0.5 + mood.waist * belly;
    let x = (dot.x - 0.5) * aspect + mood.bow * belly - mood.slant * y;
    // a rotation by rational numbers: t is the tangent of half the angle
    let t = mood.tilt;
    let (cos, sin) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
    dot.x = cos * x - sin * y;
    dot.y = sin * x + cos * y;
}

/// Scales the digit so that its longer side, ink included, has the size the writer means it to have.
fn fit(strokes: &mut [Stroke], mood: &Mood) {
    let dots = || strokes.iter().flatten();
    let [left, right] =
        [dots().map(|d| d.x).fold(f32::MAX, f32::min), dots().map(|d| d.x).fold(f32::MIN, f32::max)];
    let [top, bottom] =
        [dots().map(|d| d.y).fold(f32::MAX, f32::min), dots().map(|d| d.y).fold(f32::MIN, f32::max)];
    let extent = (right - left).max(bottom - top).max(0.1);
    let scale = (mood.size.clamp(14.0, 22.0) - 2.0 * mood.radius) / extent;
    for dot in strokes.iter_mut().flatten() {
        dot.x *= scale;
        dot.y *= scale;
    }
}

/// Gives each position its width, and the hand its tremble.
fn press(stroke: &mut Stroke, writer: &Writer, radius: f32, random: &mut Random) {
    let last = (stroke.len() - 1) as f32;
    let [start, middle, end] =
        [0.5 * random.normal() - 0.4, random.normal() * 0.4, 0.5 * random.normal() - 0.8];
    let mut tremble = (0.0, 0.0);
    for (i, dot) in stroke.iter_mut().enumerate() {
        let t = i as f32 / last;
        let profile = start * (1.0 - t) * (1.0 - t) + middle * 2.0 * t * (1.0 - t) + end * t * t;
        dot.radius = (radius * (1.0 + writer.pressure * profile)).max(0.45);
        tremble.0 = 0.7 * tremble.0 + writer.wobble * random.normal();
        tremble.1 = 0.7 * tremble.1 + writer.wobble * random.normal();
        dot.x += tremble.0;
        dot.y += tremble.1;
    }
}

/// Puts the centre of mass of the ink into the middle of the picture, as MNIST does, or nearly so.
fn centre(strokes: &mut [Stroke], offset: (f32, f32)) {
    let (mut mass, mut x, mut y) = (0.0, 0.0, 0.0);
    for stroke in strokes.iter() {
        for pair in stroke.windows(2) {
            let ink = pen::length(pair[1].x - pair[0].x, pair[1].y - pair[0].y) * pair[0].radius;
            mass += ink;
            x += ink * pair[0].x;
            y += ink * pair[0].y;
        }
    }
    let (dx, dy) = (14.0 + offset.0 - x / mass, 14.0 + offset.1 - y / mass);
    for dot in strokes.iter_mut().flatten() {
        dot.x += dx;
        dot.y += dy;
    }
}
