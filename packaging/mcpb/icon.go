// This file draws icon.png: a speech bubble that plays.

package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
)

const (
	iconSize = 512 // pixels a side, as Claude Desktop recommends
	samples  = 4   // a side, of each pixel, so that edges are smooth
)

func writeIcon(path string) error {
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, icon()); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

func icon() *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, iconSize, iconSize))
	for y := range iconSize {
		for x := range iconSize {
			var r, g, b, a float64
			for i := range samples * samples {
				c := iconAt(float64(x)+(float64(i%samples)+0.5)/samples, float64(y)+(float64(i/samples)+0.5)/samples)
				r, g, b, a = r+c[0]*c[3], g+c[1]*c[3], b+c[2]*c[3], a+c[3]
			}
			if a > 0 {
				img.SetNRGBA(x, y, color.NRGBA{uint8(math.Round(r / a)), uint8(math.Round(g / a)), uint8(math.Round(b / a)), uint8(math.Round(a * 255 / (samples * samples)))})
			}
		}
	}
	return img
}

// iconAt is the colour at a point: red, green and blue to 255, opacity to 1.
func iconAt(x, y float64) [4]float64 {
	// From violet at the top to indigo at the bottom, in steps that compress well.
	down := math.Floor(y/8) * 8 / iconSize
	ground := [4]float64{112 - 60*down, 72 - 44*down, 240 - 84*down, 1}
	switch {
	case !inRounded(x, y, 16, 16, 496, 496, 112):
		return [4]float64{}
	case inTriangle(x, y, point{214, 160}, point{214, 304}, point{334, 232}):
		return ground
	case inRounded(x, y, 88, 104, 424, 360, 64), inTriangle(x, y, point{148, 340}, point{148, 436}, point{252, 340}):
		return [4]float64{255, 255, 255, 1}
	}
	return ground
}

// inRounded reports whether a point is in a rectangle with round corners.
func inRounded(x, y, left, top, right, bottom, radius float64) bool {
	if x < left || x > right || y < top || y > bottom {
		return false
	}
	nearX := math.Max(left+radius, math.Min(right-radius, x))
	nearY := math.Max(top+radius, math.Min(bottom-radius, y))
	return math.Hypot(x-nearX, y-nearY) <= radius
}

type point struct{ x, y float64 }

// inTriangle reports whether a point is on the same side of all three edges.
func inTriangle(x, y float64, a, b, c point) bool {
	side := func(p, q point) bool { return (q.x-p.x)*(y-p.y)-(q.y-p.y)*(x-p.x) < 0 }
	return side(a, b) == side(b, c) && side(b, c) == side(c, a)
}
