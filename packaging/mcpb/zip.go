// This file makes a bundle the same bytes each time: mcpb writes the time of
// packing into it, and the files in the order in which the disk lists them.

package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/flate"
	"io"
	"os"
	"slices"
	"time"
)

// setDates rewrites the zip file at path with its files sorted by name, all of
// them dated date. Their permissions stay as they are.
func setDates(path string, date time.Time) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	r, err := zip.NewReader(bytes.NewReader(old), int64(len(old)))
	if err != nil {
		return err
	}
	slices.SortFunc(r.File, func(a, b *zip.File) int { return cmp.Compare(a.Name, b.Name) })
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	w.RegisterCompressor(zip.Deflate, func(to io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(to, flate.BestCompression)
	})
	for _, f := range r.File {
		from, err := f.Open()
		if err != nil {
			return err
		}
		header := zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: date}
		header.SetMode(f.Mode())
		to, err := w.CreateHeader(&header)
		if err != nil {
			return err
		}
		if _, err := io.Copy(to, from); err != nil { // fails, too, if a checksum is wrong
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
