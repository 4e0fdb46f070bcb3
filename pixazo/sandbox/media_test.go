// These tests look into the sample videos that media/make.sh makes.

package sandbox

import (
	"encoding/binary"
	"slices"
	"testing"
)

// box is one box of an MP4 file (ISO/IEC 14496-12) with the path that leads to it.
type box struct {
	path string
	data []byte
}

// boxes lists the boxes in data, and those inside of containers behind them.
func boxes(t *testing.T, path string, data []byte) (list []box) {
	t.Helper()
	for len(data) > 0 {
		if len(data) < 8 || int(binary.BigEndian.Uint32(data)) < 8 || int(binary.BigEndian.Uint32(data)) > len(data) {
			t.Fatalf("bad box in %q", path)
		}
		size := binary.BigEndian.Uint32(data)
		b := box{path + string(data[4:8]), data[8:size]}
		list = append(list, b)
		switch string(data[4:8]) {
		case "moov", "trak", "mdia", "minf", "stbl":
			list = append(list, boxes(t, b.path+"/", b.data)...)
		case "stsd": // version, flags and the count of entries come first
			list = append(list, boxes(t, b.path+"/", b.data[8:])...)
		}
		data = data[size:]
	}
	return list
}

func TestVideosAreSmallFastStartH264(t *testing.T) {
	for _, c := range []struct {
		name          string
		video         []byte
		width, height uint16
	}{
		{"landscape", landscapeVideo, 640, 360},
		{"portrait", portraitVideo, 360, 640},
	} {
		t.Run(c.name, func(t *testing.T) {
			if len(c.video) >= 100_000 {
				t.Errorf("%d bytes", len(c.video))
			}
			list := boxes(t, "", c.video)
			at := func(path string) int {
				return slices.IndexFunc(list, func(b box) bool { return b.path == path })
			}
			const samples = "moov/trak/mdia/minf/stbl/stsd/"
			for _, path := range []string{"ftyp", "moov", "mdat", "moov/mvhd", "moov/trak/tkhd", samples + "avc1", samples + "mp4a"} {
				if at(path) < 0 {
					t.Fatalf("no box %s", path)
				}
			}
			if at("ftyp") != 0 || at("moov") > at("mdat") {
				t.Error("want ftyp first and moov before mdat")
			}
			avc1 := list[at(samples+"avc1")].data
			if w, h := binary.BigEndian.Uint16(avc1[24:]), binary.BigEndian.Uint16(avc1[26:]); w != c.width || h != c.height {
				t.Errorf("coded as %dx%d", w, h)
			}
			tkhd := list[at("moov/trak/tkhd")].data // ends with both as 16.16 fixed point
			if w, h := binary.BigEndian.Uint16(tkhd[len(tkhd)-8:]), binary.BigEndian.Uint16(tkhd[len(tkhd)-4:]); w != c.width || h != c.height {
				t.Errorf("shown as %dx%d", w, h)
			}
			mvhd := list[at("moov/mvhd")].data // version 0: timescale and duration behind two times
			scale, length := binary.BigEndian.Uint32(mvhd[12:]), binary.BigEndian.Uint32(mvhd[16:])
			if seconds := float64(length) / float64(scale); seconds < 4.9 || seconds > 5.2 {
				t.Errorf("%.2f s long", seconds)
			}
		})
	}
}
