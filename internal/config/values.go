// This file parses the values of settings. The errors are the rules that a value breaks.

package config

import (
	"errors"
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"pixazo-mcp/pixazo"
)

// into returns a function that parses a value and stores it in *to.
func into[T any](to *T, parse func(string) (T, error)) func(string) error {
	return func(v string) error {
		parsed, err := parse(v)
		if err == nil {
			*to = parsed
		}
		return err
	}
}

var (
	booleans = map[string]bool{
		"true": true, "1": true, "yes": true, "on": true,
		"": false, "false": false, "0": false, "no": false, "off": false,
	}
	modes   = map[string]string{"terminal": "terminal", "sync": "sync"}
	objects = map[string]bool{"strings": false, "objects": true}
	levels  = map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		"trace": slog.LevelDebug, "warning": slog.LevelWarn, "err": slog.LevelError, "fatal": slog.LevelError, // as other programs call them
	}
)

// parseNotify parses a boolean or "auto".
func parseNotify(v string) (string, error) {
	if strings.EqualFold(v, "auto") {
		return "auto", nil
	}
	on, err := oneOf(booleans, "must be true, false or auto")(v)
	return strconv.FormatBool(on), err
}

// oneOf returns a function that looks a value up in words, in upper or lower case.
func oneOf[T any](words map[string]T, rule string) func(string) (T, error) {
	return func(v string) (T, error) {
		meant, ok := words[strings.ToLower(v)]
		if !ok {
			return meant, errors.New(rule)
		}
		return meant, nil
	}
}

func parseLimit(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > 1_000_000 {
		return 0, errors.New("must be a whole number from 0 (no limit) to 1,000,000")
	}
	return n, nil
}

// durations returns a function that parses a duration from least to most, in Go's
// notation or as a number of seconds.
func durations(least, most time.Duration, rule string) func(string) (time.Duration, error) {
	return func(v string) (time.Duration, error) {
		v = strings.ToLower(v)
		if strings.Trim(v, "0123456789.") == "" {
			v += "s"
		}
		d, err := time.ParseDuration(v)
		if err != nil || d < least || d > most {
			return 0, errors.New(rule)
		}
		return d, nil
	}
}

// parseSize parses a size in bytes, with or without a unit, up to 1 TiB.
func parseSize(v string) (int64, error) {
	v = strings.ToLower(v)
	number := v[:len(v)-len(strings.TrimLeft(v, "0123456789."))]
	power, known := map[string]int{"": 0, "b": 0, "kb": 1, "kib": 1, "mb": 2, "mib": 2, "gb": 3, "gib": 3, "tb": 4, "tib": 4}[strings.TrimSpace(v[len(number):])]
	if n, err := strconv.ParseFloat(number, 64); err == nil && known {
		if n *= math.Pow(1024, float64(power)); n >= 1 && n <= 1<<40 {
			return int64(n), nil
		}
	}
	return 0, errors.New("must be a size from 1B to 1TB, such as 500MB or 1.5GB (KB and KiB both mean 1024 bytes, and so on up)")
}

// parseSizeLimit is parseSize that also takes 0, for no limit.
func parseSizeLimit(v string) (int64, error) {
	if v == "0" {
		return math.MaxInt64, nil
	}
	return parseSize(v)
}

func parseWebhook(v string) (string, error) { return v, pixazo.CheckWebhookURL(v) }

// parseOrigins parses a list of origins for a content security policy. It refuses what
// else such a policy may contain, such as 'self' or data:.
func parseOrigins(v string) ([]string, error) {
	var origins []string
	for _, item := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		host, wildcard := strings.CutPrefix(item, "https://*.")
		if wildcard {
			host = "https://" + host
		}
		origin, err := pixazo.ParseGatewayURL(host)
		if err != nil || strings.Trim(origin, "abcdefghijklmnopqrstuvwxyz0123456789.-:/[]") != "" {
			return nil, errors.New("must be https origins (http only on this computer) separated by spaces or commas, such as https://cdn.example.com or https://*.example.com")
		}
		if wildcard {
			origin = strings.Replace(origin, "//", "//*.", 1)
		}
		origins = append(origins, origin)
	}
	return origins, nil
}

// masked returns v without what is often secret in URLs: what is before an @, and the
// query.
func masked(v string) string {
	if !strings.ContainsAny(v, "@?") {
		return v // without a pattern
	}
	v = regexp.MustCompile(`(\w+://)?\S*@`).ReplaceAllString(v, "${1}…@")
	return regexp.MustCompile(`\?\S*`).ReplaceAllString(v, "?…")
}
