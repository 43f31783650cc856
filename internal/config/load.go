package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// Options are all that Load depends on.
type Options struct {
	File     string                       // path of the YAML file; empty is a configuration without one
	Mode     Mode                         // which command asks
	Environ  []string                     // NAME=value, as from os.Environ; of a name twice, the last counts
	Flags    *pflag.FlagSet               // a flag --admin-listen that was set overrides admin.listen; nil for none
	ReadFile func(string) ([]byte, error) // nil for os.ReadFile, bounded
}

// maxFile bounds, in bytes, every file that a configuration consists of.
const maxFile = 4 << 20

// loader is one Load: what it reads, and every fault that it finds.
type loader struct {
	Options
	*source
	cfg       *Config
	environ   map[string]string
	problems  []Problem
	warnings  []Problem
	overrides []override
	failed    map[string]bool // key paths whose value could not be read
	left      int             // values that may still be read: aliases multiply
}

// Load reads and checks the configuration. It is a function of its options alone.
// Its error is Problems: every fault at once, by line.
func Load(o Options) (*Config, error) {
	if o.ReadFile == nil {
		o.ReadFile = readFile
	}
	l := &loader{Options: o, source: newSource(o.File), cfg: Defaults(), left: maxValues}
	l.environ, l.failed = map[string]string{}, map[string]bool{}
	l.cfg.File, l.cfg.source = o.File, l.source
	for _, pair := range o.Environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			l.environ[name] = value
		}
	}
	root, readable := l.root()
	if root != nil {
		l.value(place{node: root, line: root.Line}, "", valueOf(l.cfg))
	}
	l.overlay()
	l.settle()
	l.borrow()
	l.borrowTracing()
	l.complete()
	l.inherit()
	if readable { // else every check would complain of what could not be read
		l.arrange()
		l.check()
		l.spread()
	}
	if len(l.problems) > 0 {
		return nil, Problems(tidy(l.problems))
	}
	l.cfg.warnings = tidy(l.warnings)
	return l.cfg, nil
}

// fault adds a problem of the value at path, unless that could not be read in the
// first place.
func (l *loader) fault(path, format string, args ...any) {
	if !l.failed[path] {
		l.add(l.problem(path, format, args...))
	}
}

// faultAt adds a problem of a line that has no key path of its own.
func (l *loader) faultAt(line int, format string, args ...any) {
	l.add(Problem{File: l.File, Line: line, Message: fmt.Sprintf(format, args...)})
}

// unread adds a problem of a value that cannot be read.
func (l *loader) unread(p place, format string, args ...any) {
	l.failed[p.path] = true
	l.faultAt(p.line, "%s: %s", orTop(p.path), fmt.Sprintf(format, args...))
}

// maxProblems bounds how many are reported: nobody reads on.
const maxProblems = 1000

func (l *loader) add(p Problem) {
	switch len(l.problems) {
	case maxProblems: // enough
	case maxProblems - 1:
		l.problems = append(l.problems, Problem{File: l.File, Message: "there is more wrong than is listed here"})
	default:
		l.problems = append(l.problems, p)
	}
}

// root returns the file's top node; nil when it is empty. False is for a file that
// cannot be read or is not YAML, which has been reported then.
func (l *loader) root() (*yaml.Node, bool) {
	if l.File == "" {
		return nil, true
	}
	text, err := l.read(l.File)
	if err != nil {
		l.faultAt(0, "cannot be read: %v", err)
		return nil, false
	}
	return l.parse(text)
}

// read returns the content of a file, within bounds. Its error does not name the
// file.
func (l *loader) read(name string) ([]byte, error) {
	text, err := l.ReadFile(name)
	if err != nil {
		return nil, unnamed(err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	}
	return text, nil
}

// Files returns the files whose content a reload would read again: the
// configuration, what ${file:…} names, certificates, keys and the admin's token.
// consul.token_file is none of them: it is read anew at each request.
func (c *Config) Files() []string {
	files := []string{}
	if c.File != "" {
		files = append(files, c.File)
	}
	if c.source != nil {
		files = append(files, c.source.files...)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// Warnings returns what is allowed and yet most likely not meant, by line.
func (c *Config) Warnings() []Problem { return c.warnings }

// readFile is os.ReadFile that stops soon after maxFile.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// unnamed strips the path from a file error: the problem already tells it.
func unnamed(err error) error {
	if in, ok := errors.AsType[*fs.PathError](err); ok {
		return in.Err
	}
	return err
}
