package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${NAME} and ${file:PATH} in text; $${ stands for ${ itself. A
// file's last line break is not part of its value.
func (l *loader) expand(text string) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var out strings.Builder
	replaced := false
	for {
		before, after, ok := strings.Cut(text, "${")
		if escaped, is := strings.CutSuffix(before, "$"); ok && is {
			out.WriteString(escaped + "${")
			text = after
			continue
		}
		out.WriteString(before)
		if !ok {
			break
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", errors.New("${ is never closed: write ${NAME}, ${file:/path}, or $${ for the characters themselves")
		}
		value, err := l.lookUp(name)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text, replaced = rest, true
	}
	if replaced {
		l.secrets[out.String()] = true
	}
	return out.String(), nil
}

// lookUp returns what ${name} stands for.
func (l *loader) lookUp(name string) (string, error) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		l.files = append(l.files, path)
		text, err := l.read(path)
		if err != nil {
			return "", fmt.Errorf("${%s} cannot be read: %w", name, err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
	}
	if !variable.MatchString(name) {
		return "", fmt.Errorf("${%s} names neither a variable nor a file: write ${NAME}, ${file:/path}, or $${ for the characters themselves", name)
	}
	value, ok := l.environ[name]
	if !ok {
		return "", fmt.Errorf("${%s} is not set in the environment", name)
	}
	return value, nil
}
