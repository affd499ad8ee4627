//! Ink: the path of a pen of varying width becomes grey pixels.

pub(super) const SIDE: usize = 28;

/// A position of the pen, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dot {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) radius: f32,
}

/// From pen down to pen up.
pub(super) type Stroke = Vec<Dot>;

/// Draws `strokes` into `pixels`: a pixel is as dark as the nearest stretch of the path makes it. `softness`
/// is the width in pixels over which an edge fades; `ink` multiplies the darkness, which ends at black.
pub(super) fn ink(strokes: &[Stroke], softness: f32, ink: f32, pixels: &mut [u8; SIDE * SIDE]) {
    let mut cover = [0.0_f32; SIDE * SIDE];
    for stroke in strokes {
        for pair in stroke.windows(2) {
            stretch(pair[0], pair[1], softness, &mut cover);
        }
    }
    for (pixel, cover) in pixels.iter_mut().zip(cover) {
        *pixel = (255.0 * (ink * cover).min(1.0) + 0.5) as u8;
    }
}

/// Covers the pixels along one straight stretch, whose width changes evenly from end to end.
fn stretch(a: Dot, b: Dot, softness: f32, cover: &mut [f32; SIDE * SIDE]) {
    let reach = a.radius.max(b.radius) + 0.5 * softness;
    let columns = pixels_between(a.x.min(b.x) - reach, a.x.max(b.x) + reach);
    let rows = pixels_between(a.y.min(b.y) - reach, a.y.max(b.y) + reach);
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let length2 = (dx * dx + dy * dy).max(1e-12);
    for row in rows {
        let y = row as f32 + 0.5 - a.y;
        for column in columns.clone() {
            let x = column as f32 + 0.5 - a.x;
            let t = ((x * dx + y * dy) / length2).clamp(0.0, 1.0);
            let (ex, ey) = (x - t * dx, y - t * dy);
            let radius = a.radius + t * (b.radius - a.radius);
            let depth = radius - length(ex, ey);
            let covered = (depth / softness + 0.5).clamp(0.0, 1.0);
            let pixel = &mut cover[row * SIDE + column];
            *pixel = pixel.max(covered);
        }
    }
}

/// The length of a vector.
#[expect(
    clippy::imprecise_flops,
    reason = "hypot is each platform's own; a square root rounds the same on all"
)]
pub(super) fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

/// The pixels whose centres may lie between two coordinates, within the picture.
fn pixels_between(low: f32, high: f32) -> std::ops::Range<usize> {
    let clip = |value: f32| value.clamp(0.0, SIDE as f32) as usize;
    clip(low)..clip(high + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(x: f32, y: f32, radius: f32) -> Dot {
        Dot { x, y, radius }
    }

    #[test]
    fn a_line_inks_its_own_pixels_and_fades_at_its_edges() {
        let mut pixels = [0; SIDE * SIDE];
        ink(&[vec![dot(5.0, 10.0, 1.5), dot(20.0, 10.0, 1.5)]], 1.0, 1.0, &mut pixels);
        let column = |y: usize| pixels[y * SIDE + 12];
        assert_eq!(
            [column(7), column(8), column(9), column(10), column(11), column(12)],
            [0, 128, 255, 255, 128, 0]
        );
    }

    #[test]
    fn ink_beyond_the_paper_is_lost_without_harm() {
        let mut pixels = [0; SIDE * SIDE];
        ink(&[vec![dot(-50.0, -50.0, 3.0), dot(90.0, 1e9, 3.0)]], 1.0, 1.0, &mut pixels);
        ink(&[vec![dot(-9.0, 14.0, 1.0), dot(40.0, 14.0, 1.0)]], 1.0, 1.0, &mut pixels);
        assert_eq!((pixels[14 * SIDE], pixels[14 * SIDE + 27], pixels[20 * SIDE]), (255, 255, 0));
    }

    #[test]
    fn weaker_ink_is_greyer() {
        let mut pixels = [0; SIDE * SIDE];
        ink(&[vec![dot(14.0, 14.0, 3.0), dot(14.0, 14.0, 3.0)]], 1.0, 0.5, &mut pixels);
        assert_eq!(pixels[14 * SIDE + 14], 128);
    }
}
