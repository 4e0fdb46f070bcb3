//go:build ignore

// This program draws the icons of the server and its tools: white figures on a
// violet square with round corners, readable on light and dark. Run it with
//
//	go run draw.go
//
// in this folder. Few colours keep the files, which every tools/list carries,
// at some hundred bytes each.
package main

import (
	"image"
	"image/color"
	"image/png"
	"log"
	"math"
	"os"
)

const (
	size    = 32 // pixels
	samples = 4  // a side of a pixel
	shades  = 8
)

// figure reports whether a point of the unit square is white.
type figure func(x, y float64) bool

func box(left, top, right, bottom float64) figure {
	return func(x, y float64) bool { return x >= left && x <= right && y >= top && y <= bottom }
}

// triangle points right, down or up.
func right(left, top, tip, bottom float64) figure {
	return func(x, y float64) bool {
		middle := (top + bottom) / 2
		return x >= left && x <= tip && math.Abs(y-middle) <= (bottom-top)/2*(tip-x)/(tip-left)
	}
}

func down(left, top, right, tip float64) figure {
	return func(x, y float64) bool {
		middle := (left + right) / 2
		return y >= top && y <= tip && math.Abs(x-middle) <= (right-left)/2*(tip-y)/(tip-top)
	}
}

func up(left, tip, right, bottom float64) figure {
	flipped := down(left, 1-bottom, right, 1-tip)
	return func(x, y float64) bool { return flipped(x, 1-y) }
}

func ring(radius, width float64) figure {
	return func(x, y float64) bool { return math.Abs(math.Hypot(x-.5, y-.5)-radius) <= width/2 }
}

func all(figures ...figure) figure {
	return func(x, y float64) bool {
		for _, f := range figures {
			if f(x, y) {
				return true
			}
		}
		return false
	}
}

var icons = map[string]figure{
	"pixazo-mcp":     right(.34, .24, .78, .76),
	"generate_video": all(right(.2, .28, .54, .72), box(.6, .46, .84, .54), box(.68, .38, .76, .62)),
	"get_status":     all(ring(.27, .08), box(.46, .3, .54, .54), box(.46, .46, .66, .54)),
	"wait_for_video": all(box(.28, .2, .72, .27), box(.28, .73, .72, .8), down(.32, .27, .68, .52), up(.32, .48, .68, .73)),
	"list_videos":    all(right(.2, .22, .34, .4), box(.42, .27, .8, .35), right(.2, .42, .34, .6), box(.42, .47, .8, .55), right(.2, .62, .34, .8), box(.42, .67, .8, .75)),
	"download_video": all(box(.45, .2, .55, .46), down(.32, .44, .68, .66), box(.26, .72, .74, .8)),
}

// inside reports whether a point is on the square with its round corners.
func inside(x, y float64) bool {
	const radius = .22
	dx, dy := math.Max(math.Abs(x-.5)-.5+radius, 0), math.Max(math.Abs(y-.5)-.5+radius, 0)
	return math.Hypot(dx, dy) <= radius
}

func main() {
	violet := [3]float64{0x6d, 0x4a, 0xe0}
	var palette color.Palette // clear to violet, then violet to white
	for i := range shades {
		alpha := float64(i) / (shades - 1)
		palette = append(palette, color.NRGBA{uint8(violet[0]), uint8(violet[1]), uint8(violet[2]), uint8(255 * alpha)})
	}
	for i := 1; i < shades; i++ {
		white := float64(i) / (shades - 1)
		mix := func(c float64) uint8 { return uint8(c + (255-c)*white) }
		palette = append(palette, color.NRGBA{mix(violet[0]), mix(violet[1]), mix(violet[2]), 255})
	}
	for name, figure := range icons {
		img := image.NewPaletted(image.Rect(0, 0, size, size), palette)
		for py := range size {
			for px := range size {
				covered, white := 0, 0
				for sy := range samples {
					for sx := range samples {
						x, y := (float64(px)+(float64(sx)+.5)/samples)/size, (float64(py)+(float64(sy)+.5)/samples)/size
						if inside(x, y) {
							covered++
							if figure(x, y) {
								white++
							}
						}
					}
				}
				index := int(math.Round(float64(covered) / (samples * samples) * (shades - 1)))
				if white > 0 {
					index = shades - 1 + int(math.Round(float64(white)/(samples*samples)*(shades-1)))
				}
				img.SetColorIndex(px, py, uint8(index))
			}
		}
		f, err := os.Create(name + ".png")
		if err != nil {
			log.Fatal(err)
		}
		if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(f, img); err != nil {
			log.Fatal(err)
		}
		if err := f.Close(); err != nil {
			log.Fatal(err)
		}
	}
}
