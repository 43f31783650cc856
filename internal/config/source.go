package config

import (
	"fmt"
	"strings"
)

// source remembers where the values of a Config came from.
type source struct {
	file    string
	lines   map[string]int    // by key path: where the key stands in the file
	origins map[string]string // by key path: the variable or flag that overrode it
	secrets map[string]bool   // texts that ${…} put in
	files   []string          // read besides the configuration itself
}

func newSource(file string) *source {
	return &source{file: file, lines: map[string]int{}, origins: map[string]string{}, secrets: map[string]bool{}}
}

// has reports whether somebody set the key, rightly or not.
func (s *source) has(path string) bool {
	_, inFile := s.lines[path]
	_, overridden := s.origins[path]
	return inFile || overridden
}

// problem returns a fault of the value at path, with the line of the nearest key
// above it that stands in the file.
func (s *source) problem(path, format string, args ...any) Problem {
	message := fmt.Sprintf(format, args...)
	if path != "" {
		message = path + ": " + message
	}
	if origin, ok := s.origins[path]; ok {
		return Problem{Message: origin + ": " + message}
	}
	return Problem{File: s.file, Line: s.line(path), Message: message}
}

func (s *source) line(path string) int {
	for path != "" {
		if line, ok := s.lines[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

// under returns the path of a key below path.
func under(path, key string) string {
	switch {
	case !plain(key):
		return fmt.Sprintf("%s[%q]", path, key)
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

// below reports whether path leads to something inside the block at above.
func below(above, path string) bool {
	rest, ok := strings.CutPrefix(path, above)
	return ok && rest != "" && (rest[0] == '.' || rest[0] == '[')
}

// plain reports whether key can stand in a path without quotes.
func plain(key string) bool {
	for _, c := range key {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '_' {
			return false
		}
	}
	return key != ""
}

// item returns the path of a list's member.
func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
